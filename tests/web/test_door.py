"""What the door answers, and that it never answers yes to what is not stored."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bot.domain.errors import ProviderError, UserError
from bot.domain.job import Job, Start
from bot.ports import Accepted, JobStore
from bot.stores import open_store
from bot.web.app import create_app
from bot.web.door import random_job_id, random_watch_key
from tests.payloads.samples import SECRET, body_of, examples, headers_of, labeled, mention, signature_of

pytestmark = pytest.mark.anyio

Post = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JobStore]:
    opened = await open_store(f"sqlite:///{tmp_path / 'bot.db'}")
    yield opened
    await opened.close()


@asynccontextmanager
async def door(store: JobStore, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(store=store, webhook_secrets=[SECRET], **options)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://door") as client:
        yield client


async def deliver(
    client: httpx.AsyncClient, payload: dict[str, Any], *, event: str = "issue_comment", delivery: str = "1-1"
) -> httpx.Response:
    body = body_of(payload)
    return await client.post("/webhook", content=body, headers=headers_of(body, event=event, delivery=delivery))


async def test_a_mention_becomes_one_job_however_often_it_is_delivered(store: JobStore) -> None:
    dispatched: list[str] = []
    async with door(store, on_accept=dispatched.append) as client:
        answers = [await deliver(client, mention(), delivery=guid) for guid in ("1-1", "1-1", "2-2")]
    assert {(answer.status_code, answer.json()["job"]) for answer in answers} == {(202, dispatched[0])}
    assert len(dispatched) == 1
    row = await store.job(dispatched[0])
    assert row is not None
    assert (row.state, row.job.command, row.job.delivery) == ("queued", Start("fix the greeting"), "1-1")


async def test_fifty_deliveries_at_once_are_one_job(store: JobStore) -> None:
    dispatched: list[str] = []
    async with door(store, on_accept=dispatched.append) as client:
        answers = await asyncio.gather(*(deliver(client, mention(), delivery=f"1-{n}") for n in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job"] for answer in answers}) == 1
    assert len(dispatched) == 1


async def test_ids_and_keys_come_in_by_the_door(store: JobStore) -> None:
    async with door(store, new_id=lambda: "k7f3", new_watch_key=lambda: "w4tch") as client:
        assert (await deliver(client, labeled(), event="issues")).json() == {"job": "k7f3"}
    row = await store.job("k7f3")
    assert row is not None
    assert row.job.watch_key == "w4tch"


async def test_what_asks_for_nothing_is_told_why(store: JobStore) -> None:
    async with door(store) as client:
        answer = await deliver(client, mention("Nice."))
    assert (answer.status_code, answer.json()) == (202, {"ignored": "No line of the comment is a /backspace command."})


async def test_every_published_example_is_taken_in(store: JobStore) -> None:
    async with door(store) as client:
        for event, text in examples():
            body = text.encode()
            answer = await client.post("/webhook", content=body, headers=headers_of(body, event=event))
            assert answer.status_code == 202
            assert answer.json()["ignored"]


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        pytest.param({"x-hub-signature-256": None}, 401, "set the webhook secret", id="unsigned"),
        pytest.param({"x-hub-signature-256": "sha256=0"}, 401, "does not match", id="badly-signed"),
        pytest.param({"content-type": "text/plain"}, 415, "not application/json", id="not-json-type"),
        pytest.param({"x-github-event": None}, 400, "X-GitHub-Event", id="no-event"),
        pytest.param({"x-github-delivery": None}, 400, "X-GitHub-Delivery", id="no-delivery-id"),
    ],
)
async def test_a_refusal_has_its_status_and_a_sentence(
    store: JobStore, changes: dict[str, str | None], status: int, words: str
) -> None:
    body = body_of(mention())
    headers = {n: v for n, v in {**headers_of(body), **changes}.items() if v is not None}
    async with door(store) as client:
        answer = await client.post("/webhook", content=body, headers=headers)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert await store.jobs_on(186853002, 1) == ()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
async def test_a_signed_body_that_is_no_json_object_is_400(store: JobStore, body: bytes) -> None:
    async with door(store) as client:
        answer = await client.post("/webhook", content=body, headers=headers_of(body))
    assert (answer.status_code, answer.json()) == (400, {"error": "The body is not a JSON object."})


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_only_posts_are_deliveries(store: JobStore, method: str) -> None:
    async with door(store) as client:
        answer = await client.request(method, "/webhook")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_body_over_the_limit_is_413_and_one_at_the_limit_is_read(store: JobStore) -> None:
    body = body_of(mention())
    async with door(store, max_body=len(body)) as client:
        assert (await deliver(client, mention())).status_code == 202
    async with door(store, max_body=len(body) - 1) as client:
        answer = await deliver(client, mention())
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"


async def test_a_streamed_body_is_counted_as_it_comes(store: JobStore) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 1000

    async with door(store, max_body=10_000) as client:
        answer = await client.post("/webhook", content=endless(), headers=headers_of(b""))
    assert answer.status_code == 413


async def test_a_body_of_one_byte_at_a_time_is_given_up(store: JobStore) -> None:
    """Red when each piece has the whole time for itself: it never ends (seen)."""

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    async with door(store, body_seconds=0.1) as client:
        answer = await client.post("/webhook", content=trickle(), headers=headers_of(b""))
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")
    assert "did not arrive in time" in answer.json()["error"]


@pytest.mark.parametrize("length", [b"9" * 5000, b"99999999999999999999", b"-1", b"1e3", "\u0661".encode(), b""])
async def test_an_odd_content_length_is_no_500(store: JobStore, length: bytes) -> None:
    status = await raw_status(store, [(b"content-length", length)], body=b"{}")
    assert status in (401, 413)


async def test_a_caller_who_leaves_gets_no_answer(store: JobStore) -> None:
    assert await raw_status(store, [], body=None) is None


async def raw_status(store: JobStore, headers: list[tuple[bytes, bytes]], *, body: bytes | None) -> int | None:
    """The status for a request made below HTTP, with headers a client library would not send; no body: gone."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"} if body is None else {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/webhook",
        "raw_path": b"/webhook",
        "root_path": "",
        "query_string": b"",
        "headers": headers,
    }
    await create_app(store=store, webhook_secrets=[SECRET])(scope, receive, send)
    return next((message["status"] for message in sent if message["type"] == "http.response.start"), None)


class BrokenStore:
    """A store that fails in one way at every call."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        async def fail(*_: object, **__: object) -> None:
            raise self.error

        return fail


async def test_what_could_not_be_stored_is_not_acknowledged() -> None:
    """Turned red by hand: answering before `accept` returns gives 202 here."""
    dispatched: list[str] = []
    broken: Any = BrokenStore(ProviderError("store", "the disk is full", retryable=True))
    async with door(broken, on_accept=dispatched.append) as client:
        answer = await deliver(client, mention())
    assert (answer.status_code, dispatched) == (503, [])
    assert "redeliver" in answer.json()["error"]


async def test_a_store_that_cannot_hold_an_id_refuses_the_delivery() -> None:
    broken: Any = BrokenStore(UserError("The id is too large."))
    async with door(broken) as client:
        answer = await deliver(client, mention())
    assert (answer.status_code, answer.json()) == (400, {"error": "The id is too large."})


class OnceIgnored(BrokenStore):
    async def accept(self, *, guid: str, event: str, action: str, job: Job | None) -> Accepted:
        return Accepted(None, is_new=False)


async def test_a_delivery_known_to_have_made_no_job_makes_none_now() -> None:
    store: Any = OnceIgnored(AssertionError())
    async with door(store) as client:
        answer = await deliver(client, mention())
    assert answer.json() == {"ignored": "This delivery was seen before and asked for nothing."}


async def test_other_routes_stand_beside_the_door(store: JobStore) -> None:
    async def page(request: Request) -> Response:
        return PlainTextResponse("a page")

    async with door(store, extra_routes=[Route("/jobs/{id}", page)]) as client:
        assert (await client.get("/jobs/k7f3")).text == "a page"
        assert (await client.get("/nowhere")).status_code == 404


@pytest.mark.parametrize("secrets", [[], [""], ["short"], [SECRET, ""], [" " * 40]])
async def test_a_missing_or_short_secret_stops_the_start(store: JobStore, secrets: list[str]) -> None:
    with pytest.raises(UserError, match="GITHUB_WEBHOOK_SECRET"):
        create_app(store=store, webhook_secrets=secrets)


async def test_the_log_says_what_became_of_a_delivery_and_nothing_of_what_was_in_it(store: JobStore) -> None:
    prompt = "/backspace print tok_3141592653"
    async with door(store, new_id=lambda: "k7f3", new_watch_key=lambda: "w4tch") as client:
        with structlog.testing.capture_logs() as lines:
            await deliver(client, mention(prompt))
            await deliver(client, mention(prompt), delivery="2-2")
            await deliver(client, mention("tok_3141592653"), delivery="3-3")
            await client.post("/webhook", content=b"tok_3141592653", headers={"x-github-event": "tok_3141592653"})
    known = {"event": "delivery", "log_level": "info", "github_event": "issue_comment", "action": "created"}
    assert lines[:3] == [
        {**known, "delivery": "1-1", "outcome": "new job", "job": "k7f3"},
        {**known, "delivery": "2-2", "outcome": "known job", "job": "k7f3"},
        {
            **known,
            "delivery": "3-3",
            "outcome": "ignored",
            "reason": "No line of the comment is a /backspace command.",
        },
    ]
    assert (lines[3]["outcome"], lines[3]["status"]) == ("refused", 401)
    assert not any(word in json.dumps(lines) for word in ("tok_3141592653", "w4tch", SECRET, signature_of(b"")))


def test_ids_are_short_and_keys_are_long() -> None:
    ids = {random_job_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(made) for made in ids} == {12}
    assert set("".join(ids)) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert len(random_watch_key()) == 32


def test_the_jobs_of_one_moment_lie_side_by_side() -> None:
    """Red when all 60 bits of an id are random: seen."""
    ids = [random_job_id() for _ in range(1000)]
    assert len({made[:4] for made in ids}) <= 3
    assert len({made[4:] for made in ids}) == 1000
