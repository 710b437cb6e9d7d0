"""Which paths a glob pattern means."""

import time

import pytest

from bot.agent.ground import Refusal
from bot.agent.searching import matching

PATHS = ("README.md", "src/app.py", "src/web/page.html", "src/web/app.ts", "tests/test_app.py", "a[1].txt")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        pytest.param("src/**/*.py", ["src/app.py"], id="two-stars-are-also-no-folder"),
        pytest.param("**/*.py", ["src/app.py", "tests/test_app.py"], id="anywhere"),
        pytest.param("*.py", ["src/app.py", "tests/test_app.py"], id="a-bare-name-at-any-depth"),
        pytest.param("src/*", ["src/app.py"], id="one-star-stays-in-its-folder"),
        pytest.param("src/**", ["src/app.py", "src/web/page.html", "src/web/app.ts"], id="everything-below"),
        pytest.param("**/*.{ts,html}", ["src/web/page.html", "src/web/app.ts"], id="either"),
        pytest.param("./src/app.py", ["src/app.py"], id="dot-slash"),
        pytest.param("s?c/[a-b]pp.py", ["src/app.py"], id="one-character"),
        pytest.param("a[[]1].txt", ["a[1].txt"], id="a-literal-bracket"),
        pytest.param("*.rs", [], id="nothing"),
    ],
)
def test_a_pattern_finds_its_paths(pattern: str, found: list[str]) -> None:
    assert list(matching(pattern, PATHS)) == found


def test_a_pattern_made_to_be_slow_is_not() -> None:
    began = time.thread_time()
    matching("*a" * 100 + "b", ["a" * 250] * 20)
    matching("/".join(["**", "a*"] * 60), ["/".join(["a"] * 120)] * 20)
    assert time.thread_time() - began < 3


@pytest.mark.parametrize("pattern", ["x" * 500, "{a,b}" * 20])
def test_an_extravagant_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(Refusal):
        matching(pattern, PATHS)
