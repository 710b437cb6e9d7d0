"""Secrets by their form never leave, and what a diff hides from its reader is pointed at."""

from pathlib import Path

import pytest

from bot.agent.gate import look_twice, secrets_in
from bot.agent.review import History, Shown, Unfit
from tests.agent.bench import Bench, bench
from tests.agent.test_review import words

MADE_UP = {  # in pieces, so that nobody's scanner takes this file for a leak
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "an AWS access key": "AKIA" + "ABCDEFGHIJKLMNOP",
    "a GitHub token": "ghp_" + "a1" * 18,
    "a GitLab token": "glpat-" + "a1B2c3D4e5F6g7H8i9J0",
    "a Slack token": "xoxb-" + "123456789012-abcdefghijkl",
    "a Google API key": "AIza" + "A" * 35,
    "an API key": "sk-ant-" + "api03-" + "x" * 40,
}


@pytest.mark.parametrize(("kind", "secret"), [pytest.param(*pair, id=pair[0]) for pair in MADE_UP.items()])
async def test_what_looks_like_a_secret_cannot_be_submitted(on: Bench, kind: str, secret: str) -> None:
    """11.2. Red when the added lines are not looked through (seen)."""
    (on.sandbox.root / "hello.py").write_text(f'print("hullo")\n\nKEY = "{secret}"\n')
    refused = await on.review.submit(words(), history=History())
    assert refused == Unfit(
        "This change may not leave the sandbox:\n"
        f"- hello.py line 3 holds what looks like {kind}: take it out, or read it from the environment.\n"
        "Undo or change that, then submit again."
    )
    assert await on.review.draft() is None


async def test_a_secret_of_the_base_that_moves_or_goes_is_nothing_new(tmp_path: Path) -> None:
    sample = MADE_UP["an AWS access key"].encode()
    on = await bench(tmp_path, {"sample.txt": sample + b"\nmore\n", "old.txt": sample + b" old\n"})
    (on.sandbox.root / "sample.txt").write_bytes(b"more\n" + sample + b"\n")
    (on.sandbox.root / "old.txt").unlink()
    assert secrets_in(await on.review.patch()) == ()


async def test_lines_that_look_like_headers_are_lines(on: Bench) -> None:
    secret = MADE_UP["a GitHub token"]
    (on.sandbox.root / "trick.txt").write_text(f"++ b/other.txt\n++ {secret}\n")
    (problem,) = secrets_in(await on.review.patch())
    assert problem.startswith("trick.txt line 2 holds")


async def test_what_a_diff_does_not_show_well_is_pointed_at(on: Bench) -> None:
    (on.sandbox.root / "hello.py").chmod(0o755)
    (on.sandbox.root / "logo.png").write_bytes(b"\x89PNG\0\0")
    (on.sandbox.root / "latest").symlink_to("README.md")
    seen = await on.review.submit(words(), history=History())
    assert isinstance(seen, Shown)
    line = (
        "Look twice, and say in testing that it is meant: logo.png is binary; "
        "hello.py changes its mode from 100644 to 100755; latest is a link."
    )
    assert line in seen.text.split("\n")
    assert look_twice(seen.patch) == line
