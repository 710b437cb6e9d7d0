"""A run as a file: what goes in, what stays out, what is said of a damaged one."""

import json
from dataclasses import replace

import pytest

from bot.domain.errors import UserError
from bot.domain.events import ContextRead, JobEvent, Noted, ToolCalled, ToolReturned
from bot.domain.job import Issue, Person
from bot.ports import Entry
from bot.recordings.run import KINDS, LEFT_OUT, Recording, lines_of, recording_in, recording_of
from bot.report.leaks import LeakFound, Leaks
from tests.report.samples import WATCH_KEY, finished, job, log

SECRET = "sk-ant-api03-Zk8Qw2Lm9Xr4Vt7B"
SITE = "https://github.com"
HOSTILE = "[red]x[/red] \x1b]0;title\x07\x1b[2Jgone\r\u202e \u2028 \ud800 \0 </script>"
ENTRIES = (
    Entry("effect", "header", {"system": "You work.", "sandbox": "sb-1"}),
    Entry("model", "reply 1", {"blocks": [{"type": "text", "text": "I look."}]}),
    Entry("effect", "opened", {"number": 42}),
)


def sample(*more: JobEvent) -> Recording:
    return recording_of(job(), log([*finished(), *more]), site=SITE)


def written(recording: Recording, *secrets: str) -> list[str]:
    return list(lines_of(recording, Leaks(secrets)))


def test_what_was_written_is_read_as_it_was() -> None:
    recording = recording_of(job(), log([*finished(), Noted(HOSTILE)]), site=SITE, entries=ENTRIES)
    lines = written(recording)
    assert all(line.isascii() and line.count("\n") == 1 for line in lines)
    again = recording_in(lines, name="run.jsonl")
    assert (again.heading, again.events) == (recording.heading, recording.events)
    assert [entry.key for entry in again.conversation] == ["header", "reply 1"]
    assert again.conversation[0].data == {"system": "You work."}


def test_nothing_the_live_page_does_not_show_is_in_it() -> None:
    """Red when the heading is the job as it stands in the store: tried."""
    private = job(issue=Issue(number=12, title="Export", body="the private body", author=Person(7, "carol")))
    text = "".join(written(recording_of(private, log(finished()), site=SITE)))
    assert "add --json to the export command" in text
    for hidden in (WATCH_KEY, "the private body", "carol", private.key, '"installation_id"', '"delivery"'):
        assert hidden not in text


def test_secrets_are_left_out_line_by_line() -> None:
    """Red when texts go out as they are: tried."""
    token = "ghp_" + "a1B2" * 9
    output = f"one\nKEY={SECRET}\nhex {SECRET.encode().hex()}\n{token}\nlast"
    recording = sample(ToolCalled("c9", "bash", f"echo {SECRET}"), ToolReturned("c9", "bash", True, output, 0.1))
    lines = written(recording, SECRET)
    assert SECRET not in "".join(lines)
    called, returned = (json.loads(line)["event"] for line in lines[-2:])
    assert called["title"] == LEFT_OUT
    assert returned["output"].split("\n") == ["one", LEFT_OUT, LEFT_OUT, LEFT_OUT, "last"]


def test_a_secret_over_several_lines_takes_the_whole_text_with_it() -> None:
    [*_, line] = written(sample(Noted(f"{SECRET[:14]}\n{SECRET[14:18]}\n{SECRET[18:]}")), SECRET)
    assert json.loads(line)["event"]["text"] == LEFT_OUT


def test_a_secret_over_several_texts_stops_the_export() -> None:
    with pytest.raises(LeakFound, match="turned up in the record of the run"):
        written(sample(ContextRead((SECRET[:19], SECRET[19:]), "")), SECRET[13:])


def damaged(place: int, line: str | None) -> list[str]:
    lines = written(sample())
    return [*lines[:place], *([] if line is None else [line]), *lines[place + 1 :]]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        pytest.param([], "run.jsonl is not the record of a run: make one with `backspace export`.", id="empty"),
        pytest.param(["{}"], "run.jsonl is not the record of a run: make one with `backspace export`.", id="other"),
        pytest.param(["[" * 100_000], "run.jsonl is not the record of a run", id="deep"),
        pytest.param(
            ['{"format":"backspace-run","version":2}'],
            "run.jsonl has version 2 of the format and this program reads 1: use the version of Tiny Backspace that",
            id="version",
        ),
        pytest.param(
            ['{"format":"backspace-run","version":1}'], "Line 1 of run.jsonl is damaged: its run is", id="head"
        ),
        pytest.param(damaged(3, '{"seq":3,"at":1'), "Line 4 of run.jsonl is damaged: it is not JSON.", id="json"),
        pytest.param(damaged(3, "[]"), "Line 4 of run.jsonl is damaged: it is not a JSON object.", id="list"),
        pytest.param(damaged(3, None), "Line 4 of run.jsonl is damaged: event 3 is missing.", id="gap"),
        pytest.param(damaged(17, None), "run.jsonl is cut off: 16 of 17 events are there.", id="cut"),
        pytest.param(
            damaged(1, '{"seq":1,"at":NaN,"event":{}}'),
            "Line 2 of run.jsonl is damaged: its time is not one.",
            id="time",
        ),
        pytest.param(
            damaged(1, '{"seq":1,"at":1,"event":{"kind":"noted"}}'),
            "Line 2 of run.jsonl is damaged: its ev",
            id="event",
        ),
        pytest.param(damaged(1, '{"entry":{"kind":"x"}}'), "Line 2 of run.jsonl is damaged: its entry", id="entry"),
    ],
)
def test_damage_is_one_sentence(lines: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        recording_in(lines, name="run.jsonl")
    assert str(caught.value).startswith(said)


def test_a_site_that_is_no_web_address_is_damage() -> None:
    lines = written(replace(sample(), heading=replace(sample().heading, site="javascript:alert(1)")))
    with pytest.raises(UserError, match="its site is no web address"):
        recording_in(lines, name="run.jsonl")


def test_what_a_newer_bot_records_is_a_note_and_a_run_without_an_end_is_read() -> None:
    heading = replace(sample().heading, events=None)
    [head, first, *_] = written(Recording(heading=heading, events=sample().events))
    newer = '{"seq":2,"at":1,"event":{"kind":"danced"}}'
    events = recording_in([head, first, newer], name="x").events
    assert events[1].event == Noted("This version cannot show an event of the kind 'danced'.")


def test_every_kind_of_event_is_known() -> None:
    assert {"job_queued", "job_finished", "tool_called"} <= KINDS
    assert len(KINDS) == 16
