"""A GitHub of answers written down in the test: httpx's own transport seam, with a log of what was asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bot.domain.job import Repo
from bot.github.installation import App
from bot.github.pace import NO_LIMITS, Limits

REPO = Repo(7, "acme", "widget")
NOW = 1_800_000_000.0
Reply = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


@cache
def private_key() -> str:
    """A throw-away App key in PEM."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def answer(status: int, data: object = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, json=data, headers=headers) if data is not None else httpx.Response(status)


@dataclass
class Wire:
    """`replies` maps "METHOD /path" to what is answered in turn, the last one again and again.

    Sleeping takes no time but moves `now`.
    """

    replies: dict[str, list[Reply]] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    now: float = NOW
    minted: int = 0
    token_life_s: float = 3600.0
    wall_set_by_s: float = 0.0

    def on(self, call: str, *replies: Reply) -> "Wire":
        self.replies[call] = list(replies)
        return self

    def app(self, *, limits: Limits = NO_LIMITS, **options: Any) -> App:
        return App(
            42,
            private_key(),
            now=lambda: self.now + self.wall_set_by_s,
            monotonic=lambda: self.now,
            sleep=self._sleep,
            transport=httpx.MockTransport(self._handle),
            limits=limits,
            **options,
        )

    @property
    def calls(self) -> list[str]:
        """What was asked, but for tokens."""
        lines = (f"{request.method} {request.url.raw_path.decode()}" for request in self.requests)
        return [line for line in lines if "/access_tokens" not in line and "/installation/token" not in line]

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        call = f"{request.method} {request.url.path}"
        if call not in self.replies:
            if call == "POST /app/installations/5/access_tokens":
                self.minted += 1
                return answer(201, {"token": f"ghs_{self.minted}", "expires_at": _iso(self.now + self.token_life_s)})
            if call == "DELETE /installation/token":
                return answer(204)
            return answer(404, {"message": "Not Found"})
        replies = self.replies[call]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, httpx.Response):
            return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)
        return reply(request)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
