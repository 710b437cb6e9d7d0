"""Webhooks: the payload that is common to all events, signed delivery, the log, redelivery."""

import asyncio
import hashlib
import hmac
import json
import time
import uuid

import httpx

from bot.standins.github import shapes
from bot.standins.github.api import Answer, Call, Route
from bot.standins.github.auth import AsApp
from bot.standins.github.problems import Problem, not_found
from bot.standins.github.state import App, Delivery, Installation, Json, Repository, User, stamp
from bot.standins.github.world import World

USER_AGENT = "GitHub-Hookshot/044aadd"
KEPT_SECONDS = 3 * 86_400  # deliveries can be listed and redelivered for three days
AT_ONCE = 32  # deliveries under way: the client's work grows with the square of them, and waiting is no door's delay
LOG_LIMIT = 10_000  # characters of an answer that the log keeps


class Hooks:
    """Sends events to the Apps that subscribed, in the background, each once: GitHub never retries by itself."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._client: httpx.AsyncClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lanes = asyncio.Semaphore(AT_ONCE)

    def emit(
        self,
        repo: Repository,
        event: str,
        action: str | None,
        payload: Json,
        *,
        sender: User,
        only: App | None = None,
    ) -> None:
        """An event of a repository. `only`: check runs tell their own App and nobody else."""
        for installation in self._world.installations.values():
            app = installation.app
            listens = event in app.events and (only is None or only is app)
            if listens and installation.suspended_at is None and installation.covers(repo):
                named: Json = {"action": action} if action else {}
                whole = named | payload
                whole |= {
                    "repository": shapes.repository(self._world, repo),
                    "sender": shapes.user(self._world, sender),
                    "installation": _short(installation),
                }
                self.post(installation, event, action, whole, repository_id=repo.id)

    def post(
        self,
        installation: Installation,
        event: str,
        action: str | None,
        payload: Json,
        *,
        repository_id: int | None = None,
        guid: str | None = None,
    ) -> Delivery:
        delivery = Delivery(
            self._world.next_id(),
            guid or str(uuid.uuid4()),
            installation.app,
            event,
            action,
            installation.id,
            repository_id,
            json.dumps(payload, separators=(",", ":")).encode(),
            self._world.now(),
        )
        self._start(delivery)
        return delivery

    def redeliver(self, delivery: Delivery) -> Delivery:
        """The same bytes and the same GUID, as another attempt."""
        again = Delivery(
            self._world.next_id(),
            delivery.guid,
            delivery.app,
            delivery.event,
            delivery.action,
            delivery.installation_id,
            delivery.repository_id,
            delivery.payload,
            self._world.now(),
            redelivery=True,
        )
        self._start(again)
        return again

    async def settled(self) -> None:
        """Returns when every delivery under way has been answered or given up."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _start(self, delivery: Delivery) -> None:
        self._world.deliveries.append(delivery)
        task = asyncio.get_running_loop().create_task(self._deliver_in_turn(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver_in_turn(self, delivery: Delivery) -> None:
        async with self._lanes:
            await self._deliver(delivery)

    async def _deliver(self, delivery: Delivery) -> None:
        delivery.request_headers = headers_of(delivery)
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=None, trust_env=False)
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._world.hook_timeout_s):
                said = await self._client.post(
                    delivery.app.webhook_url, content=delivery.payload, headers=dict(delivery.request_headers)
                )
        except TimeoutError:
            delivery.status, delivery.status_code = "timed out", 504
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            delivery.status, delivery.status_code = "failed to connect to host", 502
        else:
            delivery.status_code = said.status_code
            delivery.status = "OK" if said.is_success else f"Invalid HTTP Response: {said.status_code}"
            delivery.response_headers = dict(said.headers)
            delivery.response_body = said.text[:LOG_LIMIT]
        delivery.duration = round(time.monotonic() - started, 3)


def headers_of(delivery: Delivery) -> dict[str, str]:
    key = delivery.app.webhook_secret.encode()
    return {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "X-GitHub-Delivery": delivery.guid,
        "X-GitHub-Event": delivery.event,
        "X-GitHub-Hook-ID": str(delivery.app.hook_id),
        "X-GitHub-Hook-Installation-Target-ID": str(delivery.app.id),
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        "X-Hub-Signature": "sha1=" + hmac.new(key, delivery.payload, hashlib.sha1).hexdigest(),
        "X-Hub-Signature-256": "sha256=" + hmac.new(key, delivery.payload, hashlib.sha256).hexdigest(),
    }


def _short(installation: Installation) -> Json:
    return {"id": installation.id, "node_id": shapes.node_id("MDI", installation.id)}


# ---------------------------------------------------------------- the log over REST


def routes(hooks: Hooks) -> tuple[Route, ...]:
    async def redeliver(call: Call) -> Answer:
        hooks.redeliver(_delivery(call))
        return Answer(202, {})

    return (
        Route("GET", "/app/hook/config", get_config, caller=AsApp),
        Route("GET", "/app/hook/deliveries", list_deliveries, caller=AsApp),
        Route("GET", "/app/hook/deliveries/{id}", get_delivery, caller=AsApp),
        Route("POST", "/app/hook/deliveries/{id}/attempts", redeliver, caller=AsApp),
    )


async def get_config(call: Call) -> Answer:
    """Nobody is shown the secret again."""
    return Answer(200, {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": call.app.webhook_url})


async def list_deliveries(call: Call) -> Answer:
    """Newest first; `cursor` is the id of the first delivery of the page."""
    size = call.query.get("per_page", "30")
    if not size.isdecimal() or not 1 <= int(size) <= 100:
        raise Problem(422, "Validation Failed")
    rows = [d for d in reversed(_kept(call)) if _wanted(d, call.query.get("status"))]
    cursor = call.query.get("cursor")
    if cursor is not None:
        first = _position(cursor)
        rows = [d for d in rows if d.id <= first]
    shown, rest = rows[: int(size)], rows[int(size) :]
    status = f"&status={call.query['status']}" if "status" in call.query else ""
    link = {"Link": f'<{call.url}?per_page={size}{status}&cursor=v1_{rest[0].id}>; rel="next"'} if rest else {}
    return Answer(200, [item(one) for one in shown], link)


async def get_delivery(call: Call) -> Answer:
    one = _delivery(call)
    return Answer(
        200,
        item(one)
        | {
            "url": one.app.webhook_url,
            "request": {"headers": dict(one.request_headers), "payload": json.loads(one.payload)},
            "response": {"headers": dict(one.response_headers), "payload": one.response_body},
        },
    )


def item(one: Delivery) -> Json:
    return {
        "id": one.id,
        "guid": one.guid,
        "delivered_at": stamp(one.delivered_at),
        "redelivery": one.redelivery,
        "duration": one.duration,
        "status": one.status,
        "status_code": one.status_code,
        "event": one.event,
        "action": one.action,
        "installation_id": one.installation_id,
        "repository_id": one.repository_id,
        "throttled_at": None,
    }


def _wanted(one: Delivery, status: str | None) -> bool:
    return status is None or (status == "success") == (200 <= one.status_code < 400)


def _position(cursor: str) -> int:
    digits = cursor.removeprefix("v1_")
    if not digits.isdecimal():
        raise Problem(422, "Validation Failed")
    return int(digits)


def _kept(call: Call) -> list[Delivery]:
    """The App's answered deliveries of the last three days."""
    oldest = call.world.now() - KEPT_SECONDS
    ours = (d for d in call.world.deliveries if d.app is call.app)
    return [d for d in ours if d.delivered_at >= oldest and d.status != "pending"]


def _delivery(call: Call) -> Delivery:
    id = call.number("id")
    one = next((d for d in _kept(call) if d.id == id), None)
    if one is None:
        raise not_found()
    return one
