"""The command line as its users meet it: real processes, real messages."""

import asyncio
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from bot import __version__
from bot.cli import app, environment, in_foreign_checkout
from bot.commands.demo import CONTENT, demo_settings, which_model
from bot.commands.doctor import findings, show
from bot.config import Config
from bot.stage import staged
from tests.github.wire import private_key
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
        check=False,
        env={**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **env},
        timeout=100,
    )


def invoked(*arguments: str, **env: str) -> tuple[int, str]:
    """As `backspace`, in the current folder and this process, which has imported it all: the exit code, and all that
    is said, in one line. Not for `serve` and `demo`, which set up the log of a whole process."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
    done = CliRunner(env={**dict.fromkeys(os.environ), **kept, **env}).invoke(app, arguments)
    assert isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output.replace("\n", " ")


def test_the_demo_ends_with_the_pull_request_it_was_asked_for() -> None:
    done = backspace("demo", COLUMNS="80")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No ANTHROPIC_API_KEY, so the rule agent does the work" in done.stdout
    assert "Live page: http://127.0.0.1:" in done.stdout
    assert "Opened #2" in done.stdout
    assert f"+{CONTENT.splitlines()[2]}\n" in done.stdout, "a piped diff is not wrapped"
    assert "The pull request's tree is exactly what the comment asked for." in done.stdout
    assert done.stdout.endswith("make demo ARGS=--keep stays up: comment, label and watch in the browser.\n")
    assert done.stderr == ""


def test_the_demo_works_on_another_repository_and_on_a_plain_folder(tmp_path: Path) -> None:
    (tmp_path / "git").mkdir()
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "HELLO-BACKSPACE.md").write_text("taken")
    for source in (python_bug(tmp_path / "git"), tmp_path / "plain"):
        done = backspace("demo", "--repo", str(source))
        assert done.returncode == 0, done.stdout + done.stderr
    assert "write HELLO-BACKSPACE-2.md" in done.stdout


def test_the_version_is_told_as_a_command_and_as_an_option() -> None:
    said = {backspace(words).stdout for words in ("version", "--version")}
    assert said == {f"tiny-backspace {__version__}\n"}


def test_the_demo_names_a_repository_that_is_not_there() -> None:
    done = backspace("demo", "--repo", "/nowhere/at/all")
    assert done.returncode == 2
    assert done.stderr.strip() == "/nowhere/at/all is not a folder: name a git repository with --repo."


def test_run_prints_the_patch_and_leaves_the_checkout_alone(tmp_path: Path) -> None:
    source = python_bug(tmp_path)
    done = backspace("run", "--repo", str(source), PATCH, BACKSPACE_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("diff --git a/calc/mean.py b/calc/mean.py")
    assert "1 failed on base, 1 passed on head" in done.stderr
    first, *_, last = done.stderr.splitlines()
    assert first.startswith(
        f"No ANTHROPIC_API_KEY in the environment or in {tmp_path}/home/.env, so the rule agent works"
    )
    (record,) = (tmp_path / "home/runs").glob("*.jsonl")
    assert last.startswith(f"run {record.stem}: `backspace export {record.stem} --html > run.html` makes a page")
    untouched = subprocess.run(["git", "-C", str(source), "diff", "--quiet"], check=False)
    assert untouched.returncode == 0
    applied = subprocess.run(["git", "-C", str(source), "apply"], input=done.stdout, text=True, check=False)
    assert applied.returncode == 0
    assert (source / "calc/mean.py").read_bytes() == PYTHON.changed["calc/mean.py"][1]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(("x",), 2, "is not a git checkout: name one with --repo, or make", id="no-checkout"),
        pytest.param(("--model", "claude-opus-5-5", "x"), 2, "ANTHROPIC_API_KEY is missing", id="no-key"),
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
    assert done.returncode == 4
    assert done.stdout == ""
    assert "replace `A` with `B`" in done.stderr


def test_run_says_that_uncommitted_changes_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    source = python_bug(tmp_path / "source")
    (source / "notes.txt").write_text("not committed")
    done = backspace("run", "--repo", str(source), PATCH, BACKSPACE_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert "Uncommitted changes are left out: the agent gets the last commit, " in done.stderr
    assert "notes.txt" not in done.stdout


def test_run_reads_the_instructions_the_repository_names(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    source = python_bug(tmp_path / "source")
    rules = source / ".github/backspace.yml"
    rules.write_text("instructions: docs/AGENT.md\n")
    subprocess.run(
        ["git", "-C", str(source), "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "Rules"], check=True
    )
    done = backspace("run", "--repo", str(source), PATCH, BACKSPACE_HOME=str(tmp_path / "home"))
    assert done.returncode == 2
    assert "names `docs/AGENT.md`, which is no file with text there." in done.stderr


def test_run_keeps_to_the_repositorys_limits(tmp_path: Path) -> None:
    """Red when only `paths.deny` reaches the gate (tried)."""
    (tmp_path / "source").mkdir()
    source = python_bug(tmp_path / "source")
    rules = source / ".github/backspace.yml"
    rules.parent.mkdir(exist_ok=True)
    rules.write_text("paths: {max_lines: 1}\n")
    for command in (("add", "-A"), ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "Rules")):
        subprocess.run(["git", "-C", str(source), *command], check=True)
    done = backspace("run", "--repo", str(source), PATCH, BACKSPACE_HOME=str(tmp_path / "home"))
    assert "2 lines are changed and 1 are allowed: make a smaller change." in done.stderr
    assert done.returncode == 4
    assert done.stdout == ""
    assert "Uncommitted" not in done.stderr


MISSING = ("GITHUB_APP_ID", "GITHUB_PRIVATE_KEY", "GITHUB_WEBHOOK_SECRET", "ANTHROPIC_API_KEY")


def test_nothing_starts_with_missing_settings_and_all_are_named(tmp_path: Path) -> None:
    done = backspace("serve", cwd=tmp_path)
    assert done.returncode == 2
    for name in MISSING:
        assert f"- {name} is missing" in done.stderr


def test_the_doctor_names_what_is_missing_and_tries_the_rest(tmp_path: Path) -> None:
    done = backspace(
        "doctor", cwd=tmp_path, BACKSPACE_HOME=str(tmp_path / "home"), GITHUB_API_URL=NOWHERE, PORT="nonsense"
    )
    assert done.returncode == 1
    assert done.stderr == ""
    for name in MISSING:
        assert f"fix  Setting: {name}\n     {name} is missing: " in done.stdout
    assert "     PORT is not a port from 0 to 65535: nonsense.\n" in done.stdout
    assert (
        "fix  Clock: not compared with GitHub's\n     GitHub's API does not answer at http://127.0.0.1:9: "
        in done.stdout
    )
    assert "fix  GitHub App: not tried\n" in done.stdout
    assert "fix  Model: claude-opus-5-5 not tried\n" in done.stdout
    assert "ok   Sandbox: bubblewrap, commands run as uid " in done.stdout
    assert "ok   Store: sqlite, opens and is current\n" in done.stdout


NOWHERE = "http://127.0.0.1:9"
SECRET = "0123456789abcdef0123"
BOT = {
    "GITHUB_APP_ID": "1",
    "GITHUB_WEBHOOK_SECRET": SECRET,
    "GITHUB_PRIVATE_KEY": "-----BEGIN RSA PRIVATE KEY-----\\nMIIB\\n-----END RSA PRIVATE KEY-----",
    "GITHUB_API_URL": NOWHERE,
    "BACKSPACE_MODEL": "rules",
    "BACKSPACE_HOME": "home",
}
WHOLE = BOT | {"GITHUB_PRIVATE_KEY": private_key()}
REPLAY = ("replay", "--event", "ping")


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        pytest.param((*REPLAY, "good.json", "--url", f"{NOWHERE}/webhook"), BOT, "Nobody answers at", id="replay-dead"),
        pytest.param((*REPLAY, "good.json", "--url", "x"), BOT, "x is not an http(s) address", id="replay-nonsense"),
        pytest.param((*REPLAY, "bad.json"), BOT, "bad.json is not JSON", id="replay-not-json"),
        pytest.param((*REPLAY, "none.json"), BOT, "does not exist", id="replay-no-file"),
        pytest.param(("demo", "--repo", "empty"), {}, "empty has no commit to work on", id="demo-no-commit"),
        pytest.param(("demo",), {"LOG_LEVEL": "foo"}, "- LOG_LEVEL is not one of debug, info", id="demo-log-level"),
        pytest.param(("demo",), {"PATH": "no-git"}, "git is not installed: apt-get install git.", id="demo-no-git"),
        pytest.param(("run", "x"), {"BACKSPACE_BUDGET_USD": "x"}, "- BACKSPACE_BUDGET_USD is not", id="run-budget"),
        pytest.param(("run", "x"), {"PATH": "no-bwrap"}, "bubblewrap is not installed", id="run-no-sandbox"),
        pytest.param(("run", "x"), {"BACKSPACE_HOME": "/proc/x"}, "/proc/x cannot be made (No such", id="run-home"),
        pytest.param(("serve",), BOT, "The App's private key is not an RSA key", id="serve-broken-key"),
        pytest.param(("serve",), WHOLE | {"PATH": "no-bwrap"}, "bubblewrap is not installed", id="serve-no-sandbox"),
        pytest.param(("serve", "--web-only"), BOT | {"BACKSPACE_HOME": "good.json/x"}, "cannot be made", id="no-home"),
        pytest.param(
            ("serve", "--web-only"),
            BOT | {"DATABASE_URL": "sqlite:////proc/x/b.db"},
            "the database file cannot be opened: its folder must exist",
            id="no-folder",
        ),
        pytest.param(
            ("serve", "--web-only"),
            BOT | {"DATABASE_URL": "postgresql://bot:hunter22@127.0.0.1:9/bot"},
            "the database server does not answer: is it running",
            id="no-postgres",
        ),
        pytest.param(("watch", "nonsense"), {}, "That is no link to a job.", id="watch-nonsense"),
    ],
)
def test_an_ordinary_mistake_is_one_sentence(
    arguments: tuple[str, ...], env: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when a command leaves one of its errors to Python (tried: take `worded` from `serve`)."""
    (tmp_path / "good.json").write_text("{}")
    (tmp_path / "bad.json").write_text("not json")
    for folder in ("no-git", "no-bwrap"):
        (tmp_path / folder).mkdir()
    for name in ("git", "sh"):
        (tmp_path / "no-bwrap" / name).symlink_to(shutil.which(name) or "/nowhere")
    subprocess.run(["git", "init", "-q", str(tmp_path / "empty")], check=True)
    path = str(tmp_path / env["PATH"]) if "PATH" in env else os.environ["PATH"]
    env = {**env, "PATH": path}
    if arguments[0] in ("serve", "demo"):
        done = backspace(*arguments, cwd=tmp_path, **env)
        code, words = done.returncode, done.stdout + done.stderr
    else:
        monkeypatch.chdir(tmp_path)
        code, words = invoked(*arguments, **env)
    assert code in (1, 2)
    assert said in words
    assert "Traceback" not in words
    assert "hunter22" not in words


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = backspace("serve", "--web-only", cwd=tmp_path, **BOT, PORT=port)
    assert done.returncode == 2
    assert f"127.0.0.1:{port} cannot be listened on (Address already in use): change HOST or PORT." in done.stderr
    assert "Traceback" not in done.stderr


def test_an_env_file_that_is_no_text_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    monkeypatch.chdir(tmp_path)
    for command in (("serve",), ("doctor",), ("run", "x")):
        code, words = invoked(*command)
        assert code == 2
        assert "- .env cannot be read: it should be UTF-8 text that this user may read." in words


def test_a_checkouts_env_file_sets_nothing_up_and_the_one_of_the_operator_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cloned a repository and enters it has not chosen where keys go. Red when it is read: seen."""
    inside = tmp_path / "clone" / "src"
    inside.mkdir(parents=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".env").write_text("ANTHROPIC_API_KEY=mine\nBACKSPACE_MODEL=rules\n")
    for name in ("BACKSPACE_MODEL", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BACKSPACE_HOME", str(tmp_path / "home"))
    for folder in (inside, inside.parent):
        (folder / ".env").write_text("ANTHROPIC_BASE_URL=https://evil.example\nBACKSPACE_MODEL=theirs\n")
    monkeypatch.chdir(inside)
    plain = environment()
    assert (plain["BACKSPACE_MODEL"], plain["ANTHROPIC_API_KEY"]) == ("theirs", "mine"), "a folder of the operator's"
    for git in (inside.parent / ".git", inside / ".git"):
        git.write_text("gitdir: elsewhere")
        for folder in (inside, inside.parent):
            monkeypatch.chdir(folder)
            found = environment()
            assert "ANTHROPIC_BASE_URL" not in found
            assert (found["BACKSPACE_MODEL"], found["ANTHROPIC_API_KEY"]) == ("rules", "mine")
    assert not in_foreign_checkout(inside, own=inside)


@pytest.mark.parametrize(
    ("env", "who"),
    [
        pytest.param({}, "No ANTHROPIC_API_KEY, so the rule agent does the work", id="no-key"),
        pytest.param(
            {"ANTHROPIC_API_KEY": "sk", "BACKSPACE_MODEL": "rules"},
            "BACKSPACE_MODEL=rules, so the rule agent does the work",
            id="a-key-and-the-rule-agent",
        ),
        pytest.param(
            {"ANTHROPIC_API_KEY": "sk", "BACKSPACE_BUDGET_USD": "0.25"},
            "claude-opus-5-5 does the work, with your ANTHROPIC_API_KEY, for $0.25 at most.",
            id="a-key-and-a-budget",
        ),
        pytest.param(
            {"ANTHROPIC_API_KEY": "sk", "BACKSPACE_MODEL": "claude-x"}, "claude-x does the work", id="another-model"
        ),
        pytest.param(
            {"BACKSPACE_MODEL": "claude-x"}, "No ANTHROPIC_API_KEY, so the rule agent", id="a-model-and-no-key"
        ),
        pytest.param(
            {"OPENAI_API_KEY": "sk", "BACKSPACE_MODEL": "gpt-x"},
            "gpt-x does the work for $3.00",
            id="a-model-elsewhere",
        ),
        pytest.param({"OPENAI_API_KEY": "sk"}, "No ANTHROPIC_API_KEY, so the rule agent", id="a-key-elsewhere-alone"),
    ],
)
def test_the_demo_says_who_does_the_work_and_for_how_much(env: dict[str, str], who: str) -> None:
    config = Config.from_env(demo_settings({**env, "GITHUB_APP_ID": "7", "HOST": "0.0.0.0"}), role="local")
    assert Text.from_markup(which_model(config)).plain.startswith(who)
    assert (config.app_id, config.host, config.log_level) == (0, "127.0.0.1", "warning")
    assert config.budget_usd == float(env.get("BACKSPACE_BUDGET_USD", "3.00"))


def test_the_demo_keeps_the_operators_limits() -> None:
    limits = {"BACKSPACE_TURNS": "7", "BACKSPACE_MINUTES": "9", "SANDBOX_MEMORY_GB": "2", "SANDBOX_DISK_GB": "3"}
    assert demo_settings(limits).items() >= limits.items()


def test_the_demo_goes_to_a_sandbox_far_away_only_when_it_is_told_to() -> None:
    """Red when tokens are passed on without the choice: seen."""
    tokens = {"MODAL_TOKEN_ID": "ak-1", "MODAL_TOKEN_SECRET": "as-1", "DOCKER_HOST": "ssh://away", "E2B_API_KEY": "e"}
    assert demo_settings(tokens).keys() & tokens.keys() == set()
    assert {**demo_settings({**tokens, "SANDBOX": "modal"}), **tokens} == demo_settings({**tokens, "SANDBOX": "modal"})


async def diagnosed(env: Mapping[str, str]) -> tuple[int, str]:
    """As `backspace doctor`, in this process: the exit code, and what is printed."""
    printed = io.StringIO()
    config, faults = Config.read(env)
    code = show(await findings(config, faults=faults), Console(file=printed, width=200))
    return code, printed.getvalue()


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
        parts = ["Clock", "GitHub App", "Installations", "Permissions", "Events", "Webhook"]
        parts += ["Model", "Sandbox", "Store", "Public address"]
        assert re.findall(r"^ok   ([\w ]+):", well.stdout, re.MULTILINE) == parts
        code, ill = await diagnosed({**env, "GITHUB_APP_ID": "1", "PUBLIC_URL": NOWHERE})
        assert code == 1
        assert "Nothing answers at http://127.0.0.1:9: start `backspace serve`, or correct PUBLIC_URL." in ill
        assert "GITHUB_APP_ID and the private key must be of one App, and the clock right (" in ill
        code, lost = await diagnosed({**env, "PUBLIC_URL": NOWHERE})
        assert code == 1
        assert f"fix  Webhook: GitHub delivers to {stage.config.public_url}/webhook\n" in lost
        stage.github.world.apps[stage.config.app_id].webhook_secret = "another"
        stage.github.open_issue(stage.repository, "alice", "Say hello")
        await stage.github.deliver()
        _, unlike = await diagnosed(env)
        assert "fix  Last delivery: issues, answered 401\n" in unlike
        payload = tmp_path / "payload.json"
        payload.write_text(json.dumps(mention("no command here")))
        sent = await asyncio.to_thread(
            backspace, "replay", str(payload), "--event", "issue_comment", cwd=tmp_path, **env
        )
        assert sent.returncode == 0, sent.stderr
        assert sent.stdout.startswith("202 ")
        assert "No line of the comment is a /backspace command." in sent.stdout
