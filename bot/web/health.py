"""GET /healthz, /readyz and /metrics: does the process live, can it work, and how does its queue fare."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from bot.domain.errors import ProviderError
from bot.ports import Census, Overview
from bot.vitals import Part, Vitals
from bot.web.bearer import bears

READY_SECONDS = 5.0
NOBODY_WORKS_S = 600.0  # a job may wait for its thread or for GitHub; with none running, after so long nobody comes
NO_STORE = {"Cache-Control": "no-store"}
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Health(Overview, Protocol):
    """What the answers need of the store."""

    async def prove(self) -> None: ...


def routes(
    store: Health,
    vitals: Vitals,
    *,
    operator_token: str = "",
    within_s: float = READY_SECONDS,
    now: Callable[[], float] = time.monotonic,
) -> list[Route]:
    """With an operator's token, /metrics is for who has it; all other answers say nothing that helps an attacker.

    A database that does not answer `within_s` counts as away.
    """
    health = _Health(store, vitals, operator_token=operator_token, within_s=within_s, now=now)
    return [
        Route("/healthz", health.healthz),
        Route("/readyz", health.readyz),
        Route("/metrics", health.metrics),
    ]


def application(store: Health, vitals: Vitals, *, operator_token: str) -> Starlette:
    """These answers alone: for a process without the webhook door."""
    return Starlette(routes=routes(store, vitals, operator_token=operator_token))


class _Health:
    def __init__(
        self, store: Health, vitals: Vitals, *, operator_token: str, within_s: float, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._vitals = vitals
        self._token = operator_token
        self._within_s = within_s
        self._now = now
        self._stored_at: float | None = None

    async def healthz(self, request: Request) -> Response:
        """The process answers; nothing else is asked, so that a database that is away restarts nobody."""
        return JSONResponse({"status": "ok"}, headers=NO_STORE)

    async def readyz(self, request: Request) -> Response:
        parts = (*await self._store_parts(), *self._vitals.parts())
        ready = all(part.problem is None for part in parts)
        body = {"status": "ready" if ready else "not ready", "parts": {part.name: _shown(part) for part in parts}}
        return JSONResponse(body, status_code=200 if ready else 503, headers=NO_STORE)

    async def metrics(self, request: Request) -> Response:
        if self._token and not bears(request, self._token):
            return PlainTextResponse("Not found.\n", status_code=404)
        try:
            async with asyncio.timeout(self._within_s):
                census = await self._store.census()
        except (ProviderError, TimeoutError):
            census = None
        text = exposition(census, self._vitals)
        return Response(text, media_type=METRICS_TYPE, headers=NO_STORE)

    async def _store_parts(self) -> tuple[Part, ...]:
        """Asked now: whether something can be written, and whether somebody takes what waits."""
        try:
            async with asyncio.timeout(self._within_s):
                await self._store.prove()
                census = await self._store.census()
        except (ProviderError, TimeoutError):
            age = None if self._stored_at is None else self._now() - self._stored_at
            return (Part("database", age, "The database cannot be written."),)
        self._stored_at = self._now()
        problem = idle(census)
        return (Part("database", 0.0, None), Part("queue", (problem and census.oldest_queued_s) or 0.0, problem))


def idle(census: Census) -> str | None:
    waits = census.oldest_queued_s or 0.0
    return "Jobs wait, and no worker takes them." if waits > NOBODY_WORKS_S and not census.running else None


def exposition(census: Census | None, vitals: Vitals) -> str:
    """Prometheus' text format; without a census (the database is away) what this process knows by itself."""
    lines = [
        *_metric("backspace_database_up", "gauge", "Whether the database answered.", {"": int(census is not None)})
    ]
    if census is not None:
        lines += _census(census)
    ages = {_label("part", part.name): part.age_s for part in vitals.parts() if part.age_s is not None}
    lines += _metric("backspace_part_age_seconds", "gauge", "Seconds since a part of the bot last worked.", ages)
    lost = {"": vitals.leases_lost}
    lines += _metric("backspace_leases_lost_total", "counter", "Jobs that were taken from this process.", lost)
    lines += _metric("backspace_gaps_total", "counter", "Times requests may be lost: see the log.", {"": vitals.gaps})
    return "\n".join(lines) + "\n"


def _census(census: Census) -> list[str]:
    jobs = {_label("state", "queued"): census.queued, _label("state", "running"): census.running}
    oldest = {"": census.oldest_queued_s or 0.0}
    ended = {_label("conclusion", how): jobs for how, jobs in sorted(census.finished.items())}
    return [
        *_metric("backspace_jobs", "gauge", "Jobs that are queued or running.", jobs),
        *_metric("backspace_oldest_queued_seconds", "gauge", "How long a job has waited that could be taken.", oldest),
        *_metric("backspace_jobs_finished", "gauge", "Jobs that ended, of those still kept.", ended),
        *_metric("backspace_jobs_untold", "gauge", "Ends that GitHub does not show yet.", {"": census.untold}),
        *_metric("backspace_model_usd_today", "gauge", "Dollars of model calls today (UTC).", {"": census.usd_today}),
    ]


def _metric(name: str, kind: str, meaning: str, values: Mapping[str, float]) -> list[str]:
    samples = (f"{name}{label} {value:.10g}" for label, value in values.items())
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", *samples]


def _label(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{{{name}="{escaped}"}}'


def _shown(part: Part) -> dict[str, object]:
    shown: dict[str, object] = {
        "ok": part.problem is None,
        "age_s": None if part.age_s is None else round(part.age_s, 1),
    }
    return shown if part.problem is None else {**shown, "problem": part.problem}
