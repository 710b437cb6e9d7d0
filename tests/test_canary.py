"""The trap in the sandbox: a run in which its token turns up is told as such, and nothing of it is published."""

from pathlib import Path

import pytest

from bot.agent.canary import PLACE, VARIABLE, Canary, CanaryFound, Watched
from bot.domain.events import Conclusion, Noted
from bot.ports import Entry
from bot.standins.messages import Script, by_turn, use
from tests.fakes import DirectorySandbox, MemoryJournal
from tests.repositories import PYTHON, python_bug, submit
from tests.test_journey import asked, assert_published, bot, end_of

pytestmark = pytest.mark.anyio

HEX = f'printf %s "${VARIABLE}" | od -An -tx1'


@pytest.mark.parametrize(
    ("script", "where"),
    [
        pytest.param(by_turn(use("bash", command="env | sort"), *submit()), "what a command showed it", id="printed"),
        pytest.param(
            by_turn(use("bash", command=f"cat ~/{PLACE} | rev"), *submit()), "what a command showed it", id="reversed"
        ),
        pytest.param(
            by_turn(use("bash", command=f"({HEX}) > notes.txt"), *submit()), "a file of the work tree", id="in-a-file"
        ),
    ],
)
async def test_a_run_that_shows_its_environment_publishes_nothing(tmp_path: Path, script: Script, where: str) -> None:
    """13.7. Red when the journal is not watched: the file is in a pull request, the output in a request (seen)."""
    async with bot(tmp_path, python_bug, script) as (stage, messages):
        issue = await asked(stage, "/backspace mend the mean")
        end = await end_of(stage, issue)
        assert end.conclusion is Conclusion.FAILURE
        assert f"A token that lies in the sandbox as a trap turned up in {where}" in end.message
        assert stage.github.pull_requests(stage.repository) == []
        assert list(stage.github.refs(stage.repository)) == ["refs/heads/main"]
        (row,) = await stage.jobs(issue)
        canary = Canary(row.job.watch_key)
        canary.check(str(messages.requests), "a request")
        canary.check(str(await stage.store.journal(row.job.id)), "the journal")


async def test_a_run_that_leaves_it_alone_is_published(tmp_path: Path) -> None:
    async with bot(tmp_path, python_bug, PYTHON.script) as (stage, _):
        await asked(stage, PYTHON.request)
        assert_published(stage, PYTHON)


async def test_the_token_is_in_every_command_of_the_agents_and_the_same_in_each_attempt(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    sandbox, canary = DirectorySandbox(tmp_path / "tree"), Canary("a job's own key")
    await canary.put(sandbox)
    shown = await sandbox.exec(
        ["bash", "-c", f'exec bash -c "echo ${VARIABLE} $BASH_ENV"'], env={"BASH_ENV": f"$HOME/{PLACE}"}, timeout_s=60
    )
    token = shown.stdout.decode().strip()
    assert token.startswith("bst_")
    assert (tmp_path / PLACE).stat().st_mode & 0o777 == 0o600
    with pytest.raises(CanaryFound):
        Canary("a job's own key").check(token, "a text")
    Canary("another's").check(token, "a text")


async def test_a_watched_journal_keeps_nothing_that_holds_the_token(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    sandbox, canary, journal = DirectorySandbox(tmp_path / "tree"), Canary("k"), MemoryJournal()
    await canary.put(sandbox)
    token = (tmp_path / PLACE).read_text().split("=")[1].strip()
    watched = Watched(journal, canary)
    for events, entry in (
        ((Noted(f"see {token}"),), None),
        ((), Entry("model", "reply 1", {"blocks": [{"text": token[::-1]}]})),
        ((), Entry("tool", "result 1.0", {}, {"sha": f"x{token}y".encode()})),
    ):
        with pytest.raises(CanaryFound):
            await watched.record(*events, entry=entry)
    assert (journal.entries(), journal.events) == ((), [])
    await watched.record(Noted("fine"), entry=Entry("effect", "x", {}))
    assert len(watched.entries()) == 1
