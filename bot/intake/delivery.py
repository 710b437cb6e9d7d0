"""A webhook delivery: its signature checked on the raw bytes, then only the fields the bot uses decoded."""

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bot.domain.errors import BadSignature, UserError

SIGNATURE = b"x-hub-signature-256"
EVENT = b"x-github-event"
DELIVERY = b"x-github-delivery"
CONTENT_TYPE = b"content-type"

_EVENT_NAME = re.compile(rb"[a-z][a-z0-9_]{0,63}")
_ACTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # senders of repository_dispatch choose their own
_DELIVERY_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9-]{0,63}")

Id = Annotated[int, Field(gt=0, lt=2**63)]  # GitHub's ids are positive; a larger one does not fit the store
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]  # GitHub keeps no NUL, and Postgres cannot
Login = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(\[bot\])?$")]
RepositoryName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
BranchName = Annotated[str, Field(pattern=r"^[^\x00-\x20\x7f~^:?*\[\\-][^\x00-\x20\x7f~^:?*\[\\]{0,254}$")]


def seconds(instant: str | int) -> float:
    """Unix time of an instant as GitHub writes it: in ISO 8601, or in some old payloads as a number of seconds.

    Raises ValueError for what is no instant.
    """
    if isinstance(instant, int):
        return float(instant)
    moment = datetime.fromisoformat(instant)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _instant(text: str) -> str:
    seconds(text)
    return text


Instant = Annotated[str, Field(pattern=r"^[0-9TZ:.+-]{10,40}$"), AfterValidator(_instant)]
Time = Annotated[float, BeforeValidator(lambda value: seconds(value) if isinstance(value, str | int) else value)]
Present = Annotated[bool, BeforeValidator(lambda value: value is not None)]


class Malformed(UserError):
    """A signed delivery that cannot be read: a header is missing or given twice, or the body is not a JSON object."""


class NotJson(UserError):
    """A signed delivery in another content type than `application/json`."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Account(_Part):
    """`type` is GitHub's: "User", "Bot", "Organization", "Mannequin"."""

    id: Id
    login: Login
    type: str = ""


class Installation(_Part):
    id: Id


class Installed(_Part):
    """An installation as its own events show it."""

    id: Id
    updated_at: Time


class NamedRepository(_Part):
    id: Id


class Repository(_Part):
    id: Id
    name: RepositoryName
    owner: Account
    default_branch: BranchName


class Label(_Part):
    name: str


class Thread(_Part):
    """An issue or, when `pull_request` is present, a pull request. `user` is null once the account is deleted."""

    number: Id
    title: Text
    body: Text | None = None
    user: Account | None = None
    updated_at: Instant
    pull_request: Present = False


class CommentPart(_Part):
    id: Id
    created_at: Instant
    updated_at: Instant | None = None
    body: Text | None = None
    user: Account | None = None
    performed_via_github_app: Present = False


class EditedText(_Part):
    old: Text = Field(alias="from")


class Edit(_Part):
    body: EditedText | None = None


class IssueCommentEvent(_Part):
    """`issue_comment`, as far as the bot reads it. `changes` is there when the comment was edited."""

    action: str
    changes: Edit | None = None
    issue: Thread
    comment: CommentPart
    repository: Repository
    sender: Account
    installation: Installation | None = None


class IssuesEvent(_Part):
    """`issues`, as far as the bot reads it."""

    action: str
    issue: Thread
    label: Label | None = None
    repository: Repository
    sender: Account
    installation: Installation | None = None


class InstallationEvent(_Part):
    """`installation`: the App was put on an account, taken off it, suspended there or woken up again."""

    action: str
    installation: Installed
    sender: Account


class InstallationRepositoriesEvent(_Part):
    """`installation_repositories`: an installation has more or fewer repositories now."""

    action: str
    installation: Installed
    repositories_added: tuple[NamedRepository, ...] = ()
    repositories_removed: tuple[NamedRepository, ...] = ()
    sender: Account


class _AnyEvent(_Part):
    action: Any = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """A payload the bot does not look into. `problem` says what is wrong with it; empty: the event is not for us."""

    problem: str = ""


Event = IssueCommentEvent | IssuesEvent | InstallationEvent | InstallationRepositoriesEvent
Payload = Event | Unread

READ_EVENTS: Mapping[str, type[Event]] = {
    "issue_comment": IssueCommentEvent,
    "issues": IssuesEvent,
    "installation": InstallationEvent,
    "installation_repositories": InstallationRepositoriesEvent,
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook call. `id` and `event` come from unsigned headers; everything in `payload` is signed.

    `action` is "" for events that have none.
    """

    id: str
    event: str
    action: str
    payload: Payload


def signature(body: bytes, secret: bytes) -> bytes:
    """The value of `X-Hub-Signature-256` for these bytes."""
    return b"sha256=" + hmac.digest(secret, body, "sha256").hex().encode()


def receive(headers: Iterable[tuple[bytes, bytes]], body: bytes, *, secrets: Sequence[bytes]) -> Delivery:
    """Check the signature, then decode.

    `headers` are raw name and value pairs, so that a header given twice is seen. Any of `secrets` may have signed
    (two while one is being replaced). The signature covers the body only: event name and delivery id are names for the
    log, and choose which fields are read, but nothing is keyed on them.

    Raises BadSignature, NotJson, Malformed.
    """
    given = _headers_we_use(headers)
    _verify(given[SIGNATURE], body, secrets)
    if _only(given, CONTENT_TYPE).split(b";")[0].strip().lower() != b"application/json":
        raise NotJson("The delivery is not application/json: choose that content type for the webhook on GitHub.")
    event, delivery_id = _only(given, EVENT), _only(given, DELIVERY)
    if not _EVENT_NAME.fullmatch(event):
        raise Malformed("The header X-GitHub-Event is missing or is not the name of an event.")
    if not _DELIVERY_ID.fullmatch(delivery_id):
        raise Malformed("The header X-GitHub-Delivery is missing or is not a delivery id.")
    name = event.decode()
    payload, action = _decode(name, body)
    return Delivery(delivery_id.decode(), name, action, payload)


def _headers_we_use(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    given: dict[bytes, list[bytes]] = {SIGNATURE: [], EVENT: [], DELIVERY: [], CONTENT_TYPE: []}
    for name, value in headers:
        if (values := given.get(name.lower())) is not None:
            values.append(value)
    return given


def _only(given: Mapping[bytes, list[bytes]], name: bytes) -> bytes:
    values = given[name]
    if len(values) > 1:
        raise Malformed(f"The header {name.decode()} is there more than once.")
    return values[0] if values else b""


def _verify(signatures: list[bytes], body: bytes, secrets: Sequence[bytes]) -> None:
    if not signatures:
        raise BadSignature(
            "The delivery has no X-Hub-Signature-256 header: set the webhook secret on GitHub to the one the bot has."
        )
    if len(signatures) > 1:
        raise BadSignature("The delivery has more than one X-Hub-Signature-256 header.")
    matches = [hmac.compare_digest(signature(body, secret), signatures[0]) for secret in secrets]
    if not any(matches):
        raise BadSignature(
            "The signature does not match the body: the webhook secret on GitHub must be the one the bot has."
        )


def _decode(event: str, body: bytes) -> tuple[Payload, str]:
    shape = READ_EVENTS.get(event)
    if shape is None:
        return Unread(), _action_of(body)
    try:
        payload = shape.model_validate_json(body)
    except ValidationError as error:
        action = _action_of(body)
        path = ".".join(str(part) for part in error.errors(include_url=False, include_input=False)[0]["loc"])
        return Unread(f"`{path}` is missing from the {event} payload or is not what GitHub documents."), action
    return payload, payload.action


def _action_of(body: bytes) -> str:
    try:
        action = _AnyEvent.model_validate_json(body).action
    except ValidationError as error:
        raise Malformed("The body is not a JSON object.") from error
    return action if isinstance(action, str) and _ACTION.fullmatch(action) else ""
