"""Frames of the event stream: one line each whatever they hold, and the same event back."""

import json

import pytest

from bot.domain.events import Conclusion, JobFinished, JobStarted, Noted, Recorded
from bot.report.progress import progress
from bot.report.restricted_markdown import fenced
from bot.report.sse import frame, is_last, recorded_of, view_of
from tests.report.samples import finished, log

STARTED = JobStarted(1, "claude-opus-5-5", 3.0)
HOSTILE = "a\nid: 9\n\ndata: x\r\u2028\u2029\x0b\x85\x00\u202e\ud800</script>"


@pytest.mark.parametrize("recorded", log(finished()), ids=lambda recorded: recorded.event.kind)
def test_every_event_survives_the_wire(recorded: Recorded) -> None:
    encoded = frame(recorded, progress(log(finished())))
    assert recorded_of(encoded.decode().split("data: ", 1)[1]) == recorded
    assert is_last(recorded) == isinstance(recorded.event, JobFinished)


def test_a_frame_is_three_lines_of_ascii_whatever_it_holds() -> None:
    encoded = frame(Recorded(7, 1.5, Noted(HOSTILE)), progress(()))
    assert encoded.isascii()
    lines = encoded.decode().splitlines()
    assert (lines[0], lines[1][:6], lines[2:]) == ("id: 7", "data: ", [""])
    assert json.loads(lines[1][6:])["event"]["text"] == (
        "a\nid: 9\n\ndata: x\n\n\n\n\n\u27e8U+0000\u27e9\u27e8U+202E\u27e9\ufffd</script>"
    )


def test_a_frame_tells_where_the_job_stands() -> None:
    events = log(finished())
    view = json.loads(frame(events[-1], progress(events)).decode().split("data: ", 1)[1])["view"]
    assert view == {
        "state": "success",
        "label": "Done",
        "over": True,
        "headline": "Opened #42",
        "started_at": 1_010.0,
        "finished_at": 1_160.0,
        "cost": "$0.04 of $3.00",
        "tokens": "24.6k tokens in (83 % cached), 2.4k out",
        "turns": 2,
        "tool_calls": 2,
        "model": "claude-opus-5-5",
        "steps": [
            ["yes", "Sandbox ready (1.2 s)", "", ""],
            ["yes", "Read AGENTS.md, found", "uv run pytest", ""],
            ["yes", "Implement", "", ""],
            ["yes", "Verify:", "uv run pytest", ": 214 passed on base, 219 on head"],
            ["yes", "Opened pull request 42", "", ""],
        ],
        "verdicts": ["214 passed", "219 passed"],
    }


@pytest.mark.parametrize(
    ("events", "label"),
    [
        pytest.param([(Conclusion.ACTION_REQUIRED, "**Not started**: no branch.")], "Not started", id="refused"),
        pytest.param([STARTED, (Conclusion.ACTION_REQUIRED, "**Could not do it**.")], "Needs you", id="blocked"),
        pytest.param([STARTED, (Conclusion.NEUTRAL, "**Cancelled** by @alice.")], "Cancelled", id="cancelled"),
        pytest.param([STARTED, (Conclusion.NEUTRAL, "**Nothing to change**.")], "Ended", id="nothing-to-change"),
    ],
)
def test_the_label_says_how_a_job_ended(events: list[JobStarted | tuple[Conclusion, str]], label: str) -> None:
    told = [event if isinstance(event, JobStarted) else JobFinished(*event) for event in events]
    assert view_of(progress(log(told))).label == label


def test_the_headline_of_a_dry_run_is_a_sentence_without_the_patch() -> None:
    message = f"**Dry run**: nothing was pushed.\n\nThe patch:\n\n{fenced('-a', language='diff')}"
    assert view_of(progress(log([JobFinished(Conclusion.SUCCESS, message)]))).headline == "Dry run: nothing was pushed."


def test_an_event_of_a_newer_bot_is_passed_over() -> None:
    assert recorded_of('{"seq": 3, "at": 1.0, "event": {"kind": "job_dreamt"}, "view": {}}') is None


@pytest.mark.parametrize("data", ["", "[]", "{}", '{"seq": "1"}', "not json"])
def test_what_is_no_event_is_refused(data: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        recorded_of(data)
