"""The part of the Modal stand-in that knows sandboxes: created, named, tagged, found, listed, awaited, ended."""

import asyncio
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from tests.standins.modal.apps import Apps
from tests.standins.modal.machine import AS_ROOT, Machine
from tests.standins.modal.published import Published
from tests.standins.modal.server import ModalStandIn, signed_for

TERMINATED = api_pb2.GenericResult.GENERIC_STATUS_TERMINATED
TIMED_OUT = api_pb2.GenericResult.GENERIC_STATUS_TIMEOUT
SUCCESS = api_pb2.GenericResult.GENERIC_STATUS_SUCCESS
ROUTER_TOKEN_LIFE_S = 600


@dataclass(eq=False)
class Live:
    """A sandbox and what was asked for when it was created."""

    id: str
    request: api_pb2.SandboxCreateV2Request
    machine: Machine
    created_at: float = field(default_factory=time.time)
    result: api_pb2.GenericResult | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def definition(self) -> api_pb2.Sandbox:
        return self.request.definition

    @property
    def task_id(self) -> str:
        return f"ta-{self.id.removeprefix('sb-')}V"

    @property
    def tags(self) -> dict[str, str]:
        return {tag.tag_name: tag.tag_value for tag in self.request.tags}


class Sandboxes:
    """`all` holds every sandbox there ever was, by id, in order."""

    def __init__(self, standin: ModalStandIn) -> None:
        self._standin = standin
        self.all: dict[str, Live] = {}
        self._endings: set[asyncio.Task[None]] = set()

    def living(self) -> Iterator[Live]:
        return (sandbox for sandbox in self.all.values() if sandbox.result is None)

    def of_task(self, task_id: str) -> Live:
        """Raises as Modal does when it is gone."""
        for sandbox in self.living():
            if sandbox.task_id == task_id:
                return sandbox
        raise GRPCError(Status.NOT_FOUND, f"The task {task_id} is gone.")

    def lose(self, sandbox_id: str) -> None:
        """As if its machine had died. To be called from any thread."""
        loop = self._loop
        asyncio.run_coroutine_threadsafe(self._end(self.all[sandbox_id], TERMINATED), loop).result(20)

    async def SandboxCreateV2(self, request: api_pb2.SandboxCreateV2Request) -> api_pb2.SandboxCreateV2Response:
        self._loop = asyncio.get_running_loop()
        definition = request.definition
        if definition.name and any(
            (one.definition.name, one.request.app_id) == (definition.name, request.app_id) for one in self.living()
        ):
            raise GRPCError(Status.ALREADY_EXISTS, f"There is a sandbox {definition.name} already.")
        id = self._standin.new_id("sb")
        root = self._standin.home / id
        await self._standin.part(Published).unpack(definition.image_id, root)
        open_ = definition.network_access.network_access_type != api_pb2.NetworkAccess.BLOCKED
        sandbox = Live(id, request, Machine(root, network=open_))
        await sandbox.machine.start()
        self.all[id] = sandbox
        asyncio.get_running_loop().call_later(definition.timeout_secs, self._over, sandbox, TIMED_OUT)
        if AS_ROOT:  # else it would be of the commands' user, and end with them
            entrypoint = definition.entrypoint_args
            command = await sandbox.machine.run("entrypoint", entrypoint, cwd=definition.workdir, env={}, timeout_s=0)
            command.ended.add_done_callback(lambda _: self._over(sandbox, SUCCESS))
        return api_pb2.SandboxCreateV2Response(
            sandbox_id=id,
            task_id=sandbox.task_id,
            metadata=api_pb2.SandboxHandleMetadata(app_id=request.app_id),
            command_router_access=api_pb2.CommandRouterAccess(
                url=self._standin.url, jwt=signed_for(ROUTER_TOKEN_LIFE_S)
            ),
        )

    async def SandboxGetFromNameV2(
        self, request: api_pb2.SandboxGetFromNameRequest
    ) -> api_pb2.SandboxGetFromNameResponse:
        apps = {id for (_, name), id in self._standin.part(Apps).ids.items() if name == request.app_name}
        for one in self.living():
            if one.definition.name == request.sandbox_name and one.request.app_id in apps:
                metadata = api_pb2.SandboxHandleMetadata(app_id=one.request.app_id)
                return api_pb2.SandboxGetFromNameResponse(sandbox_id=one.id, metadata=metadata)
        raise GRPCError(Status.NOT_FOUND, f"There is no sandbox {request.sandbox_name}.")

    async def SandboxGetFromName(
        self, request: api_pb2.SandboxGetFromNameRequest
    ) -> api_pb2.SandboxGetFromNameResponse:
        """The older backend, where the SDK looks when the newer one has none of that name: nothing lives there."""
        raise GRPCError(Status.NOT_FOUND, f"There is no sandbox {request.sandbox_name}.")

    async def SandboxGetCommandRouterAccess(
        self, request: api_pb2.SandboxGetCommandRouterAccessRequest
    ) -> api_pb2.SandboxGetCommandRouterAccessResponse:
        self._one(request.sandbox_id)
        return api_pb2.SandboxGetCommandRouterAccessResponse(url=self._standin.url, jwt=signed_for(ROUTER_TOKEN_LIFE_S))

    async def SandboxGetTaskIdV2(self, request: api_pb2.SandboxGetTaskIdRequest) -> api_pb2.SandboxGetTaskIdResponse:
        sandbox = self._one(request.sandbox_id)
        if sandbox.result is not None:
            return api_pb2.SandboxGetTaskIdResponse(task_result=sandbox.result)
        return api_pb2.SandboxGetTaskIdResponse(task_id=sandbox.task_id)

    async def SandboxListV2(self, request: api_pb2.SandboxListRequest) -> api_pb2.SandboxListResponse:
        asked = {(tag.tag_name, tag.tag_value) for tag in request.tags}
        found = [
            api_pb2.SandboxInfo(
                id=one.id,
                created_at=one.created_at,
                app_id=one.request.app_id,
                metadata=api_pb2.SandboxHandleMetadata(app_id=one.request.app_id),
            )
            for one in self.living()
            if asked <= set(one.tags.items())
            and request.app_id in ("", one.request.app_id)
            and one.created_at < (request.before_timestamp or float("inf"))
        ]
        return api_pb2.SandboxListResponse(sandboxes=sorted(found, key=lambda info: -info.created_at))

    async def SandboxTagsGetV2(self, request: api_pb2.SandboxTagsGetRequest) -> api_pb2.SandboxTagsGetResponse:
        return api_pb2.SandboxTagsGetResponse(tags=self._one(request.sandbox_id).request.tags)

    async def SandboxTagsSetV2(self, request: api_pb2.SandboxTagsSetRequest) -> Empty:
        tags = self._one(request.sandbox_id).request.tags
        del tags[:]
        tags.extend(request.tags)
        return Empty()

    async def SandboxTerminateV2(self, request: api_pb2.SandboxTerminateRequest) -> api_pb2.SandboxTerminateResponse:
        sandbox = self._one(request.sandbox_id)
        before = sandbox.result
        await self._end(sandbox, TERMINATED)
        return api_pb2.SandboxTerminateResponse(existing_result=before)

    async def SandboxWaitV2(self, request: api_pb2.SandboxWaitRequest) -> api_pb2.SandboxWaitResponse:
        sandbox = self._one(request.sandbox_id)
        try:
            async with asyncio.timeout(request.timeout):
                await sandbox.ended.wait()
        except TimeoutError:
            pass
        metadata = api_pb2.SandboxHandleMetadata(app_id=sandbox.request.app_id)
        return api_pb2.SandboxWaitResponse(result=sandbox.result, metadata=metadata)

    async def aclose(self) -> None:
        for sandbox in list(self.living()):
            await self._end(sandbox, TERMINATED)
        await asyncio.gather(*self._endings)

    def _one(self, sandbox_id: str) -> Live:
        if sandbox_id not in self.all:
            raise GRPCError(Status.NOT_FOUND, f"There is no sandbox {sandbox_id}.")
        return self.all[sandbox_id]

    def _over(self, sandbox: Live, status: "api_pb2.GenericResult.GenericStatus.ValueType") -> None:
        task = asyncio.ensure_future(self._end(sandbox, status))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _end(self, sandbox: Live, status: "api_pb2.GenericResult.GenericStatus.ValueType") -> None:
        if sandbox.result is not None:
            await sandbox.ended.wait()
            return
        sandbox.result = api_pb2.GenericResult(status=status)
        await sandbox.machine.end()
        sandbox.ended.set()
        await asyncio.to_thread(shutil.rmtree, Path(sandbox.machine.root), True)
