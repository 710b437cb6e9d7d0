"""The command line as its users meet it: real processes, real messages."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.stage import staged
from tests.payloads.samples import mention
from tests.repositories import PYTHON, python_bug

ROOT = Path(__file__).parent.parent
PATCH = "replace `(len(numbers) - 1)` with `len(numbers)` in `calc/mean.py`"


def backspace(*arguments: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **env},
        timeout=100,
    )


def test_the_demo_ends_with_the_pull_request_it_was_asked_for() -> None:
    done = backspace("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No ANTHROPIC_API_KEY, so the rule agent does the work" in done.stdout
    assert "Live page: http://127.0.0.1:" in done.stdout
    assert "Opened #2" in done.stdout
    assert "+# Hello from Tiny Backspace" in done.stdout
    assert "The pull request's tree is exactly what the comment asked for." in done.stdout
    assert done.stderr == ""


def test_the_demo_works_on_another_repository_and_on_a_plain_folder(tmp_path: Path) -> None:
    (tmp_path / "git").mkdir()
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "HELLO-BACKSPACE.md").write_text("taken")
    for source in (python_bug(tmp_path / "git"), tmp_path / "plain"):
        done = backspace("demo", "--repo", str(source))
        assert done.returncode == 0, done.stdout + done.stderr
    assert "write HELLO-BACKSPACE-2.md" in done.stdout


def test_the_demo_names_a_repository_that_is_not_there() -> None:
    done = backspace("demo", "--repo", "/nowhere/at/all")
    assert done.returncode == 1
    assert done.stderr.strip() == "/nowhere/at/all is not a folder: name a git repository with --repo."


def test_run_prints_the_patch_and_leaves_the_checkout_alone(tmp_path: Path) -> None:
    source = python_bug(tmp_path)
    done = backspace("run", "--repo", str(source), PATCH, BACKSPACE_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("diff --git a/calc/mean.py b/calc/mean.py")
    assert "1 failed on base, 1 passed on head" in done.stderr
    untouched = subprocess.run(["git", "-C", str(source), "diff", "--quiet"], check=False)
    assert untouched.returncode == 0
    applied = subprocess.run(["git", "-C", str(source), "apply"], input=done.stdout, text=True, check=False)
    assert applied.returncode == 0
    assert (source / "calc/mean.py").read_bytes() == PYTHON.changed["calc/mean.py"][1]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(("x",), 1, "is not a git checkout with a commit: name one with --repo.", id="no-checkout"),
        pytest.param(("--model", "claude-opus-5-5", "x"), 1, "ANTHROPIC_API_KEY is missing", id="no-key"),
    ],
)
def test_run_says_what_is_wrong(tmp_path: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = backspace("run", *arguments, cwd=tmp_path, BACKSPACE_HOME=str(tmp_path / "home"))
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_run_says_what_the_rule_agent_understands(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    source = python_bug(tmp_path / "source")
    done = backspace("run", "--repo", str(source), "be brilliant", BACKSPACE_HOME=str(tmp_path / "home"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "replace `A` with `B`" in done.stderr


@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_nothing_starts_with_missing_settings_and_all_are_named(command: str, tmp_path: Path) -> None:
    done = backspace(command, cwd=tmp_path)
    assert done.returncode == 2
    for name in ("GITHUB_APP_ID", "GITHUB_PRIVATE_KEY", "GITHUB_WEBHOOK_SECRET", "ANTHROPIC_API_KEY"):
        assert f"- {name} is missing" in done.stderr


@pytest.mark.anyio
async def test_doctor_and_replay_against_a_running_bot(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    settings = {"BACKSPACE_MODEL": "rules"}
    async with staged(tmp_path / "stage", source=python_bug(tmp_path / "source"), settings=settings) as stage:
        env = {
            **settings,
            "GITHUB_APP_ID": str(stage.config.app_id),
            "GITHUB_PRIVATE_KEY": stage.config.private_key,
            "GITHUB_WEBHOOK_SECRET": stage.config.webhook_secrets[0],
            "GITHUB_API_URL": stage.config.github_api_url,
            "PUBLIC_URL": stage.config.public_url,
            "BACKSPACE_HOME": str(tmp_path / "doctor"),
        }
        well = await asyncio.to_thread(backspace, "doctor", cwd=tmp_path, **env)
        assert well.returncode == 0, well.stdout
        assert well.stdout.count("ok   ") == 5
        ill = await asyncio.to_thread(
            backspace, "doctor", cwd=tmp_path, **{**env, "GITHUB_APP_ID": "1", "PUBLIC_URL": "http://127.0.0.1:9"}
        )
        assert ill.returncode == 1
        assert "Nothing answers at http://127.0.0.1:9: start `backspace serve`, or correct PUBLIC_URL." in ill.stdout
        assert "fix  GitHub App" in ill.stdout
        payload = tmp_path / "payload.json"
        payload.write_text(json.dumps(mention("no command here")))
        sent = await asyncio.to_thread(
            backspace, "replay", str(payload), "--event", "issue_comment", cwd=tmp_path, **env
        )
        assert sent.returncode == 0, sent.stderr
        assert sent.stdout.startswith("202 ")
        assert "No line of the comment is a /backspace command." in sent.stdout
