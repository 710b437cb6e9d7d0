"""A recorded run played back: in a terminal, on the live page, as a page of its own, and by the commands."""

import asyncio
import io
import json
import os
import re
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from bot.cli import app
from bot.domain.events import Noted, Recorded
from bot.domain.job import Job
from bot.ports import JobStore
from bot.recordings.commands import NO_CONVERSATION
from bot.recordings.playback import LONGEST_PAUSE_S, Playback, pauses, play
from bot.recordings.run import Recording, lines_of, recording_of
from bot.report.leaks import Leaks
from bot.standins.serving import reserved_port, serve
from bot.stores import open_store
from bot.watch import watch
from bot.web.live import record_app
from bot.web.shared import shared_page
from tests.polling import until
from tests.recordings.test_run import HOSTILE, SECRET, SITE
from tests.report.samples import WATCH_KEY, finished, job, log
from tests.test_watch import seen


def sample(events: tuple[Recorded, ...] = log(finished()), of: Job | None = None) -> Recording:
    return recording_of(of or job(), events, site=SITE)


async def no_wait(_: float) -> None:
    await asyncio.sleep(0)


async def shown(recording: Recording, *, speed: float | None = None) -> tuple[str, list[float]]:
    waited: list[float] = []
    printed = io.StringIO()

    async def note(seconds: float) -> None:
        waited.append(seconds)

    await play(recording, speed=speed, console=Console(file=printed, width=100), sleep=note)
    return printed.getvalue(), waited


async def test_in_the_terminal_it_reads_as_it_did_live_at_the_speed_asked_for() -> None:
    text, waited = await shown(sample(), speed=4.0)
    assert text.startswith("◆ alice asked: add --json to the export command\n◆ Started with claude-opus-5-5\n")
    assert "■ Opened #42\n" in text
    assert waited == [2.5] * (len(finished()) - 1)  # ten seconds lay between two events
    assert await shown(sample()) == (text, [])


def test_nobody_waits_long_and_a_clock_that_ran_backwards_does_no_harm() -> None:
    events = tuple(Recorded(seq, at, Noted("x")) for seq, at in enumerate((5.0, 905.0, 100.0, 101.0), 1))
    assert [pause for pause, _ in pauses(sample(events), speed=1.0)] == [0.0, LONGEST_PAUSE_S, 0.0, 1.0]


async def test_hostile_text_reaches_the_terminal_as_text() -> None:
    text, _ = await shown(sample(log([*finished()[:5], Noted(HOSTILE)])))
    last = text.split("! ", 1)[1]
    assert last.startswith("[red]x[/red] gone")
    assert "\x1b" not in text
    assert "\r" not in text
    assert "⟨U+202E⟩" in last


async def test_the_page_and_its_stream_come_from_the_file_alone() -> None:
    playback = Playback(sample(), speed=1.0, sleep=no_wait)
    playing = asyncio.create_task(playback.run())
    try:
        async with (
            serve(record_app(playback, github_url=SITE, now=playback.now)) as base,
            httpx.AsyncClient(base_url=base, trust_env=False) as client,
        ):
            before = (await client.get(playback.path)).text
            code, text = await seen(f"{base}{playback.path}")
            after = (await client.get(playback.path)).text
            closed = await client.get("/jobs/k7f3?t=wrong")
    finally:
        playing.cancel()
    assert 'data-seq="0"' in before
    assert "The record of a run, played back." in before
    assert code == 0
    assert "★ Pull request 42" in text
    assert 'data-state="success"' in after
    assert 'href="https://github.com/acme/widget/pull/42"' in after
    assert closed.status_code == 404


async def test_instantly_all_of_it_is_there() -> None:
    playback = Playback(sample(), speed=None)
    assert await playback.events("k7f3") == sample().events
    assert await playback.job("other") is None


def test_the_page_to_share_asks_nothing_of_anybody() -> None:
    page = shared_page(job(), log(finished()), github_url=SITE)
    assert "Content-Security-Policy" in page
    assert "<script" not in page
    assert "<link" not in page
    assert "<template" not in page
    assert not re.search(r"""(?:src|srcset|action|data)=["']""", page)
    assert WATCH_KEY not in page
    assert "View pull request #42" in page


def test_a_run_without_an_issue_links_to_none() -> None:
    local = replace(job(), issue=replace(job().issue, number=0))
    page = shared_page(local, log(finished()[:4]), github_url=SITE)
    assert "/issues/" not in page
    assert "#0" not in page
    assert "The run had not ended when this was written." in page


# ------------------------------------------------------------ the commands


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bot's folder, the current one, whose store holds one job that is over; its settings are in the environment."""

    async def fill() -> None:
        store: JobStore = await open_store(f"sqlite:///{tmp_path}/backspace.db")
        await store.accept(guid="g", event="issue_comment", action="created", job=job())
        claim = await store.claim("worker")
        assert claim is not None
        leaked = Noted(f"was once the key: {SECRET}")
        await store.commit(claim, events=[*finished()[1:-1], leaked, finished()[-1]], finish="succeeded")
        await store.close()

    asyncio.run(fill())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BACKSPACE_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/backspace.db")
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    return tmp_path


def ran(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.stdout, done.stderr


def test_a_job_is_exported_and_played_back(home: Path) -> None:
    """What was recorded before the bot knew a secret does not go out. Red when `lines_of` gets no secrets: seen."""
    code, text, said = ran("export", "k7f3", "--conversation")
    assert (code, said) == (0, f"{NO_CONVERSATION}\n")
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines[0]["format"] == "backspace-run"
    assert lines[0]["events"] == len(finished()) + 1
    assert SECRET not in text
    (home / "run.jsonl").write_text(text)
    code, played, said = ran("replay-run", "run.jsonl", "--instant")
    assert (code, said) == (0, "")
    assert played.startswith("◆ alice asked:")
    assert "[left out: it held a secret]" in played
    assert ran("export", "run.jsonl", "-o", "again.jsonl") == (0, "", "")
    assert (home / "again.jsonl").read_text() == text
    (home / "runs").mkdir()
    (home / "run.jsonl").rename(home / "runs/kept-1.jsonl")
    assert [ran("replay-run", name, "--instant") for name in ("kept-1", "kept-1.jsonl")] == [(0, played, "")] * 2
    assert [ran("export", name)[:2] for name in ("kept-1", "kept-1.jsonl")] == [(0, text)] * 2
    code, page, _ = ran("export", "kept-1", "--html")
    assert code == 0
    assert page.startswith("<!doctype html>")
    assert SECRET not in page


def test_a_record_that_stops_before_the_runs_end_says_so(home: Path) -> None:
    (home / "run.jsonl").write_text("".join(lines_of(sample(log(finished()[:4])), Leaks(()))))
    code, _, said = ran("replay-run", "run.jsonl", "--instant")
    assert (code, said) == (0, "The record ends here: when it was written, the run had not ended.\n")


def test_a_port_that_is_taken_is_told_without_settings_of_the_bot(home: Path) -> None:
    (home / "run.jsonl").write_text("".join(lines_of(sample(), Leaks(()))))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, said = ran("replay-run", "run.jsonl", "--serve", "--port", f"{port}")
    assert (code, said.splitlines()[-1]) == (
        2,
        f"127.0.0.1:{port} cannot be listened on (Address already in use): change --port.",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("export", "nojob"), "There is no job or run nojob: `backspace jobs` lists the jobs,", id="nojob"),
        pytest.param(("export", "../etc/x"), "'../etc/x' is no job, no run and no file that ends in .jsonl.", id="id"),
        pytest.param(("export", "gone.jsonl"), "gone.jsonl cannot be read: No such file or directory.", id="no-file"),
        pytest.param(("replay-run", "bad.jsonl"), "bad.jsonl is not the record of a run: make one with", id="bad"),
        pytest.param(("replay-run", "raw.jsonl"), "raw.jsonl is not the record of a run: it is not UTF-8", id="raw"),
        pytest.param(("export", "k7f3", "-o", "/no/x"), "/no/x cannot be written: No such file or", id="no-folder"),
    ],
)
def test_what_cannot_be_exported_or_played_is_one_sentence(home: Path, arguments: tuple[str, ...], words: str) -> None:
    (home / "bad.jsonl").write_text("{}")
    (home / "raw.jsonl").write_bytes(b"\xff\xfe")
    code, _, said = ran(*arguments)
    assert code == 2
    assert said.replace("\n", " ").startswith(words)


async def test_the_command_serves_until_it_is_interrupted(home: Path) -> None:
    (home / "run.jsonl").write_text("".join(lines_of(sample(), Leaks(()))))

    printed = io.StringIO()
    with reserved_port() as port:
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "bot",
                "replay-run",
                "run.jsonl",
                "--serve",
                "--speed",
                "1000",
                "--port",
                f"{port}",
            ),
            cwd=home,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)},
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        address = (await process.stderr.readline()).decode().split()[1]

        async def is_watched() -> bool:
            """It tells its address right before it listens."""
            return await watch(address, console=Console(file=printed, width=100)) == 0

        await until(is_watched)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert "★ Pull request 42" in printed.getvalue()
