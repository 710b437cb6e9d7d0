"""POST /webhook: a delivery is checked, read and stored before GitHub hears that it arrived."""

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from starlette.types import Receive, Scope, Send

from bot.domain.errors import BadSignature, ProviderError, UserError
from bot.intake.delivery import Delivery, NotJson, receive
from bot.intake.notices import notice_of
from bot.intake.triggers import Ignored, Trigger, job_of, trigger_of
from bot.ports import JobStore, Notice, RequestEdited

MAX_BODY_BYTES = 25 * 1024 * 1024  # GitHub sends no larger payload
BODY_SECONDS = 10.0  # GitHub has given up by then

_log = structlog.get_logger("bot.web.door")


def random_job_id() -> str:
    """12 characters a person can read out: 60 bits in lower-case base32.

    40 are random. The first 20 are the time in quarters of a second, over and over in three days: so the database finds
    a place for all jobs of a burst in the same few pages, and has less to make durable.
    """
    moment = int(time.time() * 4) & 0xFFFFF
    return base64.b32encode((moment << 44 | secrets.randbits(44)).to_bytes(8)).decode().lower()[:12]


def random_watch_key() -> str:
    """A capability of 192 random bits, fit for a URL."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; `closes` ends the connection because the rest of the body is not read."""

    status: int
    body: dict[str, str]
    closes: bool = False
    allow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDoor:
    """A bare ASGI endpoint: Starlette's request and response objects would double the time a delivery takes here.

    `on_accept` is told the id of each job that is new or was cancelled, once that is durable; it must return at once
    and must not raise.
    """

    store: JobStore
    webhook_secrets: Sequence[bytes]
    max_body: int
    body_seconds: float
    on_accept: Callable[[str], None]
    new_id: Callable[[], str]
    new_watch_key: Callable[[], str]

    async def __call__(self, scope: Scope, receive_message: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            answer = Answer(405, {"error": "Deliveries are posted here."}, allow=True)
        else:
            body = await self._body(scope, receive_message)
            if body is None:
                return
            answer = body if isinstance(body, Answer) else await self._answer(scope, body)
        await _send(send, answer)

    async def _body(self, scope: Scope, receive_message: Receive) -> bytes | Answer | None:
        """The whole body; an Answer when it is too large or too slow; None when the caller has gone."""
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and _exceeds(value, self.max_body):
                return self._too_large()
        try:
            async with asyncio.timeout(self.body_seconds):
                return await self._read(receive_message)
        except TimeoutError:
            return _refused(408, "The body did not arrive in time.", closes=True)

    async def _read(self, receive_message: Receive) -> bytes | Answer | None:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive_message()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self.max_body:
                return self._too_large()
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    def _too_large(self) -> Answer:
        return _refused(413, f"The body is larger than {self.max_body:,} bytes, the most GitHub sends.", closes=True)

    async def _answer(self, scope: Scope, body: bytes) -> Answer:
        try:
            delivery = receive(scope["headers"], body, secrets=self.webhook_secrets)
        except BadSignature as error:
            return _refused(401, str(error))
        except NotJson as error:
            return _refused(415, str(error))
        except UserError as error:
            return _refused(400, str(error))
        log = _log.bind(delivery=delivery.id, github_event=delivery.event, action=delivery.action)
        try:
            notice = notice_of(delivery)
            if notice is not None:
                return await self._heeded(delivery, notice, log)
            return await self._accepted(delivery, trigger_of(delivery), log)
        except UserError as error:
            log.warning("delivery", outcome="refused", error=str(error))
            return _refused(400, str(error))
        except ProviderError as error:
            log.error("delivery", outcome="not stored", error=str(error))
            return _refused(503, "The delivery could not be stored: redeliver it once the bot is healthy.")

    async def _heeded(self, delivery: Delivery, notice: Notice, log: structlog.typing.FilteringBoundLogger) -> Answer:
        cancelled = await self.store.heed(guid=delivery.id, event=delivery.event, action=delivery.action, notice=notice)
        if isinstance(notice, RequestEdited):
            log.info("delivery", outcome="heeded", by=notice.by)
            return Answer(202, {"ignored": "An edit starts and stops nothing."})
        if not cancelled:
            log.info("delivery", outcome="heeded", by=notice.by)
            return Answer(202, {"ignored": "No job was waiting or running there."})
        log.info("delivery", outcome="jobs cancelled", jobs=cancelled, by=notice.by)
        for job_id in cancelled:
            self.on_accept(job_id)
        return Answer(202, {"cancelled": " ".join(cancelled)})

    async def _accepted(
        self, delivery: Delivery, trigger: Trigger | Ignored, log: structlog.typing.FilteringBoundLogger
    ) -> Answer:
        if isinstance(trigger, Ignored):
            log.info("delivery", outcome="ignored", reason=trigger.reason)
            return Answer(202, {"ignored": trigger.reason})
        job = job_of(trigger, job_id=self.new_id(), watch_key=self.new_watch_key())
        accepted = await self.store.accept(guid=delivery.id, event=delivery.event, action=delivery.action, job=job)
        if accepted.job_id is None:
            reason = accepted.reason or "This delivery was seen before and asked for nothing."
            log.info("delivery", outcome="no job", reason=reason)
            return Answer(202, {"ignored": reason})
        log.info("delivery", outcome="new job" if accepted.is_new else "known job", job=accepted.job_id)
        if accepted.is_new:
            self.on_accept(accepted.job_id)
        return Answer(202, {"job": accepted.job_id})


def _refused(status: int, problem: str, *, closes: bool = False) -> Answer:
    """A refused delivery may come from anybody, so nothing of it but our own words is logged."""
    _log.info("delivery", outcome="refused", status=status, problem=problem)
    return Answer(status, {"error": problem}, closes=closes)


def _exceeds(digits: bytes, limit: int) -> bool:
    """Compared by length first: thousands of digits are no number worth parsing."""
    significant = digits.lstrip(b"0")
    return len(significant) > 18 or int(significant or b"0") > limit


async def _send(send: Send, answer: Answer) -> None:
    body = json.dumps(answer.body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if answer.closes:
        headers.append((b"connection", b"close"))
    if answer.allow:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
