"""The part of the Modal stand-in that knows apps."""

from grpclib import GRPCError, Status
from modal_proto import api_pb2

from tests.standins.modal.server import ModalStandIn


class Apps:
    """`ids` is by environment and name."""

    def __init__(self, standin: ModalStandIn) -> None:
        self._standin = standin
        self.ids: dict[tuple[str, str], str] = {}

    async def AppGetOrCreate(self, request: api_pb2.AppGetOrCreateRequest) -> api_pb2.AppGetOrCreateResponse:
        key = (request.environment_name, request.app_name)
        if key not in self.ids:
            if request.object_creation_type != api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING:
                raise GRPCError(Status.NOT_FOUND, f"There is no app {request.app_name}.")
            self.ids[key] = self._standin.new_id("ap")
        return api_pb2.AppGetOrCreateResponse(app_id=self.ids[key])
