"""The part of the Modal stand-in that takes HTTP requests for web functions: each becomes a call of the function."""

import asyncio
from collections.abc import MutableMapping
from contextlib import AsyncExitStack
from typing import Any

from modal._serialization import deserialize_data_format, serialize, serialize_data_format
from modal_proto import api_pb2
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.standins.serving import serve
from tests.standins.modal.functions import Call, Functions
from tests.standins.modal.server import ModalStandIn

SCOPE = ("type", "http_version", "method", "scheme", "path", "query_string", "headers", "client")


class Gateways:
    """`cut_after_s`: an answer that takes longer ends there, as Modal's do after a while."""

    def __init__(self, standin: ModalStandIn) -> None:
        self._standin = standin
        self._serving = AsyncExitStack()
        self._addresses: dict[str, str] = {}
        self.cut_after_s: float | None = None

    async def address_of(self, function_id: str) -> str:
        if function_id not in self._addresses:
            self._addresses[function_id] = await self._serving.enter_async_context(serve(self._entrance(function_id)))
        return self._addresses[function_id]

    async def aclose(self) -> None:
        await self._serving.aclose()

    def _entrance(self, function_id: str) -> ASGIApp:
        async def entrance(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                for _ in range(2):
                    message = await receive()
                    await send({"type": f"{message['type']}.complete"})
            else:
                await self._answer(function_id, scope, receive, send)

        return entrance

    async def _answer(self, function_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        functions = self._standin.part(Functions)
        plain = {key: scope[key] for key in SCOPE}
        given = api_pb2.FunctionInput(args=serialize(((plain,), {})), data_format=api_pb2.DATA_FORMAT_PICKLE)
        call = await functions.call(function_id, given, api_pb2.FUNCTION_CALL_INVOCATION_TYPE_SYNC)
        coming = asyncio.create_task(self._hand_in(call, receive))
        try:
            async with asyncio.timeout(self.cut_after_s):
                await self._hand_out(call, send)
        except TimeoutError:
            await self._put_in(call, {"type": "http.disconnect"})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            coming.cancel()

    async def _hand_in(self, call: Call, receive: Receive) -> None:
        while True:
            message = await receive()
            await self._put_in(call, message)
            if message["type"] == "http.disconnect":
                return

    async def _put_in(self, call: Call, message: MutableMapping[str, Any]) -> None:
        data = serialize_data_format(message, api_pb2.DATA_FORMAT_ASGI)
        chunk = api_pb2.DataChunk(index=len(call.data_in) + 1, data=data, data_format=api_pb2.DATA_FORMAT_ASGI)
        call.data_in.append(chunk)
        await self._standin.part(Functions).tell()

    async def _hand_out(self, call: Call, send: Send) -> None:
        answered = False
        async for chunk in self._standin.part(Functions).chunks(call, call.data_out):
            message = deserialize_data_format(chunk.data, api_pb2.DATA_FORMAT_ASGI, None)
            message.pop("trailers", None)
            await send(message)
            answered = True
        if not answered:
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b"the function failed"})
