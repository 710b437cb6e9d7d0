"""GET /jobs/{id}: a job's live page, its event stream and the files they need."""

import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.ports import EventLog

if TYPE_CHECKING:
    from bot.web.live_answers import Pages


def routes(
    store: EventLog,
    *,
    github_url: str = "https://github.com",
    has_operator: bool = False,
    is_record: bool = False,
    heartbeat_s: float = 15.0,
    now: Callable[[], float] = time.time,
) -> list[Route]:
    """`github_url` is where the repositories are in a browser. The link's `t` opens a job; without it all is 404.

    `has_operator`: somebody has a token to cancel with; the page's address with `#operator` opens the form for it.
    `is_record`: the jobs are over and only played back.
    """

    @cache
    def pages() -> "Pages":
        """Loaded for the first who asks: templates and Markdown would take a fifth of the door's start."""
        from bot.web.live_answers import Pages

        return Pages(
            store,
            github_url=github_url,
            has_operator=has_operator,
            is_record=is_record,
            heartbeat_s=heartbeat_s,
            now=now,
        )

    async def page(request: Request) -> Response:
        return await pages().page(request)

    async def events(request: Request) -> Response:
        return await pages().events(request)

    async def static(request: Request) -> Response:
        return await pages().static(request)

    return [
        Route("/jobs/{job_id}", page, methods=["GET"]),
        Route("/jobs/{job_id}/events", events, methods=["GET"]),
        Route("/static/{name}", static, methods=["GET"]),
    ]


def record_app(log: EventLog, *, github_url: str, now: Callable[[], float]) -> Starlette:
    """The pages alone, for runs that are over and only played back; `now` is their time."""
    return Starlette(routes=routes(log, github_url=github_url, is_record=True, now=now))
