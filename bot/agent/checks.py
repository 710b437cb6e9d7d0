"""Which command checks a repository, decided from its paths and a few file contents."""

import json
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence

_CONTENTS = ("AGENTS.md", "package.json", "pyproject.toml", "setup.cfg", "Makefile", "makefile", "GNUmakefile")
_NPM_PLACEHOLDER = "no test specified"  # `npm init` writes a script that always fails
_LOCKFILES = (("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn"), ("bun.lockb", "bun run"), ("bun.lock", "bun run"))
_BY_FILE = (
    (("go.mod", "go test ./..."),),
    (("Cargo.toml", "cargo test -q"),),
    (
        ("pom.xml", "mvn -q -B test"),
        ("gradlew", "./gradlew test"),
        ("build.gradle", "gradle test"),
        ("build.gradle.kts", "gradle test"),
    ),
    (("mix.exs", "mix test"),),
)
_LINT_TABLES = (("ruff", "ruff check"), ("black", "black --check"))
_LINT_FILES = (
    ("ruff.toml", "ruff check"),
    (".ruff.toml", "ruff check"),
    (".flake8", "flake8"),
    ("eslint.config.", "npx --no-install eslint"),
    (".eslintrc", "npx --no-install eslint"),
    (".prettierrc", "npx --no-install prettier --check"),
    ("prettier.config.", "npx --no-install prettier --check"),
)
_ABOUT_CHECKS = re.compile(r"#+ .*\b(?:test|check|verif)\w*", re.I)
_SHELL_FENCE = re.compile(r"```(?:sh|bash|shell|console)?[ \t]*")
_RULE = re.compile(r"^(?P<target>test|check)\s*:(?!=)", re.M)


def wanted_files(paths: Sequence[str]) -> tuple[str, ...]:
    """The files whose content `detected` looks at."""
    there = set(paths)
    return tuple(path for path in _CONTENTS if path in there)


def detected(paths: Sequence[str], contents: Mapping[str, bytes]) -> str:
    """The check command, or "" when nothing is recognised. Instructions win over conventions."""
    return next(iter(kinds(paths, contents)), "")


def kinds(paths: Sequence[str], contents: Mapping[str, bytes]) -> tuple[str, ...]:
    """A command for each kind of tests at the root, the one that judges a change first.

    What instructions say is all; a Makefile, which mostly calls the others, counts where there is none of a language.
    """
    there = set(paths)
    texts = {path: content.decode("utf-8", "replace").replace("\r\n", "\n") for path, content in contents.items()}
    if said := _from_instructions(texts.get("AGENTS.md", "")):
        return (said,)
    of_languages = (
        _python(there, texts),
        _javascript(there, texts.get("package.json", "")),
        *(next((command for path, command in of_one if path in there), "") for of_one in _BY_FILE),
    )
    return tuple(filter(None, of_languages)) or tuple(filter(None, (_make(texts) or _other(there),)))


def lint(paths: Sequence[str], contents: Mapping[str, bytes]) -> tuple[str, ...]:
    """Linters and formatters that the repository configures, to be run on changed files alone."""
    there = set(paths)
    tables = _tool_tables(contents.get("pyproject.toml", b"").decode("utf-8", "replace"))
    found = {command for name, command in _LINT_TABLES if name in tables}
    for path in there:
        name = path if "/" not in path else ""
        found |= {command for prefix, command in _LINT_FILES if name.startswith(prefix)}
    return tuple(sorted(found))


def _from_instructions(text: str) -> str:
    """The first command of the first fenced block below a heading about tests or checks."""
    about_checks, fence = False, ""
    for line in text.split("\n"):
        if fence and line.startswith("```"):
            fence = ""
        elif fence == "shell" and about_checks and line.strip() and not line.lstrip().startswith("#"):
            return line.strip().removeprefix("$ ")
        elif not fence and line.startswith("```"):
            fence = "shell" if _SHELL_FENCE.fullmatch(line) else "other"
        elif not fence and line.startswith("#"):
            about_checks = _ABOUT_CHECKS.match(line) is not None
    return ""


def _python(there: set[str], texts: Mapping[str, str]) -> str:
    has_tests = any(re.fullmatch(r"(?:.*/)?tests?/(?:.*/)?test_[^/]*\.py|test_[^/]*\.py", path) for path in there)
    configured = "pytest.ini" in there or "[tool:pytest]" in texts.get("setup.cfg", "") or "conftest.py" in there
    if (
        has_tests
        or configured
        or "tests/conftest.py" in there
        or "pytest" in _tool_tables(texts.get("pyproject.toml", ""))
    ):
        return "python3 -m pytest -q"
    if "tox.ini" in there:
        return "tox"
    return "nox" if "noxfile.py" in there else ""


def _tool_tables(text: str) -> Collection[str]:
    """The names below `tool` in a pyproject.toml, none in a broken one."""
    try:
        tools = tomllib.loads(text).get("tool", {})
    except tomllib.TOMLDecodeError:
        return ()
    return tools if isinstance(tools, dict) else ()


def _javascript(there: set[str], text: str) -> str:
    try:
        package = json.loads(text) if text else {}
    except (json.JSONDecodeError, RecursionError):
        return ""
    scripts = package.get("scripts") if isinstance(package, dict) else None
    script = scripts.get("test") if isinstance(scripts, dict) else None
    if not isinstance(script, str) or _NPM_PLACEHOLDER in script:
        return ""
    runner = next((runner for lockfile, runner in _LOCKFILES if lockfile in there), "npm")
    return f"{runner} test"


def _make(texts: Mapping[str, str]) -> str:
    for name in ("GNUmakefile", "makefile", "Makefile"):
        targets = {found["target"] for found in _RULE.finditer(texts.get(name, ""))}
        if targets:
            return "make test" if "test" in targets else "make check"
    return ""


def _other(there: set[str]) -> str:
    if "Gemfile" in there and any(path.startswith("spec/") for path in there):
        return "bundle exec rspec"
    if "composer.json" in there and "phpunit.xml" in there | {p.removesuffix(".dist") for p in there}:
        return "vendor/bin/phpunit"
    return "dotnet test" if any(path.endswith(".sln") and "/" not in path for path in there) else ""
