"""A run as one file of JSON lines, to keep, send and play back: no secret in it, no more than the live page shows.

docs/recorded-runs.md describes the format.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bot.domain.conversation import texts_in
from bot.domain.errors import UserError
from bot.domain.events import JobEvent, Noted, Recorded
from bot.domain.job import Issue, Job, Person, Repo, Start
from bot.event_adapter import EVENT
from bot.ports import Entry
from bot.report.leaks import LeakFound, Leaks

FORMAT, VERSION = "backspace-run", 1
LEFT_OUT = "[left out: it held a secret]"
KINDS = frozenset(event.__dataclass_fields__["kind"].default for event in JobEvent.__args__)
SPOKEN = ("header", "user ", "model ")  # what the harness told the model, among its effects
PLACES = frozenset({"sandbox", "contents", "tree"})  # in an entry: of use to a bot that goes on, to no reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What a run was about. `site` is where its repository is in a browser; "" for a run on a local checkout.

    `issue` is 0 for such a run. `events`: how many follow; None when they are written while the run goes on.
    """

    run: str
    repository: str
    issue: int
    title: str
    prompt: str
    requested_by: str
    site: str = ""
    events: int | None = None

    def job(self, watch_key: str) -> Job:
        """As much of a job as a page shows."""
        owner, _, name = self.repository.rpartition("/")
        who = Person(0, self.requested_by)
        return Job(
            id=self.run,
            key="",
            watch_key=watch_key,
            delivery="",
            installation_id=0,
            repo=Repo(0, owner, name),
            default_branch="",
            issue=Issue(number=self.issue, title=self.title, body="", author=who),
            command=Start(self.prompt),
            requested_by=who,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """`conversation`: entries of the agent's journal, where they were asked for."""

    heading: Heading
    events: tuple[Recorded, ...]
    conversation: tuple[Entry, ...] = field(default=())


_HEADING: TypeAdapter[Heading] = TypeAdapter(Heading)


def recording_of(
    job: Job, events: Sequence[Recorded], *, site: str, entries: Sequence[Entry] | None = None
) -> Recording:
    """`entries`: the job's journal; only what was said between model, tools and harness is taken from it."""
    heading = Heading(
        run=job.id,
        repository=job.repo.full_name,
        issue=job.issue.number,
        title=job.issue.title,
        prompt=job.instruction,
        requested_by=job.requested_by.login,
        site=site,
        events=len(events),
    )
    said = tuple(e for e in entries or () if e.kind != "effect" or e.key.startswith(SPOKEN))
    return Recording(heading=heading, events=tuple(events), conversation=said)


# ------------------------------------------------------------ out


def heading_line(heading: Heading, leaks: Leaks) -> str:
    return _line({"format": FORMAT, "version": VERSION, **asdict(heading)}, leaks)


def event_line(recorded: Recorded, leaks: Leaks) -> str:
    return _line({"seq": recorded.seq, "at": recorded.at, "event": asdict(recorded.event)}, leaks)


def lines_of(recording: Recording, leaks: Leaks) -> Iterator[str]:
    """Raises LeakFound where a secret is spread so that leaving out one text does not remove it."""
    yield heading_line(recording.heading, leaks)
    for recorded in recording.events:
        yield event_line(recorded, leaks)
    for entry in recording.conversation:
        data = {key: value for key, value in entry.data.items() if key not in PLACES}
        yield _line({"entry": {"kind": entry.kind, "key": entry.key, "data": data}}, leaks)


def _line(value: Mapping[str, Any], leaks: Leaks) -> str:
    """Only ASCII, so no character of a text can end a line. Raises LeakFound."""
    clean = {key: _redacted(inner, leaks) for key, inner in value.items()}
    leaks.check("\n".join(texts_in(clean)), "the record of the run")
    return json.dumps(clean, separators=(",", ":")) + "\n"


def _redacted(value: Any, leaks: Leaks) -> Any:
    match value:
        case str():
            return _without_secrets(value, leaks)
        case dict():
            return {_without_secrets(str(key), leaks): _redacted(inner, leaks) for key, inner in value.items()}
        case list() | tuple():
            return [_redacted(inner, leaks) for inner in value]
        case _:
            return value


def _without_secrets(text: str, leaks: Leaks) -> str:
    """The lines that hold one go; the whole text where it runs over several."""
    if not _tells(text, leaks):
        return text
    kept = "\n".join(LEFT_OUT if _tells(line, leaks) else line for line in text.split("\n"))
    return LEFT_OUT if _tells(kept, leaks) else kept


def _tells(text: str, leaks: Leaks) -> bool:
    try:
        leaks.check_public(text, "")
    except LeakFound:
        return True
    return False


# ------------------------------------------------------------ in


def recording_in(lines: Iterable[str], *, name: str) -> Recording:
    """`name` is the file's, for messages. Raises UserError for what is no whole record of a run."""
    numbered = enumerate((line for line in lines), 1)
    heading = _heading(next(numbered, (1, ""))[1], name)
    events: list[Recorded] = []
    conversation: list[Entry] = []
    for number, line in numbered:
        raw = _object(line, number, name)
        if "entry" in raw:
            conversation.append(_entry(raw["entry"], number, name))
        else:
            events.append(_event(raw, number, name, after=len(events)))
    if heading.events is not None and heading.events != len(events):
        raise UserError(f"{name} is cut off: {len(events)} of {heading.events} events are there. Export the run again.")
    return Recording(heading=heading, events=tuple(events), conversation=tuple(conversation))


def _heading(line: str, name: str) -> Heading:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        raw = None
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise UserError(f"{name} is not the record of a run: make one with `backspace export`.")
    if raw.get("version") != VERSION:
        raise UserError(
            f"{name} has version {raw.get('version')!a} of the format and this program reads {VERSION}: "
            "use the version of Tiny Backspace that wrote it, or a newer one."
        )
    try:
        heading = _HEADING.validate_python({k: v for k, v in raw.items() if k in Heading.__dataclass_fields__})
    except ValidationError as error:
        raise _damaged(name, 1, f"its {error.errors()[0]['loc'][0]} is not what it should be") from None
    if heading.site and not heading.site.startswith(("https://", "http://")):
        raise _damaged(name, 1, "its site is no web address")
    return heading


def _event(raw: Mapping[str, Any], number: int, name: str, *, after: int) -> Recorded:
    seq, at, event = raw.get("seq"), raw.get("at"), raw.get("event")
    if seq != after + 1:
        raise _damaged(name, number, f"event {after + 1} is missing")
    if not isinstance(at, int | float) or isinstance(at, bool) or not (math.isfinite(at) and 0 <= at < 1e11):
        raise _damaged(name, number, "its time is not one")
    kind = event.get("kind") if isinstance(event, dict) else None
    if isinstance(kind, str) and kind not in KINDS:
        return Recorded(after + 1, float(at), Noted(f"This version cannot show an event of the kind {kind!r}."))
    try:
        return Recorded(after + 1, float(at), EVENT.validate_python(event))
    except ValidationError:
        raise _damaged(name, number, "its event is not whole") from None


def _entry(raw: object, number: int, name: str) -> Entry:
    match raw:
        case {"kind": "model" | "tool" | "effect" as kind, "key": str(key), "data": dict(data)}:
            return Entry(kind, key, data)
        case _:
            raise _damaged(name, number, "its entry is not whole")


def _object(line: str, number: int, name: str) -> dict[str, Any]:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        raise _damaged(name, number, "it is not JSON") from None
    if not isinstance(raw, dict):
        raise _damaged(name, number, "it is not a JSON object")
    return raw


def _damaged(name: str, number: int, what: str) -> UserError:
    return UserError(f"Line {number} of {name} is damaged: {what}. Export the run again.")
