"""`backspace run` as people and scripts use it: results, exit codes, Ctrl-C, and the record it leaves."""

import asyncio
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bot.agent.outcome import Kind, Outcome
from bot.cli import app
from bot.domain.conversation import Usage
from bot.domain.errors import UserError
from bot.domain.events import Conclusion, JobQueued, Noted, Recorded
from bot.domain.job import Change, Patch
from bot.local.command import Wanted, asked, handed_back
from bot.local.done import Done, Exit, exit_of
from bot.local.git import check_branch, has_uncommitted, head_of, last_subjects, make_branch, toplevel
from bot.local.ready import Wish, local_config, made_ready, models_of
from bot.local.record import KEPT, LocalRecord, View, forget_old
from bot.local.run import run_locally, who
from bot.recordings.commands import read
from bot.recordings.run import Heading
from bot.repo_config import RepoConfig
from bot.report.leaks import Leaks
from tests.recordings.test_run import HOSTILE, SECRET
from tests.repositories import PYTHON, python_bug
from tests.test_cli import PATCH, ROOT, backspace

pytestmark = pytest.mark.anyio


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return python_bug(tmp_path / "source")


def git(repo: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(repo), *arguments], check=True, capture_output=True, text=True).stdout


def settings(tmp_path: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
    return {**kept, "PYTHONPATH": str(ROOT), "BACKSPACE_HOME": str(tmp_path / "home"), "COLUMNS": "100"}


AS_ADA = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")


def running(tmp_path: Path, source: Path, *arguments: str, terminal: int | None = None) -> subprocess.Popen[str]:
    """In a session and process group of its own, as a shell starts a command; `terminal` is what it belongs to."""
    on_it = [] if terminal is None else ["setsid", "--ctty"]
    return subprocess.Popen(
        [*on_it, sys.executable, "-m", "bot", "run", "--repo", str(source), *arguments, PATCH],
        env=settings(tmp_path),
        cwd=ROOT,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if terminal is None else terminal,
        text=True,
        start_new_session=terminal is None,
    )


def members(group: int) -> set[str]:
    """The names of its programs: all of them get the Ctrl-C of a terminal."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # some end meanwhile
            name, _, rest = path.read_text(errors="replace").partition("(")[2].rpartition(")")
            found |= {name} if int(rest.split()[2]) == group else set()
    return found


def test_a_branch_holds_the_change_and_a_dirty_work_tree_stays_as_it_is(tmp_path: Path, source: Path) -> None:
    (source / "calc/mean.py").write_text("# half an idea\n")
    (source / "staged.txt").write_text("staged")
    git(source, "add", "staged.txt")
    head, status = git(source, "rev-parse", "HEAD"), git(source, "status", "--porcelain")
    (tmp_path / "wish.md").write_text(f"{PATCH}\n")
    done = backspace(
        *(
            "run",
            "--json",
            "--branch",
            "mend/mean",
            "--repo",
            str(source / "calc"),
            "--file",
            str(tmp_path / "wish.md"),
        ),
        BACKSPACE_HOME=str(tmp_path / "home"),
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert f"the agent gets the last commit, {head[:12]}." in done.stderr
    assert told["outcome"] == "submitted"
    assert told["branch"] == "mend/mean"
    assert told["base"] == git(source, "rev-parse", "mend/mean^").strip() == head.strip()
    assert told["receipt"]["verdict"] == "1 failed on base, 1 passed on head"
    assert told["usd"] == 0
    assert told["files"] == [{"path": "calc/mean.py", "additions": 1, "deletions": 1}]
    assert told["patch"] == git(source, "diff", "--full-index", "HEAD", "mend/mean") or "len(numbers)" in told["patch"]
    assert git(source, "show", "mend/mean:calc/mean.py").encode() == PYTHON.changed["calc/mean.py"][1]
    assert (git(source, "rev-parse", "HEAD"), git(source, "status", "--porcelain")) == (head, status)
    recording = read(Path(told["record"]))
    assert recording.heading.run == told["run"]
    assert [r.event.kind for r in recording.events][:4] == ["job_queued", "job_started", "base_pinned", "sandbox_ready"]
    assert recording.events[-1].event.kind == "job_finished"
    again = backspace("run", "--branch", "mend/mean", "--repo", str(source), PATCH, BACKSPACE_HOME=str(tmp_path))
    assert again.returncode == 2
    assert "has a branch mend/mean already: give --branch another name." in again.stderr


def test_the_operators_turns_end_a_run_with_what_there_is(tmp_path: Path, source: Path) -> None:
    """The rule agent needs two turns: to apply the patch, and to hand it in."""
    done = backspace(*("run", "--repo", str(source), PATCH), BACKSPACE_HOME=str(tmp_path / "home"), BACKSPACE_TURNS="1")
    assert done.returncode == Exit.BUDGET, done.stderr
    assert "1 turn" in done.stderr
    assert done.stdout.startswith("diff --git a/calc/mean.py b/calc/mean.py")


def test_control_c_hands_over_the_change_so_far(tmp_path: Path, source: Path) -> None:
    """Red when the signal ends the whole command, and when it reaches the sandbox too: seen."""
    (source / ".github/backspace.yml").write_text("test: sleep 600\n")
    git(source, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "Rules")
    process = running(tmp_path, source)
    assert process.stderr is not None
    while (line := process.stderr.readline()) and "→ submit" not in line:
        pass
    assert "→ submit" in line
    assert members(process.pid).isdisjoint({"bwrap"}), members(process.pid)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED
    assert "■ Interrupted. This is the change so far." in said
    assert out.startswith("diff --git a/calc/mean.py b/calc/mean.py")
    assert "Traceback" not in said


def test_on_a_terminal_a_line_below_says_what_goes_on(tmp_path: Path, source: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "bot", "run", "--repo", str(source), "--patch", str(tmp_path / "out.diff"), PATCH],
        env={**settings(tmp_path), "TERM": "xterm"},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += (more := os.read(ours, 65536))
            except OSError:
                break
            if not more:
                break
    os.close(ours)
    assert process.returncode == 0, shown
    assert re.search(r"\$0\.00 of \$3\.00 · \d turns? · [\d.]+ s", shown.decode())
    assert "Start the sandbox" in shown.decode()
    assert (tmp_path / "out.diff").read_text().startswith("diff --git a/calc/mean.py")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(
            ("--json", "--patch", "-", "x"), "--json and --patch - both want standard output", id="two-outputs"
        ),
        pytest.param((), "Say what to do: as an argument, as `-` for standard input, or in a file", id="nothing"),
        pytest.param(("--file", "none.md"), "none.md cannot be read: No such file or directory.", id="no-file"),
        pytest.param(("-",), "There is nothing to do: the prompt is empty.", id="empty-stdin"),
        pytest.param(("--json", "x"), "has no commit yet, and the agent works on a commit", id="no-commit"),
        pytest.param(("--json", "--patch", "none/p.diff", "x"), "none/p.diff cannot be written: there", id="no-folder"),
        pytest.param(("--json", "--patch", ".", "x"), "cannot be written: it is a folder", id="patch-is-a-folder"),
        pytest.param(("--json", "--image", "nosuch", "x"), "--image nosuch is not known", id="no-such-image"),
        pytest.param(("--json", "--image", "go", "x"), "--image go would change nothing", id="no-images-here"),
        pytest.param(("--json", "--repo", "none", "x"), "none is not a folder that can be entered", id="no-repo"),
    ],
)
def test_what_cannot_start_is_one_sentence_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    git(tmp_path, "init", "-q")
    monkeypatch.chdir(tmp_path)
    for name, value in settings(tmp_path).items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ("run", *arguments), input="")
    assert done.exit_code == Exit.NOT_STARTED
    assert said in done.stderr.replace("\n", " ")
    if "--json" in arguments:
        assert said in json.loads(done.stdout)["message"]
        assert json.loads(done.stdout).keys() == Done(exit_code=Exit.FAILED, message="").as_data().keys()


@pytest.mark.parametrize(
    ("model", "of_the_repository", "works"),
    [
        pytest.param("", None, ("claude-opus-5-5",), id="settings"),
        pytest.param("", ("rules",), ("rules",), id="repository"),
        pytest.param("", ("gpt-6.1-sol", "rules"), ("rules",), id="as-far-as-there-are-keys"),
        pytest.param("claude-opus-5-5", ("rules",), ("claude-opus-5-5",), id="terminal"),
    ],
)
async def test_the_terminal_chooses_the_model_then_the_repository_then_the_settings(
    tmp_path: Path, model: str, of_the_repository: tuple[str, ...] | None, works: tuple[str, ...]
) -> None:
    config = local_config({"ANTHROPIC_API_KEY": "k" * 40}, model)
    wish = Wish(prompt="p", repo=tmp_path, model=model)
    assert await models_of(config, wish, RepoConfig(model=of_the_repository)) == works


async def test_a_repositorys_model_without_a_key_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^.github/backspace.yml: The model `gpt-6.1-sol` cannot .* --model chooses"):
        await models_of(local_config({}, None), Wish(prompt="p", repo=tmp_path), RepoConfig(model=("gpt-6.1-sol",)))


async def test_looking_for_uncommitted_changes_writes_nothing(source: Path) -> None:
    """`git status` by itself refreshes the index. Red without `--no-optional-locks`: seen."""
    os.utime(source / "calc/mean.py", (1, 1))
    before = (source / ".git/index").read_bytes()
    assert not await has_uncommitted(source)
    assert (source / ".git/index").read_bytes() == before


def test_a_user_without_a_name_is_known_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert who() == "uid 54321"


async def test_what_git_refuses_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain").mkdir()
    git(tmp_path, "init", "-q", "--bare", "bare")
    git(tmp_path, "init", "-q", "--object-format=sha256", "long")
    git(tmp_path / "long", *AS_ADA, "commit", "--allow-empty", "-qm", "One")
    with pytest.raises(UserError, match="is not a git checkout: name one with --repo, or make one with `git init`"):
        await toplevel(tmp_path / "plain")
    with pytest.raises(UserError, match="is a bare repository, without files"):
        await toplevel(tmp_path / "bare")
    with pytest.raises(UserError, match="names its commits by SHA-256, which is not supported"):
        await head_of(await toplevel(tmp_path / "long"))
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=f"`git config --global --add safe.directory {tmp_path}/long` allows it"):
        await toplevel(tmp_path / "long")


# ------------------------------------------------------------ what was paid for is handed over


def test_a_patch_that_cannot_be_written_any_more_goes_to_standard_output(tmp_path: Path, source: Path) -> None:
    """As when a disk fills up meanwhile. Red when a failed write ends the command at once: seen."""
    done = backspace(
        *("run", "--repo", str(source), "--patch", "/dev/full", PATCH), BACKSPACE_HOME=str(tmp_path / "home")
    )
    assert done.returncode == Exit.FAILED
    assert done.stdout.startswith("diff --git a/calc/mean.py b/calc/mean.py")
    assert "/dev/full cannot be written: No space left on device. The patch is on standard output." in done.stderr


@pytest.mark.usefixtures("hangs_up")
def test_a_terminal_closed_in_the_setup_leaves_one_object_and_a_record_with_an_end(
    tmp_path: Path, source: Path
) -> None:
    """Red when the signal is not met, and when nobody to talk to is a fault: seen."""
    (source / ".github/backspace.yml").write_text("setup: sleep 600\n")
    git(source, *AS_ADA, "commit", "-qam", "Rules")
    ours, theirs = pty.openpty()
    process = running(tmp_path, source, "--json", terminal=theirs)
    os.close(theirs)
    shown = b""
    while b"run sleep" not in shown:
        shown += os.read(ours, 65536)
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED
    told = json.loads(out)
    assert (told["outcome"], told["patch"]) == ("interrupted", None)
    assert told["message"] == "Interrupted. Nothing was changed until then."
    assert read(Path(told["record"])).events[-1].event.kind == "job_finished"


class Faulty(io.StringIO):
    """A terminal that fails once, after the agent's first change."""

    failed = False

    def write(self, text: str) -> int:
        if "submit" in text and not self.failed:
            self.failed = True
            raise RuntimeError("a secret")
        return super().write(text)


async def test_a_fault_of_ours_hands_over_the_change_so_far_and_ends_the_record(tmp_path: Path, source: Path) -> None:
    """Red when only errors with words are met: seen."""
    config = local_config(settings(tmp_path), "rules")
    ready = await made_ready(config, Wish(prompt=PATCH, repo=source))
    done = await run_locally(ready, console=Console(file=Faulty(), width=80))
    assert done.exit_code is Exit.FAILED
    assert "len(numbers)" in done.diff
    assert re.fullmatch(
        r"A fault of Tiny Backspace ended the work: RuntimeError in test_run.py, line \d+. Please report it. "
        r"This is the change so far.",
        done.message,
    )
    assert done.record is not None
    last = read(done.record).events[-1].event
    assert (last.kind, getattr(last, "message", "")) == ("job_finished", done.message)


def outcome_of(kind: Kind, conclusion: Conclusion, patch: Patch | None = None) -> Outcome:
    return Outcome(
        kind=kind,
        conclusion=conclusion,
        message="m",
        submission=None,
        patch=patch,
        receipt=None,
        turns=1,
        tool_calls=0,
        usage=Usage(),
        usd=None,
        nudges=0,
    )


def test_a_patch_for_a_standard_output_that_is_gone_lies_beside_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when the failed write ends the command: seen."""
    patch = Patch(base_sha="0" * 40, tree_sha="0" * 40, changes=(), stats=(), diff="the diff", diff_id="")
    made = outcome_of("submitted", Conclusion.NEUTRAL, patch)
    done = Done(exit_code=Exit.CHANGES, message="m", outcome=made, run="r", record=tmp_path / "r.jsonl")
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        told = handed_back(done, Wanted(None, None, tmp_path, None, None, "", None, "", as_json=False))
    assert told.exit_code is Exit.FAILED
    assert told.message.startswith("Standard output cannot be written: No space left on device. The patch is in ")
    assert (tmp_path / "r.patch").read_text() == "the diff"


@pytest.mark.parametrize(
    ("kind", "conclusion", "code"),
    [
        ("submitted", Conclusion.NEUTRAL, 0),
        ("stopped", Conclusion.FAILURE, 1),
        ("stopped", Conclusion.NEUTRAL, 1),
        ("no_change", Conclusion.NEUTRAL, 3),
        ("answered", Conclusion.NEUTRAL, 3),
        ("blocked", Conclusion.ACTION_REQUIRED, 4),
        ("stopped", Conclusion.TIMED_OUT, 5),
    ],
)
def test_each_end_has_its_exit_code(kind: Kind, conclusion: Conclusion, code: int) -> None:
    made = outcome_of(kind, conclusion)
    done = Done(exit_code=exit_of(made), message="m", outcome=made, run="r", seconds=1.0, record=Path("r"))
    assert done.exit_code == code
    assert done.as_data()["exit_code"] == code
    assert done.as_data()["outcome"] == kind
    nothing = Done(exit_code=Exit.NOT_STARTED, message="m").as_data()
    assert nothing.keys() == done.as_data().keys()
    assert (nothing["outcome"], nothing["patch"], nothing["record"]) == ("not_started", None, None)


def test_the_prompt_comes_from_one_place() -> None:
    assert asked(" mend it\n", None) == "mend it"
    with pytest.raises(UserError):
        asked("x", Path("y"))


async def test_a_branch_is_made_of_exactly_the_tree_that_was_checked_or_not_at_all(source: Path) -> None:
    base = git(source, "rev-parse", "HEAD").strip()
    changes = (
        Change("new dir/caf\udce9 \n.sh", "100755", b"#!\n"),
        Change("link", "120000", b"calc"),
        Change("calc/mean.py", None, None),
    )
    patch = Patch(base_sha=base, tree_sha="0" * 40, changes=changes, stats=(), diff="", diff_id="")
    with pytest.raises(UserError, match="another tree"):
        await make_branch(source, "b", patch, message="m")
    assert "refs/heads/b" not in git(source, "for-each-ref")
    git(source, "checkout", "-q", "-b", "taken/one")
    git(source, "checkout", "-q", "-")
    for name in ("a..b", "-x", "", "x.lock", "HEAD", "@", "@{-1}"):
        with pytest.raises(UserError, match="cannot be the name of a branch"):
            await check_branch(source, name)
    for name in ("taken", "taken/one/more"):
        with pytest.raises(UserError, match="has a branch taken/one, so git can make no"):
            await check_branch(source, name)
    for name in ("taken/two", "taken/one-more", "take"):
        await check_branch(source, name)


# ------------------------------------------------------------ the record

HEADING = Heading(run="r", repository="local/x", issue=0, title="t", prompt="p", requested_by="ada")


async def test_the_record_holds_no_secret_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Red when the record is written without `Leaks`: seen."""
    told: list[Recorded] = []
    record = LocalRecord(tmp_path / "runs/r.jsonl", HEADING, leaks=Leaks([SECRET]), tell=told.append, now=lambda: 5.0)
    await record.record(JobQueued("p", "ada"), Noted(f"key {SECRET}"))
    text = record.file.read_text()
    assert SECRET not in text
    assert record.file.stat().st_mode & 0o777 == 0o600
    assert len(read(record.file).events) == len(told) == 2


def test_only_the_newest_records_are_kept(tmp_path: Path) -> None:
    for number in range(KEPT + 2):
        path = tmp_path / f"{number}.jsonl"
        path.touch()
        os.utime(path, (number, number))
    (tmp_path / "gone-meanwhile.jsonl").symlink_to("nowhere")
    forget_old(tmp_path)
    (tmp_path / "gone-meanwhile.jsonl").unlink()
    assert len(list(tmp_path.iterdir())) == KEPT - 1
    assert not (tmp_path / "2.jsonl").exists()


def test_hostile_text_stays_text_in_the_view() -> None:
    out = io.StringIO()
    with View(Console(file=out, width=80)) as view:
        view.tell(Recorded(1, 1.0, Noted(HOSTILE)))
    assert "\x1b" not in out.getvalue()
    assert "[red]x[/red]" in out.getvalue()


async def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        await asyncio.to_thread(
            lambda: LocalRecord(tmp_path / "file/r.jsonl", HEADING, leaks=Leaks(()), tell=lambda _: None)
        )


async def test_the_subjects_of_the_last_commits_are_told(source: Path) -> None:
    sha = await head_of(source)
    for number in range(9):
        git(
            source,
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.org",
            "commit",
            "--quiet",
            "--allow-empty",
            "-m",
            f"Change {number}\n\nWhy.",
        )
    newest = await last_subjects(source, await head_of(source))
    assert newest == tuple(f"Change {number}" for number in range(8, 0, -1))
    assert len(await last_subjects(source, sha)) >= 1
