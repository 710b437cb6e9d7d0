"""Jobs, events and journal entries as JSON text, and back.

Lone surrogates and NUL, which databases refuse or break on, travel as escapes and come back unchanged; all else as it
is, for an escaped emoji takes three times its place. What a newer version wrote is read as far as this one understands.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from bot.domain.conversation import Json
from bot.domain.errors import ProviderError, UserError
from bot.domain.events import JobEvent, Noted
from bot.domain.job import Continue, Job, Plan, Start, Unclear

LONGEST_NAME = 500  # characters; a Postgres index entry holds 2,704 bytes
LARGEST_NUMBER = 2**63 - 1  # a database integer has 64 bits
SHORT = 500  # characters of each text that are kept of a request nobody worked on
_SURROGATE = re.compile("[\ud800-\udfff]")
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)

_JOB: TypeAdapter[Job] = TypeAdapter(Job)


def job_text(job: Job) -> str:
    """Not by way of Python's own values: at the door that would take four times as long."""
    try:
        return _JOB.dump_json(job).decode()
    except PydanticSerializationError:  # a lone surrogate
        return _text(_JOB.dump_python(job))


def job_of(text: str) -> Job:
    """Raises ProviderError when another version of the bot wrote it in a way this one cannot read."""
    try:
        return _JOB.validate_python(json.loads(text))
    except (ValidationError, ValueError) as error:
        raise ProviderError("store", "a job in the database cannot be read by this version of the bot") from error


def thread_of(text: str) -> Job:
    """A job for whoever only tells its end, also with a command of another version. Raises ProviderError."""
    try:
        return job_of(text)
    except ProviderError:
        with suppress(ValidationError, ValueError, TypeError):
            return _JOB.validate_python({**json.loads(text), "command": Unclear("")})
        raise


def shortened(job: Job) -> Job:
    """Enough to say which request it was."""
    issue = replace(job.issue, title=job.issue.title[:SHORT], body=job.issue.body[:SHORT])
    match job.command:
        case Start() | Plan() as asked:
            return replace(job, issue=issue, command=type(asked)(asked.prompt[:SHORT]))
        case Continue():
            return replace(job, issue=issue, command=Continue())
        case Unclear(problem):
            return replace(job, issue=issue, command=Unclear(problem[:SHORT]))
        case _:
            return replace(job, issue=issue)


def event_text(event: JobEvent) -> str:
    return _text(to_jsonable_python(event))


def event_of(kind: str, text: str) -> JobEvent:
    """The event, or a note in its place when a newer version wrote something this one does not know."""
    from bot.event_adapter import EVENT  # takes a while to make, and at a door that nobody watches there is no reader

    try:
        return EVENT.validate_python(json.loads(text))
    except (ValidationError, ValueError):
        return Noted(f"This version of the bot cannot show an event of the kind {kind!r}.")


def data_text(data: Json) -> str:
    return _text(data)


def data_of(text: str) -> Json:
    data: dict[str, Any] = json.loads(text)
    return data


def _text(value: Mapping[str, Any]) -> str:
    try:
        text = _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ProviderError("store", f"something cannot be written down as JSON ({type(error).__name__})") from error
    return _SURROGATE.sub(lambda one: f"\\u{ord(one[0]):04x}", text)


def name(text: str, *, of: str) -> str:
    """A text the database finds rows by, unchanged. Raises UserError for what no database stores as it is."""
    if len(text) > LONGEST_NAME:
        raise UserError(f"The {of} is longer than {LONGEST_NAME} characters.")
    if text != printable(text):
        raise UserError(f"The {of} holds a character that cannot be stored.")
    return text


def number(value: int, *, of: str) -> int:
    """Raises UserError for a number that is no 64-bit integer."""
    if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise UserError(f"The {of} is too large a number to be real.")
    return value


def printable(text: str) -> str:
    """The text with a replacement character for each NUL and lone surrogate, which databases refuse."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
