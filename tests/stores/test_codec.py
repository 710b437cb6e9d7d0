"""Jobs and events as text, and what another version wrote."""

import json
from dataclasses import replace

import pytest

from bot.domain.conversation import Usage
from bot.domain.errors import ProviderError
from bot.domain.events import (
    BasePinned,
    BranchMoved,
    Conclusion,
    ContextRead,
    DiffShown,
    JobEvent,
    JobFinished,
    JobQueued,
    JobStarted,
    ModelAnswered,
    Noted,
    PullRequestOpened,
    SandboxReady,
    ToolCalled,
    ToolReturned,
    Verified,
)
from bot.domain.job import (
    Approve,
    Cancel,
    Check,
    Command,
    Continue,
    FileStat,
    Help,
    Options,
    Plan,
    Receipt,
    Retry,
    Start,
    Status,
    Unclear,
    Undo,
)
from bot.stores import codec
from tests.stores.samples import a_job

RUN = Check(where="head", exit_code=None, seconds=1.5, tail="...", timed_out=True)
EVENTS: list[JobEvent] = [
    JobQueued("Fix it", "octocat"),
    JobStarted(1, "a-model", 1.5),
    BasePinned("main", "a" * 40),
    SandboxReady("bubblewrap", 0.1),
    ContextRead(("AGENTS.md",), "make test"),
    ModelAnswered(1, "a-model", "Hello", Usage(fresh=1, cache_read=2, output=3), None, 0.1),
    ToolCalled("c", "bash", "ls"),
    ToolReturned("c", "bash", False, "a\0b\ud800", 0.1),
    Noted("80 % of the budget"),
    DiffShown("d", "+x", (FileStat("a.py", 1, 0), FileStat("b.png", None, None))),
    Verified(Receipt(command="make test", runs=(RUN,), reason="")),
    BranchMoved("backspace/1-abc", "b" * 40, True),
    PullRequestOpened(2, "https://example.org", False, ()),
    JobFinished(Conclusion.TIMED_OUT, "Out of time."),
]
COMMANDS: list[Command] = [
    Start("x", Options(model="m", budget_usd=1.5, draft=True, base="main")),
    Plan("x"),
    Approve(),
    Cancel(),
    Retry(),
    Continue(),
    Undo(),
    Status(),
    Help(),
    Unclear("what?"),
]


@pytest.mark.parametrize("event", [pytest.param(event, id=event.kind) for event in EVENTS])
def test_an_event_comes_back_as_it_was(event: JobEvent) -> None:
    text = codec.event_text(event)
    assert "\0" not in text.encode().decode()
    assert codec.event_of(event.kind, text) == event


@pytest.mark.parametrize("command", [pytest.param(command, id=command.kind) for command in COMMANDS])
def test_a_job_comes_back_as_it_was(command: Command) -> None:
    for words in ("Fix it 😀", "a lone surrogate \ud83d and NUL \0", "NUL \0"):
        job = replace(a_job("a"), command=command)
        job = replace(job, issue=replace(job.issue, body=words))
        text = codec.job_text(job)
        assert "\0" not in text.encode().decode()
        assert codec.job_of(text) == job


def test_an_emoji_is_kept_in_the_four_bytes_it_has() -> None:
    """Red when everything beyond ASCII is escaped: twelve (seen)."""
    text = codec.event_text(Noted("\U0001f600" * 1_000 + "\ud83d\0"))
    assert len(text.encode()) < 5_000
    assert codec.event_of("noted", text) == Noted("\U0001f600" * 1_000 + "\ud83d\0")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param("invented_later", '{"kind":"invented_later","x":1}', id="new-kind"),
        pytest.param("noted", '{"kind":"noted","words":"x"}', id="changed-fields"),
        pytest.param("noted", "{", id="broken"),
        pytest.param("noted", "[]", id="no-object"),
    ],
)
def test_an_event_of_another_version_is_read_as_a_note(kind: str, text: str) -> None:
    assert codec.event_of(kind, text) == Noted(f"This version of the bot cannot show an event of the kind {kind!r}.")


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    assert codec.event_of("noted", '{"kind":"noted","text":"x","colour":"red"}') == Noted("x")


@pytest.mark.parametrize("text", ["{}", "", '{"id": 1}'])
def test_a_job_of_another_version_is_said_to_be_unreadable(text: str) -> None:
    with pytest.raises(ProviderError, match="cannot be read by this version"):
        codec.job_of(text)


def test_what_is_no_json_is_refused_in_words() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for data in ({"bytes": b"x"}, {"n": 10**5000}, {"deep": deep}):
        with pytest.raises(ProviderError, match="cannot be written down as JSON"):
            codec.data_text(data)
    assert json.loads(codec.data_text({"n": 2**70})) == {"n": 2**70}
