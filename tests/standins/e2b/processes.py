"""The part of the E2B stand-in inside a sandbox: envd's process service, by E2B's own generated stubs."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.request import RequestContext
from e2b.envd.process import process_pb as pb
from e2b.envd.process.process_connect import Process
from protobuf import Oneof

from tests.standins.modal.machine import Command, Machine, Pipe

AsData = Callable[[bytes], pb.ProcessEvent.DataEvent]
LOST = "the connection to the sandbox ended before the stream completed"


@dataclass
class Running:
    """`said` counts what its input got."""

    config: pb.ProcessConfig
    command: Command
    user: str
    said: int = 0


@dataclass
class Inside:
    """One sandbox's commands, by their ids."""

    machine: Machine
    token: str
    lives: bool = True
    commands: dict[int, Running] = field(default_factory=dict)
    ids: Iterator[int] = field(default_factory=lambda: count(100))


class Processes(Process):
    """`inside` finds the sandbox that a request is for. A call that is not here is refused, and the test fails."""

    def __init__(self, inside: Callable[[str], Inside], unanswered: list[str]) -> None:
        self._inside, self._unanswered = inside, unanswered

    def _of(self, ctx: RequestContext[Any, Any]) -> Inside:
        headers = ctx.request_headers
        inside = self._inside(headers.get("e2b-sandbox-id", ""))
        if headers.get("x-access-token") != inside.token:
            raise ConnectError(Code.UNAUTHENTICATED, "the access token is not this sandbox's")
        return inside

    async def start(
        self, request: pb.StartRequest, ctx: RequestContext[pb.StartRequest, pb.StartResponse], /
    ) -> AsyncIterator[pb.StartResponse]:
        inside, config = self._of(ctx), request.process
        assert config is not None
        user = base64.b64decode(ctx.request_headers.get("authorization", "").removeprefix("Basic ")).decode()
        pid = next(inside.ids)
        argv = [config.cmd, *config.args]
        command = await inside.machine.run(str(pid), argv, cwd=config.cwd, env=dict(config.envs), timeout_s=0)
        inside.commands[pid] = Running(config, command, user.rstrip(":"))
        yield _event(Oneof("start", pb.ProcessEvent.StartEvent(pid=pid)))
        said: asyncio.Queue[pb.ProcessEvent.DataEvent | None] = asyncio.Queue(8)
        telling = [asyncio.ensure_future(_tell(said, command.out, _out))]
        telling.append(asyncio.ensure_future(_tell(said, command.err, _err)))
        try:
            ended = 0
            while ended < len(telling):
                data = await said.get()
                ended += data is None
                if data is not None:
                    yield _event(Oneof("data", data))
        finally:
            for task in telling:
                task.cancel()
        code = await command.ended
        if not inside.lives:
            raise ConnectError(Code.UNAVAILABLE, LOST)
        yield _event(
            Oneof("end", pb.ProcessEvent.EndEvent(exit_code=code, exited=code >= 0, status=f"exit status {code}"))
        )

    async def list(
        self, request: pb.ListRequest, ctx: RequestContext[pb.ListRequest, pb.ListResponse], /
    ) -> pb.ListResponse:
        running = {pid: one for pid, one in self._of(ctx).commands.items() if not one.command.ended.done()}
        return pb.ListResponse(processes=[pb.ProcessInfo(config=one.config, pid=pid) for pid, one in running.items()])

    async def send_input(
        self, request: pb.SendInputRequest, ctx: RequestContext[pb.SendInputRequest, pb.SendInputResponse], /
    ) -> pb.SendInputResponse:
        match request.process and request.process.selector, request.input and request.input.input:
            case Oneof(field="pid", value=int(pid)), Oneof(field="stdin", value=bytes(data)):
                running = self._of(ctx).commands.get(pid)
            case _:
                raise ConnectError(Code.INVALID_ARGUMENT, "only standard input of a process id is known here")
        if running is None or running.command.ended.done():
            raise ConnectError(Code.NOT_FOUND, f"process with pid {pid} not found")
        await running.command.feed(running.said, data, eof=False)
        running.said += len(data)
        return pb.SendInputResponse()

    async def send_signal(
        self, request: pb.SendSignalRequest, ctx: RequestContext[pb.SendSignalRequest, pb.SendSignalResponse], /
    ) -> pb.SendSignalResponse:
        raise self._unknown("SendSignal")

    async def close_stdin(
        self, request: pb.CloseStdinRequest, ctx: RequestContext[pb.CloseStdinRequest, pb.CloseStdinResponse], /
    ) -> pb.CloseStdinResponse:
        raise self._unknown("CloseStdin")

    async def update(
        self, request: pb.UpdateRequest, ctx: RequestContext[pb.UpdateRequest, pb.UpdateResponse], /
    ) -> pb.UpdateResponse:
        raise self._unknown("Update")

    async def connect(
        self, request: pb.ConnectRequest, ctx: RequestContext[pb.ConnectRequest, pb.ConnectResponse], /
    ) -> AsyncIterator[pb.ConnectResponse]:
        raise self._unknown("Connect")
        yield  # a stream, as far as the caller can tell

    async def stream_input(
        self,
        request: AsyncIterator[pb.StreamInputRequest],
        ctx: RequestContext[pb.StreamInputRequest, pb.StreamInputResponse],
        /,
    ) -> pb.StreamInputResponse:
        raise self._unknown("StreamInput")

    def _unknown(self, name: str) -> ConnectError:
        self._unanswered.append(f"process.Process/{name}")
        return ConnectError(Code.UNIMPLEMENTED, f"{name} is not known here")


async def _tell(said: "asyncio.Queue[pb.ProcessEvent.DataEvent | None]", pipe: Pipe, as_data: AsData) -> None:
    offset = 0
    while piece := await pipe.beyond(offset):
        offset += len(piece)
        await said.put(as_data(piece))
    await said.put(None)


def _out(piece: bytes) -> pb.ProcessEvent.DataEvent:
    output: Oneof[Literal["stdout"], bytes] = Oneof("stdout", piece)
    return pb.ProcessEvent.DataEvent(output=output)


def _err(piece: bytes) -> pb.ProcessEvent.DataEvent:
    output: Oneof[Literal["stderr"], bytes] = Oneof("stderr", piece)
    return pb.ProcessEvent.DataEvent(output=output)


def _event(event: "Oneof[str, object]") -> pb.StartResponse:
    return pb.StartResponse(event=pb.ProcessEvent(event=event))  # type: ignore[arg-type]  # wants a union of names
