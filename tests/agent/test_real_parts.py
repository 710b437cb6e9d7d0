"""The run on real parts: the mirror's workspace, a bubblewrap sandbox, the Anthropic SDK, the scripted server."""

import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot.agent.limits import Limits
from bot.agent.loop import Outcome, work
from bot.agent.review import Review
from bot.agent.rules import RuleModel
from bot.domain.events import Verified
from bot.domain.job import Patch
from bot.models.anthropic import AnthropicModel
from bot.ports import Model, Remote, Sandbox, Workspace
from bot.publish.mirror import Mirror
from bot.sandboxes.bubblewrap import Bubblewrap
from bot.standins.messages.app import LoopbackMessages
from bot.standins.messages.faults import Cut, Fault, MaxTokens, Status
from bot.standins.messages.script import Answer, Observed, Script, Use, answer, by_turn, say, think, use
from bot.standins.serving import serve
from tests.agent.bench import TASK, no_sleep
from tests.fakes import Crash, MemoryJournal

FILES = {
    "greet.py": 'def greet():\n    return "hullo"\n',
    "test_greet.py": (
        "import unittest\nfrom greet import greet\n\n\nclass Test(unittest.TestCase):\n"
        '    def test_it(self):\n        self.assertEqual(greet(), "hello")\n'
    ),
    "crlf.txt": "one\r\ntwo\r\n",
}
CHECK = "python3 -m unittest -q"
WORDS = {"outcome": "changes", "title": "Say hello", "summary": "It said hullo.", "testing": CHECK}


@dataclass
class Place:
    workspace: Workspace
    provider: Bubblewrap

    @asynccontextmanager
    async def filled(self) -> AsyncIterator[Sandbox]:
        sandbox = await self.provider.open("job")
        try:
            await self.workspace.fill(sandbox)
            yield sandbox
        finally:
            await sandbox.close()

    async def run(self, model: Model, sandbox: Sandbox, *, request: str = "", journal: MemoryJournal) -> Outcome:
        def gate(patch: Patch) -> list[str]:
            return []

        review = Review(self.workspace, sandbox, gate=gate, check_command=CHECK, open_base=self.filled)
        return await work(
            replace(TASK, request=request or TASK.request),
            model=model,
            sandbox=sandbox,
            review=review,
            journal=journal,
            limits=Limits(),
            sleep=no_sleep,
        )


def committed(folder: Path) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder.parent), "GIT_CONFIG_NOSYSTEM": "1"}
    git = ["git", "-c", "core.autocrlf=false", "-c", "user.name=a", "-c", "user.email=a@localhost"]
    for argv in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "base"]):
        subprocess.run([*git, *argv], cwd=folder, env=env, check=True)
    found = subprocess.run([*git, "rev-parse", "HEAD"], cwd=folder, env=env, check=True, capture_output=True)
    return found.stdout.decode().strip()


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    source = tmp_path / "source"
    source.mkdir()
    for path, content in FILES.items():
        (source / path).write_bytes(content.encode())
    sha = committed(source)
    workspace = await Mirror(tmp_path / "mirror").pin(Remote(str(source), ""), repo_id=1, sha=sha)
    return Place(workspace, Bubblewrap())


def submit_again(seen: Observed) -> Use:
    return use("submit", **WORDS, diff_id=seen.find(r"diff_id: (\w+)"))


FIX: Script = by_turn(
    [think(""), use("read", file_path="greet.py"), use("grep", pattern="hullo"), use("glob", pattern="**/*.py")],
    [think(""), say("Found it."), use("edit", file_path="greet.py", old_string="hullo", new_string="hello")],
    [use("bash", command=CHECK)],
    [think(""), use("submit", **WORDS)],
    submit_again,
)


@asynccontextmanager
async def claude(
    script: Script, faults: Mapping[int, Fault] | None = None
) -> AsyncIterator[tuple[Model, LoopbackMessages]]:
    server = LoopbackMessages(script, faults=faults)
    async with serve(server.asgi()) as url:
        model = AnthropicModel("test-key", model="claude-opus-5-5", base_url=url)
        yield model, server
        await model.aclose()


async def test_a_bug_is_fixed_checked_and_submitted_by_claude(place: Place) -> None:
    async with claude(FIX) as (model, server), place.filled() as sandbox:
        outcome = await place.run(model, sandbox, journal=MemoryJournal())
    assert outcome.message == f"The change is ready and its check passes: `{CHECK}`."
    assert outcome.patch is not None
    assert {change.path: change.content for change in outcome.patch.changes} == {
        "greet.py": FILES["greet.py"].replace("hullo", "hello").encode()
    }
    assert server.refused == []
    assert outcome.usd == pytest.approx(sum(charge.dollars for charge in server.ledger), abs=1e-9)


@pytest.mark.parametrize("number", [1, 3, 5], ids=["first", "middle", "last"])
@pytest.mark.parametrize(
    "fault", [Status(status=529), Cut(byte=700), MaxTokens()], ids=["overloaded", "cut", "max-tokens"]
)
async def test_a_lost_reply_at_any_turn_changes_nothing(place: Place, number: int, fault: Fault) -> None:
    async with claude(FIX, {number: fault}) as (model, server), place.filled() as sandbox:
        outcome = await place.run(model, sandbox, journal=MemoryJournal())
    assert (outcome.kind, outcome.turns) == ("submitted", 5)
    assert len(server.requests) == 6
    assert {refused for refused, _ in server.refused} <= {number}, "no request but the spoiled one was refused"


async def test_a_new_sandbox_after_a_crash_does_not_pass_for_the_old_one(place: Place) -> None:
    """The server signs thinking over all that came before, so an edited history would be refused as well."""

    def script(seen: Observed) -> Answer:
        return answer(think(""), step(seen))

    def step(seen: Observed) -> Use:
        newest = "".join(result.text for result in seen.results)
        if seen.turn == 0 or "sandbox was lost" in seen.said:
            return use("edit", file_path="greet.py", old_string="hullo", new_string="hello")
        return submit_again(seen) if "diff_id: " in newest else use("submit", **WORDS)

    journal = MemoryJournal(crash_after=6)
    async with claude(script) as (model, server):
        async with place.filled() as sandbox:
            with pytest.raises(Crash):
                await place.run(model, sandbox, journal=journal)
        async with place.filled() as sandbox:
            outcome = await place.run(model, sandbox, journal=MemoryJournal(journal.entries()))
    assert outcome.kind == "submitted"
    assert outcome.patch is not None
    assert [change.path for change in outcome.patch.changes] == ["greet.py"]
    assert server.refused == []


async def test_the_agent_without_a_model_works_in_the_same_places(place: Place) -> None:
    request = (
        "replace `hullo` with `hello` in greet.py, add `three` to `crlf.txt`, rename file crlf.txt to text/dos.txt\n"
        "```diff\n--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+new\n```\n```text docs/n.md\nnotes\n```"
    )
    async with place.filled() as sandbox:
        outcome = await place.run(RuleModel(), sandbox, request=request, journal=MemoryJournal())
    assert outcome.kind == "submitted", outcome
    assert outcome.patch is not None
    assert {change.path: change.content for change in outcome.patch.changes} == {
        "greet.py": FILES["greet.py"].replace("hullo", "hello").encode(),
        "crlf.txt": None,
        "text/dos.txt": b"one\r\ntwo\r\nthree\r\n",
        "new.txt": b"new\n",
        "docs/n.md": b"notes\n",
    }


async def test_hostile_tool_calls_meet_words_and_not_exceptions(place: Place) -> None:
    script = by_turn(
        [use("write", file_path="greet.py/x", content="x")],
        [use("write", file_path=".", content="x")],
        [use("bash", command="rm -rf .git; ln -s / way; mkfifo pipe; seq 1 9000")],
        [use("read", file_path="way/etc/passwd"), use("read", file_path="pipe"), use("read", file_path="way")],
        [use("write", file_path="way/tmp/x", content="x")],
        [use("glob", pattern="**/*.py"), use("grep", pattern="hullo"), use("grep", pattern="root:", path="way/etc")],
        [use("bash", command="sleep 30 & sleep 30", timeout_ms=300)],
        use("submit", **{**WORDS, "outcome": "blocked"}),
    )
    journal = MemoryJournal()
    async with claude(script) as (model, server), place.filled() as sandbox:
        outcome = await place.run(model, sandbox, journal=journal)
    assert (outcome.kind, outcome.turns) == ("blocked", 8)
    assert server.refused == []
    said = [entry.data for entry in journal.entries() if entry.key.startswith("result")]
    assert [data["is_error"] for data in said] == [
        *[True, True],
        False,
        *[True, True, True],
        True,
        *[False, False, False],  # the link leads to the sandbox's own /etc, where nothing is to be found
        False,
        False,
    ], [data["text"][:100] for data in said]
    assert "full output: .git/backspace/out/" in said[2]["text"]


FAKE = "#!/bin/sh\necho Ran 7 tests in 0.1s\necho OK\n"
FORGED = f"""
for place in ~/.local/bin .venv/bin; do
    mkdir -p $place && printf '{FAKE}' > $place/python3 && chmod +x $place/python3
done
echo '*' > .venv/.gitignore"""


async def test_a_program_that_the_agent_puts_first_in_the_path_forges_no_receipt(place: Place) -> None:
    """Red when the head is checked in the sandbox that the agent worked in: seen."""
    wrong = use("write", file_path="greet.py", content="def greet():\n    return 42\n")
    script = by_turn([use("bash", command=FORGED), wrong], [use("submit", **WORDS)], submit_again)
    journal = MemoryJournal()
    async with claude(script) as (model, _), place.filled() as sandbox:
        outcome = await place.run(model, sandbox, journal=journal)
        forged = await sandbox.exec(["bash", "-c", CHECK], timeout_s=60)
    assert forged.stdout == b"Ran 7 tests in 0.1s\nOK\n"
    (verified,) = journal.of(Verified)
    assert [(run.where, run.exit_code) for run in verified.receipt.runs] == [("base", 1), ("head", 1)]
    assert "passes" not in outcome.message
