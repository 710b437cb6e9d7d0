"""Which command checks a repository."""

import pytest

from bot.agent.checks import detected, kinds, lint, wanted_files


@pytest.mark.parametrize(
    ("files", "command"),
    [
        pytest.param({"pytest.ini": b""}, "python3 -m pytest -q", id="pytest-ini"),
        pytest.param({"pyproject.toml": b"[tool.pytest.ini_options]\n"}, "python3 -m pytest -q", id="pytest-table"),
        pytest.param({"pyproject.toml": b"not [toml"}, "", id="broken-toml"),
        pytest.param({"tests/unit/test_a.py": b""}, "python3 -m pytest -q", id="test-files"),
        pytest.param({"tox.ini": b""}, "tox", id="tox"),
        pytest.param({"package.json": b'{"scripts": {"test": "jest"}}'}, "npm test", id="npm"),
        pytest.param({"package.json": b'{"scripts": {"test": "jest"}}', "pnpm-lock.yaml": b""}, "pnpm test", id="pnpm"),
        pytest.param({"package.json": b'{"scripts": {"test": "x"}}', "yarn.lock": b""}, "yarn test", id="yarn"),
        pytest.param(
            {"package.json": b'{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'},
            "",
            id="npms-placeholder",
        ),
        pytest.param({"package.json": b"[" * 100_000}, "", id="hostile-json"),
        pytest.param({"package.json": b'{"scripts": ["test"]}'}, "", id="scripts-of-another-type"),
        pytest.param({"go.mod": b""}, "go test ./...", id="go"),
        pytest.param({"Cargo.toml": b""}, "cargo test -q", id="cargo"),
        pytest.param({"Makefile": b"all:\n\nTEST := 1\ntest: all\n\t./t\n"}, "make test", id="make-test"),
        pytest.param({"Makefile": b"check:\n\t./t\n"}, "make check", id="make-check"),
        pytest.param({"Makefile": b"test := 1\n"}, "", id="a-make-variable"),
        pytest.param({"Gemfile": b"", "spec/a_spec.rb": b""}, "bundle exec rspec", id="ruby"),
        pytest.param({"App.sln": b""}, "dotnet test", id="dotnet"),
        pytest.param(
            {"AGENTS.md": b"# A\n\n## Running tests\nDo:\n```sh\n# all\n$ make quick\n```\n", "go.mod": b""},
            "make quick",
            id="instructions-win",
        ),
        pytest.param({"AGENTS.md": b"## Build\n```sh\nmake\n```\n"}, "", id="another-section"),
        pytest.param({"README.md": b"nothing"}, "", id="nothing"),
    ],
)
def test_a_repository_is_checked_by_its_own_conventions(files: dict[str, bytes], command: str) -> None:
    paths = tuple(sorted(files))
    assert detected(paths, {path: files[path] for path in wanted_files(paths)}) == command


def test_each_language_at_the_root_has_its_command_and_one_comes_first() -> None:
    files = {
        "Makefile": b"test:\n\t./t\n",
        "build.gradle": b"",
        "gradlew": b"",
        "package.json": b'{"scripts": {"test": "jest"}}',
        "pytest.ini": b"",
    }
    assert kinds(tuple(files), files) == ("python3 -m pytest -q", "npm test", "./gradlew test")
    told = files | {"AGENTS.md": b"## Tests\n```\nmake quick\n```\n"}
    assert kinds(tuple(told), told) == ("make quick",)


def test_linters_are_those_a_repository_configures() -> None:
    files = {
        "pyproject.toml": b"[tool.ruff]\nline-length = 100\n[tool.black]\n",
        "eslint.config.mjs": b"",
        ".prettierrc.json": b"",
        "examples/.flake8": b"",
        "ruff.toml": b"",
    }
    assert lint(tuple(files), files) == (
        "black --check",
        "npx --no-install eslint",
        "npx --no-install prettier --check",
        "ruff check",
    )
    assert lint(("pyproject.toml",), {"pyproject.toml": b"tool = 3"}) == ()
