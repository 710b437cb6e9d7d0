"""Which commands install a repository's dependencies, decided from its paths and a few file contents."""

import json
import posixpath
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from typing import Any

CONTENTS = ("package.json", "pyproject.toml", "setup.cfg")
MOST_MANIFESTS = 200
MOST_FOLDERS = 4
_NAMES = """
pyproject.toml setup.py setup.cfg uv.lock poetry.lock pdm.lock Pipfile Pipfile.lock environment.yml
package.json package-lock.json npm-shrinkwrap.json pnpm-lock.yaml pnpm-workspace.yaml yarn.lock .yarnrc.yml .npmrc
bun.lock bun.lockb go.mod go.sum go.work Cargo.toml Cargo.lock rust-toolchain rust-toolchain.toml Gemfile Gemfile.lock
composer.json composer.lock pom.xml build.gradle build.gradle.kts gradlew settings.gradle gradle.lockfile mix.exs
mix.lock global.json packages.lock.json .python-version .node-version .nvmrc .tool-versions
"""
MANIFESTS = frozenset(_NAMES.split())
PATTERNS = ("*requirements*.txt", "*constraints*.txt", "requirements/*.txt", "*.gemspec", "*.csproj", "*.sln")
_PATTERN = re.compile("|".join(map(translate, PATTERNS)))
_ENDINGS = tuple({posixpath.splitext(pattern)[1] for pattern in PATTERNS})  # of 200,000 paths few are looked at closer
TEST_EXTRAS = ("test", "tests", "testing", "dev")
NPM_FLAGS = "--no-audit --no-fund"
DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies")
AT_INSTALL = ("preinstall", "install", "postinstall", "preprepare", "prepare", "postprepare")
HUSKY = re.compile(r"husky( install)?( \|\| true)?")  # it sets up git's hooks, and nothing else
# what is built of the sources: a requirement that is a path, a dependency by its path
_HERE = re.compile(rb"^[ \t]*+(?:\.|file:|[^#\n]*@[ \t]*file:|(?!-)[^#\s@:]*/)", re.MULTILINE)
_BY_PATH = re.compile(rb"\bpath[\"']?\s*=|\bfile:|\{root")
_LINKED = re.compile(rb'"(?:file|link|portal):')
_INCLUDED = re.compile(r"^[ \t]*+(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Way:
    """`needs`: the program that must be in the sandbox; "pip" means the one of python3."""

    needs: str
    command: str


def manifests(paths: Sequence[str]) -> tuple[str, ...]:
    """What says which dependencies there are: by these a setup's result can be used again."""
    found = filter(is_manifest, paths)
    return tuple(sorted(found, key=lambda path: (path.count("/"), path)))[:MOST_MANIFESTS]


def is_manifest(path: str) -> bool:
    return path.rpartition("/")[2] in MANIFESTS or bool(path.endswith(_ENDINGS) and _PATTERN.match(path))


def includes(path: str, content: bytes) -> tuple[str, ...]:
    """What a requirement file takes in of the repository's other files, by its own folder."""
    if not path.endswith(".txt"):
        return ()
    named = _INCLUDED.findall(content.decode("utf-8", "replace"))
    return tuple(posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) for name in named)


def builds(path: str, content: bytes) -> bool:
    """Whether installing by this file makes something of the repository's own sources where it does not show."""
    match posixpath.basename(path):
        case "package.json":
            scripts = _table(_json(content), "scripts")
            hooked = any(name in scripts and not HUSKY.fullmatch(str(scripts[name])) for name in AT_INSTALL)
            return hooked or _LINKED.search(content) is not None or _has_folder(_json(content))
        case "composer.json":
            return any(name in content for name in (b'"scripts"', b'"classmap"', b'"path"'))
        case "pyproject.toml" | "Pipfile":
            return _BY_PATH.search(content) is not None
        case _:
            return path.endswith(".txt") and _HERE.search(content) is not None


def _has_folder(package: Mapping[str, Any]) -> bool:
    wanted = (str(where) for name in DEPENDENCIES for where in _table(package, name).values())
    return any(where.startswith((".", "/", "~/")) for where in wanted)


def folders(paths: Sequence[str]) -> tuple[str, ...]:
    """Where dependencies are looked for: "" for the root; without any there, the folders one below it, as `web/`."""
    manifest = re.compile(r"(?:([A-Za-z0-9._-]+)/)?[^/]+")
    found = {match[1] or "" for path in paths if is_manifest(path) and (match := manifest.fullmatch(path))}
    below = (f"{name}/" for name in sorted(found) if not name.startswith((".", "-")))
    return ("",) if "" in found else tuple(below)[:MOST_FOLDERS]


def read_of(paths: Sequence[str]) -> tuple[str, ...]:
    """The files whose contents `detected` needs."""
    there = set(paths)
    return tuple(path for folder in folders(paths) for name in CONTENTS if (path := f"{folder}{name}") in there)


def detected(paths: Sequence[str], contents: Mapping[str, bytes]) -> tuple[tuple[Way, ...], ...]:
    """For each language found the ways to install, best first. `paths`: manifests are enough. `contents`: of the files
    `read_of` names."""
    return tuple(ways for folder in folders(paths) for ways in _detected_in(folder, paths, contents))


def _detected_in(folder: str, paths: Sequence[str], contents: Mapping[str, bytes]) -> list[tuple[Way, ...]]:
    inside = [path.removeprefix(folder) for path in paths if path.startswith(folder)]
    found = _at_root(inside, {name: contents.get(f"{folder}{name}", b"") for name in CONTENTS})
    if not folder:
        return found
    return [tuple(Way(way.needs, f"cd {folder[:-1]} && {way.command}") for way in ways) for ways in found]


def _at_root(paths: Sequence[str], contents: Mapping[str, bytes]) -> list[tuple[Way, ...]]:
    there = {path for path in paths if "/" not in path}
    found = (
        _python(there, contents),
        _javascript(there, _json(contents.get("package.json", b""))),
        *(ways for name, ways in _BY_FILE if name in there and not (ways[0].needs == "gradle" and "gradlew" in there)),
    )
    return [ways for ways in found if ways]


_BY_FILE: tuple[tuple[str, tuple[Way, ...]], ...] = (
    ("go.mod", (Way("go", "go mod download"),)),
    ("Cargo.toml", (Way("cargo", "cargo fetch"),)),
    ("Gemfile", (Way("bundle", "bundle config set --local path vendor/bundle && bundle install"),)),
    ("composer.lock", (Way("composer", "composer install --no-interaction --no-progress"),)),
    ("pom.xml", (Way("mvn", "mvn -q -B dependency:go-offline"),)),
    ("gradlew", (Way("java", "sh ./gradlew --quiet --console=plain dependencies"),)),
    ("build.gradle", (Way("gradle", "gradle --quiet --console=plain dependencies"),)),
    ("build.gradle.kts", (Way("gradle", "gradle --quiet --console=plain dependencies"),)),
    ("mix.exs", (Way("mix", "mix local.hex --force && mix deps.get"),)),
)


def _python(there: set[str], contents: Mapping[str, bytes]) -> tuple[Way, ...]:
    project = _toml(contents.get("pyproject.toml", b""))
    locked = [
        way
        for lock, way in (
            ("uv.lock", Way("uv", "uv sync --locked --all-extras")),
            ("poetry.lock", Way("poetry", "poetry install --no-interaction")),
            ("pdm.lock", Way("pdm", "pdm sync --dev")),
            ("Pipfile.lock", Way("pipenv", "pipenv sync --dev")),
        )
        if lock in there
    ]
    plain = _pip(there, project, contents.get("setup.cfg", b""))
    return (*locked, Way("pip", plain)) if plain else tuple(locked)


def _pip(there: set[str], project: Mapping[str, Any], setup_cfg: bytes) -> str:
    """The package itself, for tests to import, and what its requirement files list."""
    files = [name for name in sorted(there) if fnmatchcase(name, "*requirements*.txt") and name.isascii()]
    wanted = [f"-r {name}" for name in files if name.replace("-", "").replace("_", "").replace(".", "").isalnum()]
    installable = "project" in project or "build-system" in project or "setup.py" in there
    if installable or b"[metadata]" in setup_cfg:
        extras = _extras(project)
        wanted.append(f"-e '.[{','.join(extras)}]'" if extras else "-e .")
    groups = _table(project, "dependency-groups")
    install = f"python3 -m pip install {' '.join(wanted)}" if wanted else ""
    known = [name for name in TEST_EXTRAS if name in groups]
    if not known:
        return install
    with_groups = f"python3 -m pip install {' '.join((*wanted, *(f'--group {name}' for name in known)))}"
    otherwise = install or "true"  # a pip before 25.1 knows no groups
    return f"if python3 -m pip install --help | grep -q -e --group; then {with_groups}; else {otherwise}; fi"


def _extras(project: Mapping[str, Any]) -> list[str]:
    extras = _table(_table(project, "project"), "optional-dependencies")
    return [name for name in TEST_EXTRAS if name in extras]


def _table(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = of.get(name)
    return found if isinstance(found, dict) else {}


def _javascript(there: set[str], package: Mapping[str, Any]) -> tuple[Way, ...]:
    if "package.json" not in there:
        return ()
    yarn = "--immutable" if ".yarnrc.yml" in there else "--frozen-lockfile"
    for locks, ways in (
        (("pnpm-lock.yaml",), (Way("pnpm", "pnpm install --frozen-lockfile"),)),
        (("yarn.lock",), (Way("yarn", f"yarn install {yarn}"),)),
        (("bun.lock", "bun.lockb"), (Way("bun", "bun install --frozen-lockfile"),)),
        (("package-lock.json", "npm-shrinkwrap.json"), (Way("npm", f"npm ci {NPM_FLAGS}"),)),
    ):
        if there.intersection(locks):
            return ways
    if package.get("dependencies") or package.get("devDependencies"):
        return (Way("npm", f"npm install --no-package-lock {NPM_FLAGS}"),)
    return ()


def _json(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _toml(text: bytes) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text.decode("utf-8", "replace"))
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}
