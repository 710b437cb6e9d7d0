"""POST /jobs/{id}/cancel, for who has the operator's token. To everybody else there is nothing here."""

import re
from collections.abc import Callable

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.domain.errors import ProviderError
from bot.ports import JobStore
from bot.web.bearer import bears

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HEADERS = {"Cache-Control": "no-store"}

_log = structlog.get_logger("bot.web.operator")


def routes(store: JobStore, *, operator_token: str, on_cancel: Callable[[str], None] | None = None) -> list[Route]:
    """None without a token. The token comes in a header, never in a cookie, so no other site can use it.

    `on_cancel` hears the job's id once that is durable; it returns at once and raises nothing.
    """
    if not operator_token:
        return []

    async def cancel(request: Request) -> Response:
        from bot.report.answers import OPERATOR

        job_id = request.path_params["job_id"]
        if not bears(request, operator_token) or not _JOB_ID.fullmatch(job_id):
            return _absent()
        try:
            if await store.request_cancel(job_id, OPERATOR):
                _log.info("cancel requested", job=job_id)
                if on_cancel is not None:
                    on_cancel(job_id)
                return JSONResponse({"job": job_id, "cancelling": True}, headers=_HEADERS)
            row = await store.job(job_id)
        except ProviderError:
            said = {"error": "The database does not answer: try again shortly."}
            return JSONResponse(said, status_code=503, headers={**_HEADERS, "Retry-After": "5"})
        if row is None:
            return _absent()
        return JSONResponse({"error": "The job has ended already."}, status_code=409, headers=_HEADERS)

    return [Route("/jobs/{job_id}/cancel", cancel, methods=["POST"])]


def _absent() -> Response:
    return JSONResponse({"error": "Not found."}, status_code=404, headers=_HEADERS)
