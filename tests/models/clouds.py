"""The clouds that run Claude, as far as they differ from Anthropic's own API: addresses, credentials, framing, errors.

An ASGI app in front of the strict loopback server: it takes each cloud's form off a request and puts it on the answer.
"""

import base64
import json
import re
import struct
from collections.abc import AsyncIterator
from zlib import crc32

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from bot.standins.messages import LoopbackMessages

VERSION = "2026-10-21"  # what this SDK says to every platform


class Clouds:
    """`seen`: (cloud, region or project, model id, how it was signed) of each request."""

    def __init__(self, server: LoopbackMessages) -> None:
        self.seen: list[tuple[str, str, str, str]] = []
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(server.asgi()), base_url="http://loopback")
        self.app = Starlette(
            routes=[
                Route("/model/{model:path}/invoke-with-response-stream", self._bedrock, methods=["POST"]),
                Route(
                    "/projects/{project}/locations/{place}/publishers/anthropic/models/{model}",
                    self._vertex,
                    methods=["POST"],
                ),
                Route("/v1/messages", self._foundry, methods=["POST"]),
            ]
        )

    async def _bedrock(self, request: Request) -> Response:
        signed = request.headers.get("authorization", "")
        scope = re.search(r"Credential=(\w+)/\d{8}/([\w-]+)/bedrock/aws4_request", signed)
        model = request.path_params["model"]
        how = f"signed by {scope[1]}" if scope else signed.split(" ")[0]
        self.seen.append(("bedrock", scope[2] if scope else "", model, how))
        body = await request.json()
        if body.pop("anthropic_version", None) != VERSION or "model" in body or "stream" in body:
            return JSONResponse({"message": "Malformed input request"}, status_code=400)
        answer = await self._asked({**body, "model": plain(model), "stream": True})
        if answer.status_code != 200:
            words = answer.json()["error"]["message"]
            return JSONResponse({"message": words}, status_code=answer.status_code)
        frames = (_frame(event) async for event in _events(answer))
        return StreamingResponse(frames, media_type="application/vnd.amazon.eventstream")

    async def _vertex(self, request: Request) -> Response:
        model, _, method = request.path_params["model"].partition(":")
        where = f"{request.path_params['project']}/{request.path_params['place']}"
        self.seen.append(("vertex", where, model, request.headers.get("authorization", "")))
        body = await request.json()
        if method != "streamRawPredict" or body.pop("anthropic_version", None) != VERSION:
            return JSONResponse({"error": {"message": "not found"}}, status_code=404)
        return _passed_on(await self._asked({**body, "model": plain(model)}))

    async def _foundry(self, request: Request) -> Response:
        body = await request.json()
        self.seen.append(("foundry", "", body["model"], request.headers.get("x-api-key", "")))
        if "authorization" in request.headers:
            return JSONResponse({"error": {"message": "two credentials"}}, status_code=401)
        return _passed_on(await self._asked(body))

    async def _asked(self, body: object) -> httpx.Response:
        headers = {"authorization": "Bearer test-key", "anthropic-version": VERSION}
        return await self._client.post("/v1/messages", json=body, headers=headers)


def plain(model: str) -> str:
    """us.anthropic.claude-opus-5-5-v1:0 and claude-opus-5-5@20260922 are claude-opus-5-5."""
    found = re.search(r"claude-[a-z]+(-\d)+", model)
    return found[0] if found else model


def _passed_on(answer: httpx.Response) -> Response:
    return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))


async def _events(answer: httpx.Response) -> AsyncIterator[bytes]:
    for event in answer.content.split(b"\n\n"):
        for line in event.split(b"\n"):
            if line.startswith(b"data: "):
                yield line.removeprefix(b"data: ")


def _frame(event: bytes) -> bytes:
    """One message of Amazon's event stream: prelude, headers, payload, checksums."""
    payload = json.dumps({"bytes": base64.b64encode(event).decode()}).encode()
    named = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in named.items()
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return message + struct.pack(">I", crc32(message))
