"""The part of the Modal stand-in that runs commands in sandboxes: Modal's task command router."""

import asyncio

from grpclib import GRPCError, Status
from modal_proto import task_command_router_pb2 as router

from tests.standins.modal.machine import Command
from tests.standins.modal.published import Published
from tests.standins.modal.sandboxes import Sandboxes
from tests.standins.modal.server import ModalStandIn, Stream

LONG_POLL_S = 30.0


class Router:
    """`started` are all requests for commands, in order: what a test looks into for secrets and time-outs."""

    def __init__(self, standin: ModalStandIn) -> None:
        self._standin = standin
        self.started: list[router.TaskExecStartRequest] = []

    async def TaskExecStart(self, request: router.TaskExecStartRequest) -> router.TaskExecStartResponse:
        sandbox = self._standin.part(Sandboxes).of_task(request.task_id)
        self.started.append(request)
        environment = {name: value for source in request.secret_sources for name, value in source.env.items()}
        try:
            await sandbox.machine.run(
                request.exec_id,
                request.command_args,
                cwd=request.workdir,
                env=environment,
                timeout_s=request.timeout_secs,
            )
        except ConnectionError:
            raise GRPCError(Status.NOT_FOUND, f"The task {request.task_id} is gone.") from None
        return router.TaskExecStartResponse()

    async def TaskExecStdinWrite(self, request: router.TaskExecStdinWriteRequest) -> router.TaskExecStdinWriteResponse:
        command = self._command(request.task_id, request.exec_id)
        await command.feed(request.offset, request.data, eof=request.eof)
        return router.TaskExecStdinWriteResponse()

    async def TaskExecStdioRead(self, stream: Stream) -> None:
        request = await stream.recv_message()
        assert request is not None
        command = self._command(request.task_id, request.exec_id)
        errors = request.file_descriptor == router.TASK_EXEC_STDIO_FILE_DESCRIPTOR_STDERR
        pipe, offset = (command.err if errors else command.out), int(request.offset)
        while data := await pipe.beyond(offset):
            offset += len(data)
            await stream.send_message(router.TaskExecStdioReadResponse(data=data))

    async def TaskExecWait(self, request: router.TaskExecWaitRequest) -> router.TaskExecWaitResponse:
        command = self._command(request.task_id, request.exec_id)
        try:
            async with asyncio.timeout(LONG_POLL_S):
                code = await asyncio.shield(command.ended)
        except TimeoutError:
            raise GRPCError(Status.DEADLINE_EXCEEDED, "It still runs.") from None
        return router.TaskExecWaitResponse(signal=-code) if code < 0 else router.TaskExecWaitResponse(code=code)

    async def TaskSnapshotFilesystem(
        self, request: router.TaskSnapshotFilesystemRequest
    ) -> router.TaskSnapshotFilesystemResponse:
        sandbox = self._standin.part(Sandboxes).of_task(request.task_id)
        id, root = self._standin.part(Published).saved_at(request.ttl_seconds)
        await asyncio.to_thread(sandbox.machine.copy, root)
        return router.TaskSnapshotFilesystemResponse(image_id=id)

    def _command(self, task_id: str, exec_id: str) -> Command:
        commands = self._standin.part(Sandboxes).of_task(task_id).machine.commands
        if exec_id not in commands:
            raise GRPCError(Status.NOT_FOUND, f"There is no command {exec_id}.")
        return commands[exec_id]
