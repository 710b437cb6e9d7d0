"""A Modal to talk to on loopback: the real SDK, command line and container runtime speak gRPC with it.

It is put together of parts, a module each. A part is any object with coroutines named as the calls it answers: a call
with one request and one answer takes the request and returns the answer, every other kind takes grpclib's stream.
`parts_of` lists them; one with `aclose` is told when it is over. A call that nobody answers is refused and written down
in `unanswered`: the test fails.
"""

import asyncio
import base64
import json
import socket
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from grpclib.const import Cardinality, Handler
from grpclib.exceptions import StreamTerminatedError
from grpclib.protocol import H2Protocol
from grpclib.server import Server
from grpclib.server import Stream as GrpcStream
from modal._image import LATEST_IMAGE_BUILDER_VERSION
from modal_proto import api_pb2
from modal_proto.api_grpc import ModalClientBase
from modal_proto.task_command_router_grpc import TaskCommandRouterBase

from tests.polling import until

TOKEN_LIFE_S = 3_600
Stream = GrpcStream[Any, Any]
Part = TypeVar("Part")
Call = Callable[[Any], Coroutine[Any, Any, Any]]


@dataclass
class ModalStandIn:
    """`calls` are the names of all calls in order, `home` a directory for whatever the parts keep.

    `refused` are token secrets that are not let in, `failing` calls that there is no room for, `held` calls that wait
    as long as they are in it, `builder` is the version of the account's image builder; `unanswered` are calls
    that no part knows, `faults` what went wrong in a part.
    """

    home: Path
    url: str
    calls: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    parts: dict[type, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    builder: str = LATEST_IMAGE_BUILDER_VERSION
    _numbers: dict[str, int] = field(default_factory=dict)

    def new_id(self, prefix: str) -> str:
        """Unique, such as ap-1. No sandbox id may be `sb-` and 22 letters or digits: that is the older backend's."""
        self._numbers[prefix] = self._numbers.get(prefix, 0) + 1
        return f"{prefix}-{self._numbers[prefix]}"

    def part(self, kind: type[Part]) -> Part:
        """The one part of this class: how a part finds its neighbours."""
        found: Part = self.parts[kind]
        return found


class Account:
    """Who asks, and for how long they may."""

    def __init__(self, standin: ModalStandIn) -> None:
        self._standin = standin

    async def ClientHello(self, request: Empty) -> api_pb2.ClientHelloResponse:
        return api_pb2.ClientHelloResponse()

    async def AuthTokenGet(self, request: api_pb2.AuthTokenGetRequest) -> api_pb2.AuthTokenGetResponse:
        return api_pb2.AuthTokenGetResponse(token=signed_for(TOKEN_LIFE_S))


def signed_for(seconds: float) -> str:
    """A JSON web token nobody checks but for its `exp`."""
    parts = ({"alg": "none"}, {"exp": int(time.time() + seconds)})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".x"


def parts_of() -> list[Callable[[ModalStandIn], object]]:
    """Every part there is; a new module adds its class here."""
    from tests.standins.modal.apps import Apps
    from tests.standins.modal.containers import Containers
    from tests.standins.modal.functions import Functions
    from tests.standins.modal.gateway import Gateways
    from tests.standins.modal.images import Images, Mounts, Secrets
    from tests.standins.modal.published import Published
    from tests.standins.modal.router import Router
    from tests.standins.modal.sandboxes import Sandboxes

    return [Account, Apps, Functions, Images, Mounts, Secrets, Containers, Gateways, Published, Sandboxes, Router]


def served(base: type, standin: ModalStandIn) -> Any:
    """A grpclib service of this generated base class, each call answered by the part that knows it."""
    names = [name for name in vars(base) if not name.startswith("_")]
    return type("Served", (base,), {name: staticmethod(_call(name, standin)) for name in names})()


def _call(name: str, standin: ModalStandIn) -> Call:
    async def answer(stream: Stream) -> None:
        standin.calls.append(name)
        if dict(stream.metadata or {}).get("x-modal-token-secret") in standin.refused:
            raise GRPCError(Status.UNAUTHENTICATED, "Token validation failed.")
        if name in standin.failing:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "There is no room.")
        await until(lambda: name not in standin.held)
        call: Call | None = next((getattr(part, name) for part in standin.parts.values() if hasattr(part, name)), None)
        if call is None:
            standin.unanswered.append(name)
            raise GRPCError(Status.UNIMPLEMENTED, f"the stand-in does not know {name}")
        try:
            if KINDS[name] is not Cardinality.UNARY_UNARY:
                await call(stream)
            elif (request := await stream.recv_message()) is not None:
                await stream.send_message(await call(request))
        except (GRPCError, asyncio.CancelledError, StreamTerminatedError):
            raise
        except Exception:
            standin.faults.append(f"{name}: {traceback.format_exc()}")
            raise

    return answer


def _kinds(base: type) -> dict[str, Cardinality]:
    nothing = {name: lambda self, stream: None for name in vars(base) if not name.startswith("_")}
    mapping: dict[str, Handler] = type("Nothing", (base,), nothing)().__mapping__()
    return {path.rsplit("/", 1)[1]: handler.cardinality for path, handler in mapping.items()}


KINDS = _kinds(ModalClientBase) | _kinds(TaskCommandRouterBase)


class _Server(Server):
    """Closes connections too at its end, not the listener only."""

    def __init__(self, services: Sequence[Any]) -> None:
        super().__init__(services)
        self._protocols: list[H2Protocol] = []

    def _protocol_factory(self) -> H2Protocol:
        self._protocols.append(super()._protocol_factory())
        return self._protocols[-1]

    async def hang_up(self) -> None:
        for protocol in self._protocols:
            protocol.connection.close()
        await asyncio.sleep(0.01)  # a closed transport says so in the loop's next round


@contextmanager
def modal_standin(home: Path) -> Iterator[ModalStandIn]:
    """Serves on a free loopback port, from a thread of its own, until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    # asyncio sets it only on sockets that name their protocol; without it every answer waits 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    standin = ModalStandIn(home, url=f"http://127.0.0.1:{listener.getsockname()[1]}")
    standin.parts = {type(part): part for part in (make(standin) for make in parts_of())}
    loop, ready = asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        server = _Server([served(ModalClientBase, standin), served(TaskCommandRouterBase, standin)])
        await server.start(sock=listener)
        ready.set()
        await stop.wait()
        for part in standin.parts.values():
            if hasattr(part, "aclose"):
                await part.aclose()
        server.close()
        await server.wait_closed()
        await server.hang_up()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="modal-standin", daemon=True)
    thread.start()
    ready.wait()
    try:
        yield standin
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
