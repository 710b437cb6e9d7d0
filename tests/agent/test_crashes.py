"""A worker that dies after any record of a run, with the real store, sandbox, mirror and SDK: another one goes on.

The model is careful: it looks whether an interrupted command did its work before it repeats it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from bot.agent.limits import Limits
from bot.agent.loop import Outcome, work
from bot.agent.review import Review
from bot.agent.transcript import fold
from bot.domain.events import Recorded
from bot.models.anthropic import AnthropicModel
from bot.ports import Claim, JobStore, Remote, Sandbox, Workspace
from bot.publish.mirror import Mirror
from bot.recorder import Recorder
from bot.report.leaks import Leaks
from bot.report.progress import progress
from bot.sandboxes.bubblewrap import Bubblewrap
from bot.standins.messages.app import LoopbackMessages
from bot.standins.messages.script import Answer, Observed, Script, answer, think, use
from bot.standins.serving import serve
from bot.stores import Store, open_store
from tests.agent.bench import TASK, no_sleep
from tests.agent.test_real_parts import CHECK, FILES, committed
from tests.fakes import Crash
from tests.stores.samples import a_job, deliver

COUNT = "echo ran >> count.txt && sed -i s/two/2/ crlf.txt"
WORDS = {"outcome": "changes", "title": "Say hello", "summary": "It said hullo.", "testing": CHECK}
TREE = {
    "greet.py": ("100644", FILES["greet.py"].replace("hullo", "hello").encode()),
    "crlf.txt": ("100644", b"one\r\n2\r\n"),
    "count.txt": ("100644", b"ran\n"),
    "run.sh": ("100755", b"#!/bin/sh\n"),
}


def careful(seen: Observed) -> Answer:
    return answer(think(), *_next(seen))


def _next(seen: Observed) -> Sequence[Any]:
    ran = [result for result in seen.all_results if result.input.get("command") == COUNT]
    cut = [result for result in seen.all_results if result.text.startswith("interrupted")]
    newest = seen.results[-1] if seen.results else None
    if newest is None:
        return [use("read", file_path="greet.py"), use("grep", pattern="hullo"), use("glob", pattern="*.txt")]
    if newest.text.startswith("interrupted") or (newest.text.startswith("not run") and cut):
        return [use("bash", command="ls -l run.sh; cat count.txt")]
    if newest.input.get("command") == "ls -l run.sh; cat count.txt":
        again = [] if "-rwx" in newest.text else [use("bash", command="chmod +x run.sh")]
        return [*again, use("bash", command="true" if "\nran" in newest.text or not ran else COUNT)]
    tools = [result.tool for result in seen.all_results]
    if "edit" not in tools:
        edit = use("edit", file_path="greet.py", old_string="hullo", new_string="hello")
        return [edit, use("read", file_path="greet.py"), use("write", file_path="run.sh", content="#!/bin/sh\n")]
    if not any("chmod" in str(result.input) for result in seen.all_results):
        return [use("bash", command="chmod +x run.sh")]
    if not ran:
        return [use("bash", command=COUNT)]
    if "diff_id: " in newest.text:
        return [use("submit", **WORDS, diff_id=seen.find(r"diff_id: (\w+)"))]
    return [use("submit", **WORDS)]


LOST_USD = 0.37  # the most that a lost request counts here: 16,000 tokens of output, 0.32, and its prompt twice


class Mortal:
    """A store whose process dies right before one of its commits, or right after it."""

    def __init__(self, store: Store, *, dies_at: int | None, before: bool) -> None:
        self._store = store
        self._dies_at = dies_at
        self._before = before
        self.commits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, claim: Claim, **more: Any) -> tuple[Recorded, ...]:
        self.commits += 1
        if self.commits == self._dies_at and self._before:
            raise Crash
        recorded = await self._store.commit(claim, **more)
        if self.commits == self._dies_at:
            raise Crash
        return recorded


@dataclass
class Machine:
    store: Store
    workspace: Workspace
    server: LoopbackMessages
    url: str
    asked: list[int] = field(default_factory=list)

    @asynccontextmanager
    async def sandbox(self) -> AsyncIterator[Sandbox]:
        sandbox = await Bubblewrap().open("job")
        try:
            await self.workspace.fill(sandbox)
            yield sandbox
        finally:
            await sandbox.close()

    async def attempt(
        self, sandbox: Sandbox, *, dies_at: int | None = None, before: bool = False
    ) -> tuple[Outcome | None, int]:
        """A claim of the job, worked on until its end or the worker's; and how many commits that took."""
        claim = await self.store.claim("worker", job_id="job-a")
        assert claim is not None
        mortal = Mortal(self.store, dies_at=dies_at, before=before)
        store = cast(JobStore, mortal)
        journal = await Recorder.open(store, claim, leaks=Leaks(["a secret of the test"]), on_recorded=lambda _: None)
        model = AnthropicModel("test-key", model="claude-opus-5-5", base_url=self.url)
        review = Review(self.workspace, sandbox, gate=lambda patch: (), check_command=CHECK, open_base=self.sandbox)
        try:
            ended = await work(
                TASK, model=model, sandbox=sandbox, review=review, journal=journal, limits=Limits(), sleep=no_sleep
            )
        except Crash:
            ended = None
        finally:
            await model.aclose()
            await self.store.release(claim)
        return ended, mortal.commits


@asynccontextmanager
async def machine(at: Path, name: str, source: Path, sha: str, plays: Script = careful) -> AsyncIterator[Machine]:
    workspace = await Mirror(at / "mirror").pin(Remote(str(source), ""), repo_id=1, sha=sha)
    store = await open_store(f"sqlite:///{at / name}.db")
    asked: list[int] = []

    def script(seen: Observed) -> Answer:
        asked.append(seen.turn)
        return plays(seen)

    server = LoopbackMessages(script)
    try:
        await deliver(store, a_job("a"))
        async with serve(server.asgi()) as url:
            yield Machine(store, workspace, server, url, asked)
    finally:
        await store.close()


def repository(tmp_path: Path) -> tuple[Path, str]:
    source = tmp_path / "source"
    source.mkdir()
    for path, content in FILES.items():
        (source / path).write_bytes(content.encode())
    return source, committed(source)


async def commits_of_a_whole_run(tmp_path: Path, source: Path, sha: str) -> int:
    async with machine(tmp_path, "straight", source, sha) as on, on.sandbox() as sandbox:
        outcome, commits = await on.attempt(sandbox)
        assert_ended_well(outcome)
        assert len(on.asked) == 6
    return commits


def assert_ended_well(outcome: Outcome | None) -> None:
    assert outcome is not None
    assert outcome.kind == "submitted", outcome.message
    assert outcome.patch is not None
    assert {change.path: (change.mode, change.content) for change in outcome.patch.changes} == TREE


async def died_and_went_on(at: Path, source: Path, sha: str, *, dies_at: int, before: bool, keeps: bool) -> None:
    async with machine(at, f"died{dies_at}", source, sha) as on:
        async with on.sandbox() as sandbox:
            assert (await on.attempt(sandbox, dies_at=dies_at, before=before))[0] is None
            outcome = (await on.attempt(sandbox))[0] if keeps else None
        if not keeps:
            async with on.sandbox() as another:
                outcome = (await on.attempt(another))[0]
        where = f"the worker died {'before' if before else 'after'} record {dies_at}"
        assert_ended_well(outcome)
        await assert_asked_and_paid_once(on, where, before=before)


async def assert_asked_and_paid_once(on: Machine, where: str, *, before: bool) -> None:
    """To a billionth of a dollar, but for what was on its way when a worker died: that counts at most, never less."""
    assert on.server.refused == [], where
    journal = await on.store.journal("job-a")
    lost = [entry for entry in journal if entry.key.startswith("discarded ")]
    journalled = fold(journal).usd
    assert journalled is not None
    over = journalled - sum(charge.dollars for charge in on.server.ledger)
    assert -1e-9 < over < 1e-9 + LOST_USD * len(lost), where
    told = progress(await on.store.events("job-a"))
    assert told.usd == pytest.approx(journalled), f"{where}: comment and page"
    if not before:  # a reply that was lost with its worker has to be asked for again
        assert on.asked == list(range(len(on.asked))), f"{where}: a reply was asked for twice"


DEATHS = [
    pytest.param(False, True, id="after it, and the sandbox is still there"),
    pytest.param(False, False, id="after it, and the sandbox too"),
    pytest.param(True, True, id="before it, and the sandbox is still there"),
    pytest.param(True, False, id="before it, and the sandbox too"),
]


@pytest.mark.parametrize(("before", "keeps"), DEATHS[:3:2])
async def test_a_worker_that_dies_at_a_record_leaves_a_run_that_another_ends(
    tmp_path: Path, before: bool, keeps: bool
) -> None:
    """At two of the records; the slow test below has them all."""
    source, sha = repository(tmp_path)
    for dies_at in (6, 9):
        await died_and_went_on(tmp_path, source, sha, dies_at=dies_at, before=before, keeps=keeps)


@pytest.mark.slow
@pytest.mark.parametrize(("before", "keeps"), DEATHS)
async def test_a_worker_may_die_at_any_record(tmp_path: Path, before: bool, keeps: bool) -> None:
    """The same tree, no reply asked for twice, no command run twice (count.txt says so), all that was paid counted
    once. Red when a command that had begun is run again, and when the tree is not kept with a result (both seen)."""
    source, sha = repository(tmp_path)
    for dies_at in range(1, await commits_of_a_whole_run(tmp_path, source, sha) + 1):
        await died_and_went_on(tmp_path, source, sha, dies_at=dies_at, before=before, keeps=keeps)


async def test_workers_that_die_at_one_turn_one_after_the_other_each_leave_what_they_paid(tmp_path: Path) -> None:
    """Each had its answer and died before that was written down. Red when a request is not written down before it is
    sent, and when one that a dead worker sent is counted only once a turn: seen."""
    source, sha = repository(tmp_path)
    async with machine(tmp_path, "twice", source, sha) as on:
        async with on.sandbox() as sandbox:
            for answer_at in (3, 2):  # after the header and the request; after the request
                assert (await on.attempt(sandbox, dies_at=answer_at, before=True))[0] is None
            outcome = (await on.attempt(sandbox))[0]
        assert_ended_well(outcome)
        assert on.asked[:4] == [0, 0, 0, 1]
        journal = await on.store.journal("job-a")
        assert [entry.key for entry in journal if entry.kind == "model"][:3] == [
            "discarded 1",
            "discarded 2",
            "reply 1",
        ]
        await assert_asked_and_paid_once(on, "two workers died", before=True)
