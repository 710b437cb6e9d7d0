"""What people say to the agent at its work, as the journal keeps it and as the model reads it."""

from collections.abc import Iterable, Sequence
from typing import Literal

from bot.agent.output import visible
from bot.agent.prompt import attribute
from bot.domain.conversation import Json
from bot.domain.job import Person
from bot.ports import Entry

KIND = "steering"
SEALED, REOPENED = "sealed", "reopened"
WITHDRAWN = (
    "This message was deleted after you were given it. Take it as withdrawn: undo what was done for it alone, and go "
    "on with the rest."
)
EDITED = "This message was edited after you were given it. What you were given stands; the edit is not shown to you."
CALLED_BACK = (
    "Note from the harness: what was handed in is not published, because this came in meanwhile. Take it into account, "
    "then submit again."
)
TOO_LATE = "What was said last came too late for this run: ask again."

Change = Literal["deleted", "edited"]


def message(*, comment_id: int, author: Person, text: str, key: str) -> Entry:
    """`text` as a reader of the thread sees it; `key` is the request's."""
    data = {"id": comment_id, "author": author.login, "author_id": author.id, "text": text, "key": key}
    return Entry("effect", f"{KIND} {comment_id}", data)


def taken_back(*, comment_id: int, author: str, key: str, change: Change) -> Entry:
    data = {"id": comment_id, "author": author, "change": change, "key": key}
    return Entry("effect", f"{KIND} {comment_id} {change}", data)


def blocks(unheard: Sequence[Json], nonce: str) -> list[str]:
    """A text for each message, fenced so that none can end itself or begin another. What was deleted before the model
    read it is left out."""
    return [_block(data, nonce) for data in standing(unheard)]


def standing(unheard: Sequence[Json]) -> list[Json]:
    """Without what was said and deleted in it."""
    gone = {data["id"] for data in unheard if data.get("change") == "deleted"}
    said = {data["id"] for data in unheard if "change" not in data}
    return [data for data in unheard if data["id"] not in gone & said]


def _block(data: Json, nonce: str) -> str:
    text = {"deleted": WITHDRAWN, "edited": EDITED}.get(data.get("change", "")) or data["text"]
    inner = visible(text.replace(nonce, ""))
    return f'<steering-{nonce} id="{data["id"]}" author="{attribute(data["author"])}">\n{inner}\n</steering-{nonce}>'


def is_sealed(entries: Sequence[Entry]) -> bool:
    """Whether the run has come to its end as far as its journal says; later words make a job of their own."""
    for entry in reversed(entries):
        word = entry.key.split(" ")[0]
        if entry.kind == "effect" and word in (SEALED, REOPENED):
            return word == SEALED
    return False


def is_message(entry: Entry) -> bool:
    return entry.kind == "effect" and entry.key.split(" ")[0] == KIND


def speakers(said: Iterable[Json]) -> tuple[Person, ...]:
    """Whose words the agent had, each once."""
    return tuple(dict.fromkeys(Person(one["author_id"], one["author"]) for one in said if "change" not in one))


def heard(entries: Iterable[Entry]) -> tuple[Json, ...]:
    """All that was said and taken back, in order."""
    return tuple(entry.data for entry in entries if is_message(entry))


def unread(entries: Sequence[Entry]) -> list[Json]:
    """Of it, what no turn told the model."""
    told = sum(entry.data.get("heard", 0) for entry in entries if entry.kind == "effect")
    return standing(heard(entries)[told:])
