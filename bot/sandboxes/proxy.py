"""The one way out of a sandbox in its setup phase: a proxy outside of it, for hosts on a list."""

import asyncio
import base64
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from bot.domain.hosts import NOT_PUBLIC
from bot.sandboxes.egress import Destination, WayOut, is_allowed, is_operators, may_connect

CHUNK = 1 << 16
MAX_HEAD_BYTES = 16 << 10  # of a request: line and headers
HEAD_TIMEOUT_S = 20.0
CONNECT_TIMEOUT_S = 20.0
SILENCE_S = 180.0  # an index may take its time; a connection that says nothing for longer is ended
MOST_REFUSED = 50  # names kept for the report
HOST = re.compile(r"[A-Za-z0-9._-]{1,253}")
TARGET = re.compile(r"http://(?P<host>[^/?#@\s]+)(?P<path>/[^\s]*)?")
HOP_BY_HOP = ("connection", "host", "keep-alive", "proxy-", "te", "trailer", "upgrade")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Refused(Exception):
    """The answer to a command that asked for what it may not have: an HTTP status and a sentence."""

    def __init__(self, status: str, words: str) -> None:
        super().__init__(words)
        self.status = status


async def resolved(name: str, port: int) -> Sequence[str]:
    """The addresses of a name. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


@dataclass(frozen=True, slots=True)
class Dialer:
    """How names become addresses, and addresses connections; both may raise OSError."""

    resolve: Callable[[str, int], Awaitable[Sequence[str]]] = resolved
    connect: Callable[[str, int], Awaitable[Streams]] = asyncio.open_connection


DIALER = Dialer()


class AllowListProxy:
    """CONNECT to TLS ports, GET and HEAD of plain HTTP. Names are looked up once, here, and only what was checked is
    connected to. Carries bytes, holds no credential but the operator's own proxy's, and trusts nothing it is told."""

    def __init__(self, names: Sequence[str], way_out: WayOut, *, dialer: Dialer = DIALER) -> None:
        self._names, self._way_out, self._dialer = tuple(names), way_out, dialer
        self._refused: dict[str, None] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._left_in, self._left_out = way_out.max_bytes_in, way_out.max_bytes_out

    async def serve(self, listener: socket.socket) -> None:
        """Takes `listener` over. Raises OSError."""
        self._server = await asyncio.start_server(self._accepted, sock=listener, limit=MAX_HEAD_BYTES)

    async def close(self) -> tuple[str, ...]:
        """Nothing listens and no connection is open afterwards. What was refused, each once, in order."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        return tuple(self._refused)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            with suppress(OSError, EOFError, TimeoutError, asyncio.CancelledError):  # cancelled by `close` only
                await self._answered(reader, writer)
        finally:
            self._running.discard(task)
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if len(self._running) > self._way_out.max_connections:
                raise Refused("503 Service Unavailable", "Too many connections at once.")
            method, where, path, headers = await _request(reader)
            if not is_allowed(where, self._names, self._way_out):
                self._note(where)
                raise Refused("403 Forbidden", f"{where.shown} is not on the allow-list of the setup phase.")
            upstream = await self._connected(where, tunnel=method == "CONNECT")
        except Refused as refusal:
            body = f"{refusal}\n".encode()
            head = f"HTTP/1.1 {refusal.status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
            return
        up_reader, up_writer = upstream
        try:
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await self._both_ways(reader, writer, up_reader, up_writer)
            else:
                up_writer.write(self._plain_request(method, where, path, headers))
                await up_writer.drain()
                await self._carry(up_reader, writer, inward=True)
        finally:
            up_writer.close()

    def _note(self, where: Destination, why: str = "") -> None:
        if len(self._refused) < MOST_REFUSED:
            self._refused[f"{where.shown}{why}"] = None

    async def _connected(self, where: Destination, *, tunnel: bool) -> Streams:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                if self._way_out.proxy and not is_operators(where, self._way_out):
                    return await self._through_proxy(where, tunnel=tunnel)
                return await self._directly(where)
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError) as error:
            why = "it took too long" if isinstance(error, TimeoutError) else type(error).__name__
            raise Refused("502 Bad Gateway", f"{where.shown} cannot be reached: {why}.") from None

    async def _directly(self, where: Destination) -> Streams:
        """To an address that was checked, by number: a name that resolves differently a moment later gains nothing."""
        operators = is_operators(where, self._way_out)
        addresses = await self._dialer.resolve(where.name, where.port)
        fit = [address for address in addresses if may_connect(address, operators=operators)]
        if not fit:
            self._note(where, NOT_PUBLIC)
            raise Refused("403 Forbidden", f"{where.shown} does not lead to a public address.")
        failure: OSError | None = None
        for address in fit[:4]:
            try:
                return await self._dialer.connect(address, where.port)
            except OSError as error:
                failure = error
        raise failure or OSError("no address")

    async def _through_proxy(self, where: Destination, *, tunnel: bool) -> Streams:
        parts = urlsplit(self._way_out.proxy)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 3128, limit=MAX_HEAD_BYTES)
        if not tunnel:
            return reader, writer
        try:
            place = f"{where.name}:{where.port}"
            writer.write(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{self._proxy_credential()}\r\n".encode())
            status = (await _head(reader)).split(b"\r\n", 1)[0].decode("latin-1")
        except BaseException:  # cancelled too: nobody else could close it
            writer.close()
            raise
        if status.split(" ")[1:2] != ["200"]:
            writer.close()
            raise Refused("502 Bad Gateway", f"The operator's proxy does not let {where.shown} pass.")
        return reader, writer

    def _proxy_credential(self) -> str:
        parts = urlsplit(self._way_out.proxy)
        if not parts.username:
            return ""
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"

    def _plain_request(self, method: str, where: Destination, path: str, headers: Sequence[str]) -> bytes:
        """One request and no second: the host named is the one that was checked."""
        host = where.name if where.port == 80 else f"{where.name}:{where.port}"
        proxied = self._way_out.proxy and not is_operators(where, self._way_out)
        target = f"http://{host}{path}" if proxied else path
        kept = [line for line in headers if not line.lower().startswith(HOP_BY_HOP)]
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *kept]
        return ("\r\n".join(lines) + "\r\n" + (self._proxy_credential() if proxied else "") + "\r\n").encode("latin-1")

    async def _both_ways(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        ways = (
            asyncio.create_task(self._carry(reader, up_writer, inward=False)),
            asyncio.create_task(self._carry(up_reader, writer, inward=True)),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, inward: bool) -> None:
        """Until the end of either side, long silence, or the cap of the whole phase."""
        with suppress(OSError, TimeoutError):
            while chunk := await asyncio.wait_for(reader.read(CHUNK), SILENCE_S):
                if inward:
                    self._left_in -= len(chunk)
                else:
                    self._left_out -= len(chunk)
                if min(self._left_in, self._left_out) < 0:
                    self._refused["too many bytes"] = None
                    return
                writer.write(chunk)
                await asyncio.wait_for(writer.drain(), SILENCE_S)


async def _request(reader: asyncio.StreamReader) -> tuple[str, Destination, str, list[str]]:
    """Method, destination, path and header lines. Raises Refused for what is no request of ours."""
    try:
        async with asyncio.timeout(HEAD_TIMEOUT_S):
            line, *headers = (await _head(reader)).decode("latin-1").split("\r\n")
    except asyncio.LimitOverrunError:
        raise Refused("431 Request Header Fields Too Large", "The request is too long.") from None
    method, _, rest = line.partition(" ")
    target = rest.rpartition(" ")[0]
    if any("\r" in text or "\n" in text or "\0" in text for text in (line, *headers)):
        raise Refused("400 Bad Request", "The request is malformed.")
    if method == "CONNECT":
        return method, _destination(target, None), "", headers
    found = TARGET.fullmatch(target)
    if method not in ("GET", "HEAD") or found is None:
        raise Refused("405 Method Not Allowed", "Only CONNECT, and GET and HEAD of http:// addresses, are served.")
    return method, _destination(found["host"], 80), found["path"] or "/", headers


async def _head(reader: asyncio.StreamReader) -> bytes:
    return (await reader.readuntil(b"\r\n\r\n"))[:-4]


def _destination(authority: str, default_port: int | None) -> Destination:
    host, colon, port = authority.partition(":")
    number = port if colon else str(default_port or "")
    if not HOST.fullmatch(host) or not number.isascii() or not number.isdigit() or not 0 < int(number[:6]) < 65536:
        raise Refused("400 Bad Request", "The host or its port cannot be read.")
    return Destination(host.lower().removesuffix("."), int(number))
