"""The few calls of Docker's Engine API that sandboxes need, over the engine's Unix socket or plain TCP."""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from bot.domain.errors import NotFound, ProviderError, Unprocessable

NAME = "docker"
TIMEOUT_S = 60.0  # creating and removing a container can take a busy engine many seconds
PING_TIMEOUT_S = 15.0  # a busy machine may stand still for some seconds, and several programs answer
STREAM_BUFFER_BYTES = 1 << 20
FRAME = struct.Struct(">BxxxI")  # which stream, bytes: how the engine mixes the streams of a process without terminal
STANDARD_ERROR = 2
COMPLAINT_BYTES = 2_000
INSTALL = "install it (apt-get install docker.io) and start it, or name its address as DOCKER_HOST"


class Spoken:
    """What a process in a container says on standard output; the first of its standard error is kept aside."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._read = bytearray()
        self.complaint = b""

    async def readexactly(self, count: int) -> bytes:
        """Raises EOFError, OSError."""
        while len(self._read) < count:
            kind, size = FRAME.unpack(await self._stream.readexactly(FRAME.size))
            content = await self._stream.readexactly(size)
            if kind == STANDARD_ERROR:
                self.complaint = (self.complaint + content)[:COMPLAINT_BYTES]
            else:
                self._read += content
        taken = bytes(memoryview(self._read)[:count])
        del self._read[:count]
        return taken


@dataclass(frozen=True, slots=True)
class Attached:
    """A process in a container by the engine's id; closing `stdin` ends its standard input."""

    id: str
    stdout: Spoken
    stdin: asyncio.StreamWriter


class Engine:
    """`address`: unix:///path or tcp://host:port, as DOCKER_HOST has it. Calls raise ProviderError, NotFound for 404
    and Unprocessable for 409, with the engine's own words."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._address = address
        self._socket = parts.path if parts.scheme == "unix" else None
        self._host, self._port = parts.hostname or "localhost", parts.port or 2375
        self._base_url = "http://docker" if self._socket else f"http://{self._host}:{self._port}"

    @property
    def is_local(self) -> bool:
        """Whether its containers can see folders of this machine."""
        return self._socket is not None

    def problem(self) -> str | None:
        """Why the engine cannot be used, and what to do; None when it can."""
        if self._socket and not os.path.exists(self._socket):
            return f"There is no Docker engine at {self._address}: {INSTALL}."
        if self._socket and not os.access(self._socket, os.R_OK | os.W_OK):
            return (
                f"The Docker engine's socket {self._socket} is closed to this user: add the user to its group "
                "(usermod -aG docker USER, then log in again)."
            )
        try:
            info = self.info()
        except ProviderError:
            return f"The Docker engine at {self._address} does not answer: {INSTALL}."
        return _weakness(info)

    def info(self) -> Mapping[str, Any]:
        """What the engine can do. Blocks, for some seconds at most."""
        return self._asked("/info")

    def has_image(self, name: str) -> bool:
        """Blocks as `info` does."""
        try:
            return bool(self._asked(f"/images/{name}/json"))
        except NotFound:
            return False

    def _asked(self, path: str) -> Mapping[str, Any]:
        transport = httpx.HTTPTransport(uds=self._socket, verify=False)
        try:
            self._look_for_it()
            with httpx.Client(transport=transport, base_url=self._base_url, timeout=PING_TIMEOUT_S) as client:
                answer = client.get(path)
                _raise_for(answer.status_code, answer.content)
                found: Mapping[str, Any] = answer.json()
                return found
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise self._unreachable(error) from None

    def _look_for_it(self) -> None:
        """httpcore leaves a socket that cannot be connected to the garbage collector. Raises OSError."""
        if self._socket is not None:
            with socket.socket(socket.AF_UNIX) as tried:
                tried.settimeout(PING_TIMEOUT_S)
                tried.connect(self._socket)

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Any:
        """The answer's JSON, None where there is none."""
        transport = httpx.AsyncHTTPTransport(uds=self._socket, verify=False)
        try:
            async with httpx.AsyncClient(transport=transport, base_url=self._base_url, timeout=TIMEOUT_S) as client:
                answer = await client.request(method, path, json=body, params=params)
                _raise_for(answer.status_code, answer.content)
                return answer.json() if answer.content else None
        except (httpx.HTTPError, ValueError) as error:
            raise self._unreachable(error) from None

    async def run(self, container: str, argv: list[str], *, user: str, env: list[str]) -> "Attached":
        """Starts a process in a running container."""
        wish = {"Cmd": argv, "User": user, "Env": env, "AttachStdin": True, "AttachStdout": True, "AttachStderr": True}
        made = await self.call("POST", f"/containers/{container}/exec", body=wish)
        try:
            reader, writer = await self._connected()
            try:
                await _upgraded(reader, writer, f"/exec/{made['Id']}/start", {"Detach": False, "Tty": False})
            except BaseException:  # cancelled too: nobody else could close it
                writer.close()
                raise
        except (OSError, EOFError, ValueError) as error:
            raise self._unreachable(error) from None
        return Attached(made["Id"], Spoken(reader), writer)

    async def is_running(self, process: str) -> bool:
        try:
            return bool((await self.call("GET", f"/exec/{process}/json"))["Running"])
        except NotFound:
            return False

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._socket:
            return await asyncio.open_unix_connection(self._socket, limit=STREAM_BUFFER_BYTES)
        return await asyncio.open_connection(self._host, self._port, limit=STREAM_BUFFER_BYTES)

    def _unreachable(self, error: Exception) -> ProviderError:
        words = str(error) or type(error).__name__
        return ProviderError(NAME, f"the engine at {self._address} does not answer: {words}", retryable=True)


async def _upgraded(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: Mapping[str, Any]
) -> None:
    """A POST after which the connection is the process's streams. Raises OSError, EOFError, ValueError."""
    text = json.dumps(body).encode()
    head = [f"POST {path} HTTP/1.1", "Host: docker", "Connection: Upgrade", "Upgrade: tcp"]
    head += ["Content-Type: application/json", f"Content-Length: {len(text)}", "", ""]
    writer.write("\r\n".join(head).encode() + text)
    status = int((await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1])
    if status != httpx.codes.SWITCHING_PROTOCOLS:
        _raise_for(status, await reader.read(COMPLAINT_BYTES))
        raise ProviderError(NAME, f"the engine did not open a stream (HTTP {status})")


def _raise_for(status: int, content: bytes) -> None:
    if status < 400:
        return
    try:
        words = str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        words = content.decode(errors="replace").strip()
    kinds = {404: NotFound, 409: Unprocessable}
    raise kinds.get(status, ProviderError)(NAME, words[:500], retryable=status >= 500, status=status)


def _weakness(info: Mapping[str, Any]) -> str | None:
    """An engine without these control groups would start a container without its limits, with a warning nobody sees."""
    missing = [what for what, key in (("memory", "MemoryLimit"), ("processes", "PidsLimit")) if not info.get(key)]
    if info.get("OSType", "linux") != "linux":
        return "The Docker engine runs Windows containers: switch it to Linux containers."
    if missing:
        return (
            f"The Docker engine cannot limit {' and '.join(missing)} here: give it the control groups "
            "(`docker info` names what is missing), or choose another SANDBOX."
        )
    return None
