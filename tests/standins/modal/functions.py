"""The part of the Modal stand-in that knows functions and what they are called with.

A call has one input here. It is queued until a container takes it, and queued again, as it was, when that container is
gone before it answered; a failure is tried again as often as the function's retries say.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal._serialization import serialize
from modal_proto import api_pb2

from tests.standins.modal.server import ModalStandIn, Stream

T = TypeVar("T")

SUCCESS = api_pb2.GenericResult.GENERIC_STATUS_SUCCESS
FAILURE = api_pb2.GenericResult.GENERIC_STATUS_FAILURE
TERMINATED = api_pb2.GenericResult.GENERIC_STATUS_TERMINATED


@dataclass(eq=False)
class Call:
    """`takers` are the containers that took it, in order; `cancelled` when somebody wants it to end."""

    id: str
    input_id: str
    function_id: str
    input: api_pb2.FunctionInput
    kind: "api_pb2.FunctionCallInvocationType.ValueType"
    retry_count: int = 0
    takers: list[str] = field(default_factory=list)
    waits: bool = True
    cancelled: bool = False
    result: api_pb2.GenericResult | None = None
    data_format: "api_pb2.DataFormat.ValueType" = api_pb2.DATA_FORMAT_UNSPECIFIED
    data_in: list[api_pb2.DataChunk] = field(default_factory=list)
    data_out: list[api_pb2.DataChunk] = field(default_factory=list)


@dataclass
class Definition:
    id: str
    app_id: str
    name: str
    handle: api_pb2.FunctionHandleMetadata
    function: api_pb2.Function

    @property
    def data(self) -> api_pb2.FunctionData:
        """The newer way to say `function`; the SDK wants both."""
        ranked = api_pb2.FunctionData.RankedFunction(rank=0, function=self.function)
        return api_pb2.FunctionData(function_name=self.name, ranked_functions=[ranked])


class Functions:
    """`changed` is notified of everything that happens to a call. `away`: nobody can call a function just now."""

    def __init__(self, standin: ModalStandIn) -> None:
        self._standin = standin
        self._loop: asyncio.AbstractEventLoop | None = None
        self.away = False
        self.definitions: dict[str, Definition] = {}
        self.calls: dict[str, Call] = {}
        self.changed = asyncio.Condition()

    # ------------------------------------------------------------ deploying

    async def FunctionPrecreate(self, request: api_pb2.FunctionPrecreateRequest) -> api_pb2.FunctionPrecreateResponse:
        from tests.standins.modal.gateway import Gateways

        self._loop = asyncio.get_running_loop()
        function_id = request.existing_function_id or self._standin.new_id("fu")
        handle = api_pb2.FunctionHandleMetadata(
            app_id=request.app_id,
            function_name=request.function_name,
            function_type=request.function_type,
            function_schema=request.function_schema,
            supported_input_formats=request.supported_input_formats,
            supported_output_formats=request.supported_output_formats,
        )
        if request.webhook_config.type:
            handle.web_url = await self._standin.part(Gateways).address_of(function_id)
        self.definitions[function_id] = Definition(
            function_id, request.app_id, request.function_name, handle, api_pb2.Function()
        )
        return api_pb2.FunctionPrecreateResponse(function_id=function_id, handle_metadata=handle)

    async def FunctionCreate(self, request: api_pb2.FunctionCreateRequest) -> api_pb2.FunctionCreateResponse:
        definition = self.definitions[request.existing_function_id]
        definition.function = request.function
        definition.handle.definition_id = self._standin.new_id("de")
        definition.handle.is_method = request.function.is_method
        return api_pb2.FunctionCreateResponse(
            function_id=request.existing_function_id,
            function=request.function,
            handle_metadata=definition.handle,
            function_data=definition.data,
        )

    def layout(self, function_ids: Mapping[str, str]) -> api_pb2.AppLayout:
        """What a container of the app knows of it: its functions, and what they are made of."""
        found = [self.definitions[function_id] for function_id in function_ids.values()]
        parts = {needed.object_id for definition in found for needed in definition.function.object_dependencies}
        objects = [
            *(api_pb2.Object(object_id=d.id, function_handle_metadata=d.handle) for d in found),
            *(api_pb2.Object(object_id=part) for part in sorted(parts)),
        ]
        return api_pb2.AppLayout(function_ids=dict(function_ids), objects=objects)

    def named(self, name: str) -> str:
        """The newest of this name, as `modal deploy` left it."""
        return [key for key, definition in self.definitions.items() if definition.name == name][-1]

    # ------------------------------------------------------------ calling

    async def FunctionMap(self, request: api_pb2.FunctionMapRequest) -> api_pb2.FunctionMapResponse:
        if self.away:
            raise GRPCError(Status.UNAVAILABLE, "Modal is away.")
        call_id = self._standin.new_id("fc")
        items = [
            await self._put(request.function_id, call_id, item, request.function_call_invocation_type)
            for item in request.pipelined_inputs
        ]
        retries = self.definitions[request.function_id].function.retry_policy
        return api_pb2.FunctionMapResponse(function_call_id=call_id, pipelined_inputs=items, retry_policy=retries)

    async def _put(
        self,
        function_id: str,
        call_id: str,
        item: api_pb2.FunctionPutInputsItem,
        kind: "api_pb2.FunctionCallInvocationType.ValueType",
    ) -> api_pb2.FunctionPutInputsResponseItem:
        if call_id in self.calls:
            raise GRPCError(Status.UNIMPLEMENTED, "a call has one input here")
        call = await self.call(function_id, item.input, kind, call_id=call_id)
        return api_pb2.FunctionPutInputsResponseItem(idx=item.idx, input_id=call.input_id, input_jwt=call.input_id)

    async def call(
        self,
        function_id: str,
        given: api_pb2.FunctionInput,
        kind: "api_pb2.FunctionCallInvocationType.ValueType" = api_pb2.FUNCTION_CALL_INVOCATION_TYPE_ASYNC,
        *,
        call_id: str = "",
    ) -> Call:
        from tests.standins.modal.containers import Containers

        call_id = call_id or self._standin.new_id("fc")
        call = self.calls[call_id] = Call(call_id, self._standin.new_id("in"), function_id, given, kind)
        await self._standin.part(Containers).wanted(function_id)
        await self.tell()
        return call

    async def ran(self, name: str, *arguments: object) -> Call:
        """Calls the newest function of this name, as its schedule does; when it is over. For any other thread."""
        given = api_pb2.FunctionInput(args=serialize((arguments, {})), data_format=api_pb2.DATA_FORMAT_PICKLE)

        return await self.over(await asyncio.wrap_future(self.elsewhere(self.call(self.named(name), given))))

    async def over(self, call: Call) -> Call:
        """When it is. For any other thread."""
        await asyncio.wrap_future(self.elsewhere(self.until(lambda: call.result is not None)))
        return call

    def elsewhere(self, act: Coroutine[Any, Any, T]) -> Future[T]:
        """From any other thread to the stand-in's."""
        assert self._loop is not None, "nothing was deployed"
        return asyncio.run_coroutine_threadsafe(act, self._loop)

    async def FunctionGetOutputs(
        self, request: api_pb2.FunctionGetOutputsRequest
    ) -> api_pb2.FunctionGetOutputsResponse:
        call = self.calls[request.function_call_id]
        try:
            async with asyncio.timeout(request.timeout or 0.001):
                await self.until(lambda: call.result is not None)
        except TimeoutError:
            return api_pb2.FunctionGetOutputsResponse(num_unfinished_inputs=1)
        output = api_pb2.FunctionGetOutputsItem(
            result=call.result, input_id=call.input_id, data_format=call.data_format, retry_count=call.retry_count
        )
        return api_pb2.FunctionGetOutputsResponse(idxs=[0], outputs=[output], last_entry_id="1-0")

    async def FunctionCallCancel(self, request: api_pb2.FunctionCallCancelRequest) -> Empty:
        call = self.calls[request.function_call_id]
        call.cancelled = True
        if call.waits:
            call.waits, call.result = False, api_pb2.GenericResult(status=TERMINATED)
        await self.tell()
        return Empty()

    async def FunctionGet(self, request: api_pb2.FunctionGetRequest) -> api_pb2.FunctionGetResponse:
        from tests.standins.modal.apps import Apps

        app_id = self._standin.part(Apps).ids.get((request.environment_name, request.app_name))
        layout = self._standin.part(Apps).layouts.get(app_id or "", api_pb2.AppLayout())
        if request.object_tag not in layout.function_ids:
            raise GRPCError(Status.NOT_FOUND, f"There is no function {request.object_tag} in {request.app_name}.")
        function_id = layout.function_ids[request.object_tag]
        return api_pb2.FunctionGetResponse(
            function_id=function_id,
            handle_metadata=self.definitions[function_id].handle,
            function=self.definitions[function_id].data,
        )

    # ------------------------------------------------------------ data beside a call: a web request and its answer

    async def FunctionCallGetDataIn(self, stream: Stream) -> None:
        request = await stream.recv_message()
        assert request is not None
        call = self.calls[request.function_call_id]
        async for chunk in self.chunks(call, call.data_in, after=request.last_index):
            await stream.send_message(chunk)

    async def chunks(
        self, call: Call, data: Sequence[api_pb2.DataChunk], *, after: int = 0
    ) -> AsyncIterator[api_pb2.DataChunk]:
        """As they come, until the call is over."""
        sent = [*data[:after]]
        while True:
            await self.until(lambda: len(data) > len(sent) or call.result is not None)
            if len(data) == len(sent):
                return
            sent.append(data[len(sent)])
            yield sent[-1]

    async def FunctionCallPutDataOut(self, request: api_pb2.FunctionCallPutDataRequest) -> Empty:
        call = self.calls[request.function_call_id]
        call.data_out += [chunk for chunk in request.data_chunks if chunk.index > len(call.data_out)]
        await self.tell()
        return Empty()

    # ------------------------------------------------------------ for containers

    async def take(self, function_id: str, task_id: str, lives: Callable[[], bool]) -> Call | None:
        """The next input, when there is one; None for a container that is gone by then."""
        async with self.changed:
            await self.changed.wait_for(lambda: not lives() or self._waiting(function_id) is not None)
            call = self._waiting(function_id)
            if call is None or not lives():
                return None
            call.waits = False
            call.takers.append(task_id)
            return call

    def _waiting(self, function_id: str) -> Call | None:
        return next((c for c in self.calls.values() if c.waits and c.function_id == function_id), None)

    def backlog(self, function_id: str) -> int:
        return sum(call.waits and call.function_id == function_id for call in self.calls.values())

    async def put_outputs(self, items: Iterable[api_pb2.FunctionPutOutputsItem]) -> None:
        for item in items:
            call = next(call for call in self.calls.values() if call.input_id == item.input_id)
            policy = self.definitions[call.function_id].function.retry_policy
            if item.result.status == FAILURE and call.retry_count < policy.retries:
                call.retry_count += 1
                await self.again(call)
                continue
            call.result, call.data_format = item.result, item.data_format
        await self.tell()

    async def again(self, call: Call) -> None:
        """The same input, for whoever takes it next."""
        from tests.standins.modal.containers import Containers

        call.waits = True
        await self._standin.part(Containers).wanted(call.function_id)
        await self.tell()

    async def tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with self.changed:
            await self.changed.wait_for(holds)
