"""What the App asks in its own name: where it is installed, what was delivered to it, and to deliver it again."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from bot.github.answers import field, items, number, text
from bot.github.client import Client, Values
from bot.github.pace import Priority
from bot.github.shapes import instant, text_or_nothing
from bot.ports import DeliveryAttempt, Installation

_PAGE = 100  # GitHub's largest


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The App as it is registered: what an installation of it can grant, and what it is sent.

    `installations`: how many there are; None where GitHub does not say.
    """

    slug: str
    permissions: Mapping[str, str]
    events: tuple[str, ...]
    installations: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where GitHub delivers; `url` is "" when nowhere."""

    url: str
    content_type: str
    checks_certificate: bool


async def registration(client: Client) -> Registration:
    data = (await client.call("GET", "/app")).data
    granted, count = field(data, "permissions"), field(data, "installations_count")
    return Registration(
        slug=text(data, "slug"),
        permissions={str(k): str(v) for k, v in granted.items()} if isinstance(granted, dict) else {},
        events=tuple(str(name) for name in items(data, "events")),
        installations=count if isinstance(count, int) else None,
    )


async def webhook(client: Client) -> Webhook:
    data = (await client.call("GET", "/app/hook/config")).data
    return Webhook(
        url=text_or_nothing(data, "url"),
        content_type=text_or_nothing(data, "content_type") or "form",
        checks_certificate=str(field(data, "insecure_ssl")) != "1",
    )


async def deliveries(client: Client, *, since: float) -> AsyncIterator[DeliveryAttempt]:
    query: dict[str, str | int] = {"per_page": _PAGE}
    while True:
        answer = await client.call("GET", "/app/hook/deliveries", query=query, priority=Priority.PROGRESS)
        for row in items(answer.data):
            attempt = _attempt(row)
            if attempt.delivered_at < since:
                return
            yield attempt
        if not answer.cursor:
            return
        query["cursor"] = answer.cursor


async def redeliver(client: Client, attempt_id: int) -> None:
    at: Values = {"delivery_id": attempt_id}
    await client.call("POST", "/app/hook/deliveries/{delivery_id}/attempts", at=at)


async def installations(client: Client) -> AsyncIterator[Installation]:
    page, last = 1, 1
    while page <= last:
        query: Values = {"per_page": _PAGE, "page": page}
        answer = await client.call("GET", "/app/installations", query=query, priority=Priority.PROGRESS)
        for row in items(answer.data):
            yield _installation(row)
        page, last = page + 1, max(last, answer.last_page)


async def installation(client: Client, installation_id: int) -> Installation:
    at: Values = {"installation_id": installation_id}
    return _installation((await client.call("GET", "/app/installations/{installation_id}", at=at)).data)


def _attempt(row: object) -> DeliveryAttempt:
    return DeliveryAttempt(
        id=number(row, "id"),
        guid=text(row, "guid"),
        event=text(row, "event"),
        action=text_or_nothing(row, "action"),
        installation_id=_number_or_none(row, "installation_id"),
        repository_id=_number_or_none(row, "repository_id"),
        delivered_at=instant(row, "delivered_at"),
        status_code=number(row, "status_code"),
        redelivery=field(row, "redelivery") is True,
    )


def _installation(row: object) -> Installation:
    return Installation(
        id=number(row, "id"),
        suspended=field(row, "suspended_at") is not None,
    )


def _number_or_none(row: object, name: str) -> int | None:
    return None if field(row, name) is None else number(row, name)
