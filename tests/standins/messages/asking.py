"""Requests to the loopback Messages API without a socket, and the bodies they start from."""

from collections.abc import Mapping
from typing import Any

import httpx

from bot.standins.messages import LoopbackMessages

HEADERS = {"authorization": "Bearer test-key", "anthropic-version": "2026-10-21"}
TOOL: Mapping[str, Any] = {"name": "read", "description": "Show a file.", "input_schema": {"type": "object"}}
MARK: Mapping[str, Any] = {"type": "ephemeral"}
HOUR: Mapping[str, Any] = {"type": "ephemeral", "ttl": "1h"}


def a_body(**changes: Any) -> dict[str, Any]:
    """A request that every rule accepts, with fields replaced; None takes a field away."""
    body: dict[str, Any] = {
        "model": "claude-opus-5-5",
        "max_tokens": 1000,
        "system": "Work well.",
        "tools": [dict(TOOL)],
        "messages": [{"role": "user", "content": "hello"}],
        **changes,
    }
    return {key: value for key, value in body.items() if value is not None}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def used(call: str, **more: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call, "name": "read", "input": {}, **more}


def result(call: str, words: str = "fine", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call, "content": words, **more}


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


async def post(
    server: LoopbackMessages, body: object, *, path: str = "/v1/messages", headers: Mapping[str, str] = HEADERS
) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server.asgi()), base_url="http://loopback") as client:
        return await client.post(path, json=body, headers=dict(headers))


async def fetch(server: LoopbackMessages, path: str, *, headers: Mapping[str, str] = HEADERS) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server.asgi()), base_url="http://loopback") as client:
        return await client.get(path, headers=dict(headers))
