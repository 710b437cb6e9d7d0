"""What a job's live page, its event stream and the files they need answer. Reading only."""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from bot.domain.errors import ProviderError
from bot.ports import EventLog, JobRow
from bot.report.amounts import duration
from bot.report.characters import visible
from bot.web.feeds import Feeds
from bot.web.page import page_of
from bot.web.stream import EventStream

PAGE_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Robots-Tag": "noindex",
    }
)
STATIC_HEADERS: Mapping[str, str] = MappingProxyType(
    {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
)
_STATIC_TYPES = {
    "live.css": "text/css",
    "live.js": "text/javascript",
    "operator.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOBODYS_KEY = "0" * 43
_SEQ = re.compile(r"[0-9]{1,15}")


def page_environment(*, has_operator: bool = False, is_record: bool = False) -> Environment:
    """The templates, with every text escaped and shown rather than obeyed."""
    environment = Environment(
        loader=PackageLoader("bot.web"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        finalize=_readable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    environment.globals["has_operator"] = has_operator
    environment.globals["is_record"] = is_record
    environment.globals["version"] = {name: file.version for name, file in static_files().items()}
    return environment


@dataclass(frozen=True, slots=True)
class _Static:
    body: bytes
    media_type: str
    version: str


class Pages:
    def __init__(
        self,
        store: EventLog,
        *,
        github_url: str,
        has_operator: bool,
        is_record: bool,
        heartbeat_s: float,
        now: Callable[[], float],
    ) -> None:
        environment = page_environment(has_operator=has_operator, is_record=is_record)
        self._store = store
        self._github_url = github_url.rstrip("/")
        self._now = now
        self._feeds = Feeds(store, heartbeat_s=heartbeat_s)
        self._static = static_files()
        self._page = environment.get_template("job.html")
        self._absent = environment.get_template("absent.html").render()

    async def page(self, request: Request) -> Response:
        try:
            row = await self._opened(request)
            if row is None:
                return _html(self._absent, status=404)
            events = await self._store.events(row.job.id)
        except ProviderError:
            return _unavailable()
        key = request.query_params["t"]
        page = page_of(row.job, events, now=self._now(), github_url=self._github_url, key=key)
        return _html(self._page.render(page=page))

    async def events(self, request: Request) -> Response:
        try:
            row = await self._opened(request)
        except ProviderError:
            return _unavailable()
        if row is None:
            return _html(self._absent, status=404)
        after = _seq(request.headers.get("last-event-id") or request.query_params.get("last_event_id") or "")
        return EventStream(self._feeds, row.job.id, after=after)

    async def static(self, request: Request) -> Response:
        file = self._static.get(request.path_params["name"])
        if file is None:
            return PlainTextResponse("Not found.\n", status_code=404)
        return Response(file.body, media_type=file.media_type, headers=STATIC_HEADERS)

    async def _opened(self, request: Request) -> JobRow | None:
        """The job, if the link's key is its key. Unknown and forbidden take the same way."""
        job_id = request.path_params["job_id"]
        row = await self._store.job(job_id) if _JOB_ID.fullmatch(job_id) else None
        given = request.query_params.getlist("t")
        right = row.job.watch_key if row is not None and row.job.watch_key else _NOBODYS_KEY
        fits = hmac.compare_digest(_bytes(given[0] if len(given) == 1 else ""), _bytes(right))
        return row if fits and right is not _NOBODYS_KEY else None


def _readable(value: object) -> object:
    """Every text on the page, whoever wrote it, without characters that the browser would obey instead of showing."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _html(text: str, *, status: int = 200) -> Response:
    body = text.encode("utf-8", "replace")
    return Response(body, status_code=status, media_type="text/html", headers=PAGE_HEADERS)


def _unavailable() -> Response:
    headers = {"Retry-After": "5", "Cache-Control": "no-store"}
    return PlainTextResponse("The log cannot be read just now. Try again shortly.\n", status_code=503, headers=headers)


def _seq(text: str) -> int:
    return int(text) if _SEQ.fullmatch(text) else 0


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def static_files() -> dict[str, _Static]:
    folder = files("bot.web") / "static"
    found = {name: (folder / name).read_bytes() for name in _STATIC_TYPES}
    return {
        name: _Static(body, _STATIC_TYPES[name], hashlib.sha256(body).hexdigest()[:10]) for name, body in found.items()
    }
