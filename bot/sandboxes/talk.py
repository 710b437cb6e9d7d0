"""The host's side of the wire to a helper inside a sandbox: one request after the other, nothing believed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NoReturn

from bot.domain.errors import LimitReached, ProviderError
from bot.sandboxes.inside.wire import LENGTHS, MAX_HEADER_BYTES, Frame, Header, header_of, lengths, packed
from bot.sandboxes.outside import Stream

CALL_TIMEOUT_S = 120.0  # for a call that is not a command


class Talk:
    """`lost`: why nothing can be said any more, or "". `kill` ends the sandbox at once; it may be called twice."""

    def __init__(
        self,
        provider: str,
        streams: tuple[Stream, asyncio.StreamWriter],
        *,
        kill: Callable[[], None],
        wall_clock_s: float,
    ) -> None:
        self._provider, self._kill = provider, kill
        self._reader, self._writer = streams
        self._turn = asyncio.Lock()
        self.lost = ""
        self._clock = asyncio.get_running_loop().call_later(wall_clock_s, self.end, "its time is over")

    async def call(
        self, header: Header, body: bytes = b"", *, max_body: int, timeout_s: float = CALL_TIMEOUT_S
    ) -> Frame:
        async with self.exchange(timeout_s):
            await self.send(header, body)
            answer, content = await self.receive(max_body)
        self.raise_refusal(answer)
        return answer, content

    @asynccontextmanager
    async def exchange(self, timeout_s: float) -> AsyncIterator[None]:
        """One request and its answer. Whatever goes wrong in between ends the sandbox."""
        async with self._turn:
            if self.lost:
                raise self._loss()
            try:
                async with asyncio.timeout(timeout_s):
                    yield
            except TimeoutError:
                self._fail("it did not answer in time")
            except (OSError, EOFError, ValueError, RecursionError):
                self._fail("it stopped answering")
            except BaseException:  # cancelled too: the answer would be taken for that of the next request
                self.let_go("a call was broken off")
                raise

    @contextmanager
    def sense(self) -> Iterator[None]:
        """What is inside is not trusted: an answer that makes no sense ends the sandbox."""
        try:
            yield
        except (ValueError, TypeError, KeyError, OverflowError):
            self._fail("it answered nonsense")

    async def send(self, header: Header, body: bytes) -> None:
        self._writer.write(packed(header, len(body)))
        self._writer.write(body)
        await self._writer.drain()

    async def receive(self, max_body: int) -> Frame:
        """Raises ValueError for sizes nobody asked for: what is inside is not trusted."""
        header_bytes, body_bytes = lengths(await self._reader.readexactly(LENGTHS.size))
        if header_bytes > MAX_HEADER_BYTES or body_bytes > max_body:
            raise ValueError("a frame is larger than was asked for")
        header = header_of(await self._reader.readexactly(header_bytes))
        return header, await self._reader.readexactly(body_bytes)

    def raise_refusal(self, header: Header) -> None:
        if "error" not in header:
            return
        message = str(header.get("message", ""))[:1000]
        raised: dict[str, Callable[[str], Exception]] = {
            "missing": FileNotFoundError,
            "directory": IsADirectoryError,
            "refused": PermissionError,
            "limit": LimitReached,
        }
        error = raised.get(str(header["error"]))
        raise error(message) if error else ProviderError(self._provider, f"the sandbox could not do that: {message}")

    def let_go(self, why: str) -> None:
        self.lost = self.lost or why
        self._clock.cancel()
        self._writer.transport.abort()  # what is not sent yet never will be

    def end(self, why: str) -> None:
        self.let_go(why)
        self._kill()

    def _loss(self) -> ProviderError:
        return ProviderError(self._provider, f"the sandbox is lost: {self.lost}", retryable=True)

    def _fail(self, why: str) -> NoReturn:
        self.end(why)
        raise self._loss() from None
