"""The part of the Modal stand-in that knows apps: found, deployed, and served until whoever serves them leaves."""

import asyncio
import time

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from tests.standins.modal.server import ModalStandIn, Stream


class Apps:
    """`ids` is by environment and name; `layouts` what is published, by app."""

    def __init__(self, standin: ModalStandIn) -> None:
        self._standin = standin
        self._environments: dict[str, str] = {}
        self.ids: dict[tuple[str, str], str] = {}
        self.layouts: dict[str, api_pb2.AppLayout] = {}
        self.gone: dict[str, asyncio.Event] = {}

    async def EnvironmentGetOrCreate(
        self, request: api_pb2.EnvironmentGetOrCreateRequest
    ) -> api_pb2.EnvironmentGetOrCreateResponse:
        settings = api_pb2.EnvironmentSettings(image_builder_version=self._standin.builder)
        metadata = api_pb2.EnvironmentMetadata(name=request.deployment_name or "main", settings=settings)
        return api_pb2.EnvironmentGetOrCreateResponse(environment_id="en-1", metadata=metadata)

    async def AppGetOrCreate(self, request: api_pb2.AppGetOrCreateRequest) -> api_pb2.AppGetOrCreateResponse:
        key = (request.environment_name, request.app_name)
        if key not in self.ids:
            if request.object_creation_type != api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING:
                raise GRPCError(Status.NOT_FOUND, f"There is no app {request.app_name}.")
            self.ids[key] = self._new(request.environment_name)
        return api_pb2.AppGetOrCreateResponse(app_id=self.ids[key])

    async def AppGetByDeploymentName(
        self, request: api_pb2.AppGetByDeploymentNameRequest
    ) -> api_pb2.AppGetByDeploymentNameResponse:
        return api_pb2.AppGetByDeploymentNameResponse(app_id=self.ids.get((request.environment_name, request.name), ""))

    async def AppCreate(self, request: api_pb2.AppCreateRequest) -> api_pb2.AppCreateResponse:
        return api_pb2.AppCreateResponse(app_id=self._new(request.environment_name), app_page_url="http://localhost/")

    def _new(self, environment: str) -> str:
        app_id = self._standin.new_id("ap")
        self._environments[app_id] = environment
        self.gone[app_id] = asyncio.Event()
        return app_id

    async def AppGetLayout(self, request: api_pb2.AppGetLayoutRequest) -> api_pb2.AppGetLayoutResponse:
        return api_pb2.AppGetLayoutResponse(app_layout=self.layouts.get(request.app_id))

    async def AppHeartbeat(self, request: api_pb2.AppHeartbeatRequest) -> Empty:
        return Empty()

    async def AppPublish(self, request: api_pb2.AppPublishRequest) -> api_pb2.AppPublishResponse:
        """From now on calls of its functions find containers."""
        from tests.standins.modal.containers import Containers
        from tests.standins.modal.functions import Functions

        self.layouts[request.app_id] = self._standin.part(Functions).layout(request.function_ids)
        if request.name:
            self.ids[(self._environments[request.app_id], request.name)] = request.app_id
        await self._standin.part(Containers).replace(request.app_id)
        for function_id in request.function_ids.values():
            await self._standin.part(Containers).keep_warm(function_id)
        return api_pb2.AppPublishResponse(url="http://localhost/app", deployed_at=time.time())

    async def TaskList(self, request: api_pb2.TaskListRequest) -> api_pb2.TaskListResponse:
        """Nothing that an older version started is left running here."""
        return api_pb2.TaskListResponse()

    async def AppGetLogs(self, stream: Stream) -> None:
        request = await stream.recv_message()
        assert request is not None
        await self.gone[request.app_id].wait()
        await stream.send_message(api_pb2.TaskLogsBatch(app_done=True, eof=True))

    async def AppClientDisconnect(self, request: api_pb2.AppClientDisconnectRequest) -> Empty:
        """What was deployed stays; what was served goes."""
        from tests.standins.modal.containers import Containers

        if request.app_id not in self.ids.values():
            await self._standin.part(Containers).stop_app(request.app_id)
            self.gone[request.app_id].set()
        return Empty()
