"""How long to wait for an answer, and reading its stream to the end within that."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

import httpx2

from bot.domain.conversation import Reply, Usage
from bot.domain.errors import ModelError
from bot.models.classify import interrupted

MOST_BYTES = 32_000_000  # of one answer: 64,000 tokens in events of 500 bytes each
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in seconds: to connect, for the first event (pings do not count), for any byte, in all."""

    connect_s: float = 5.0
    first_event_s: float = 120.0
    silence_s: float = 90.0
    total_s: float = 600.0
    after_the_end_s: float = 1.0

    @property
    def timeout(self) -> httpx2.Timeout:
        """Of one connection."""
        return httpx2.Timeout(connect=self.connect_s, read=self.silence_s, write=60.0, pool=10.0)


class _OfAClient(TypedDict):
    follow_redirects: bool
    timeout: httpx2.Timeout
    event_hooks: dict[str, list[Callable[..., Any]]]


def http_manners(timeout: httpx2.Timeout) -> _OfAClient:
    """Of either SDK's HTTP client."""
    return {"follow_redirects": False, "timeout": timeout, "event_hooks": {"response": [bounded]}}


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._stream:
            size += len(piece)
            if size > MOST_BYTES:
                raise httpx2.ReadError(f"an answer of more than {MOST_BYTES} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


async def bounded(answer: httpx2.Response) -> None:
    """An event hook of either SDK's client: an answer without end breaks off before it fills the worker's memory."""
    if isinstance(answer.stream, httpx2.AsyncByteStream):
        answer.stream = _Bounded(answer.stream)


class Stream(Protocol):
    """Either SDK's stream: events of its own kind, above one HTTP answer."""

    @property
    def response(self) -> Any: ...
    def __aiter__(self) -> AsyncIterator[Any]: ...


class Gathered(Protocol):
    """What becomes of the events. `usage`: what the request used as far as it was told, None before a 200 came.
    `is_answered`: it came, so that the prompt is paid for whatever follows."""

    request_id: str | None
    is_answered: bool
    is_whole: bool

    @property
    def usage(self) -> Usage | None: ...
    def take(self, event: Mapping[str, Any]) -> None: ...
    def reply(self) -> Reply: ...


class Late(TimeoutError):
    """One of our own deadlines passed; `began` when the answer had begun by then."""

    def __init__(self, *, began: bool) -> None:
        super().__init__()
        self.began = began


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Reads the answers of one model. `who`: its name in words; `id_header`: the header with a request's id."""

    provider: str
    who: str
    id_header: str
    patience: Patience

    async def listen(self, opening: Awaitable[AbstractAsyncContextManager[Stream]], gathered: Gathered) -> None:
        """Reads to the end, so that the connection can be used again, but does not wait for it once all is there.

        Raises Late, ModelError for what cannot be read, and what the SDK raises.
        """
        patience, clock, began = self.patience, asyncio.get_running_loop().time, False
        try:
            async with (
                asyncio.timeout(patience.total_s),
                asyncio.timeout(patience.first_event_s) as first_event,
                await opening as stream,
            ):
                gathered.is_answered = True
                gathered.request_id = stream.response.headers.get(self.id_header)
                async for event in self._readable(stream, gathered):
                    began = True
                    gathered.take(event)
                    first_event.reschedule(clock() + patience.after_the_end_s if gathered.is_whole else None)
        except TimeoutError as error:
            raise Late(began=began) from error

    async def _readable(self, stream: Stream, gathered: Gathered) -> AsyncIterator[Mapping[str, Any]]:
        """The stream's events as JSON. Raises ModelError for bytes that are none, unless all was there already."""
        try:
            async for event in stream:
                yield event.to_dict(warnings=False)
        except ValueError as error:
            if not gathered.is_whole:
                raise self._interrupted(f"{self.who}'s answer was garbled on its way.", gathered) from error

    def reply_of(self, gathered: Gathered) -> Reply:
        """Raises ModelError unless a whole answer came and can be used."""
        try:
            return gathered.reply()
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            message = f"{self.who}'s answer was not in the form this version can read."
            raise self._interrupted(message, gathered, error) from error

    def too_slow(self, error: Exception, gathered: Gathered) -> ModelError:
        if not isinstance(error, Late):
            message = f"{self.who} was silent for {self.patience.silence_s:g} s."
        elif error.began:
            message = f"{self.who}'s answer took longer than {self.patience.total_s:g} s."
        else:
            message = f"{self.who} did not begin to answer within {self.patience.first_event_s:g} s."
        return self._interrupted(message, gathered, error)

    def connection_lost(self, gathered: Gathered, error: Exception | None = None) -> ModelError:
        """None: it is we who leave."""
        if gathered.request_id is None and gathered.usage is None:
            return self._interrupted(f"{self.who}'s API could not be reached.", gathered, error)
        return self._interrupted(f"The connection to {self.who} broke off.", gathered, error)

    def _interrupted(self, message: str, gathered: Gathered, error: Exception | None = None) -> ModelError:
        """A request that was sent may be paid for, though nothing of an answer came."""
        was_sent = not any(isinstance(one, _NOT_SENT) for one in (error, error and error.__cause__))
        usage = gathered.usage or (Usage() if was_sent else None)
        return interrupted(message, provider=self.provider, usage=usage, request_id=gathered.request_id)
