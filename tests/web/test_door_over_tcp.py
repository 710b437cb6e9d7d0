"""The door behind a real server: size, speed, and connections that misbehave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from bot.commands.replay import replay
from bot.standins.serving import serve
from bot.stores import open_store
from bot.web.app import create_app
from tests.payloads.samples import SECRET, body_of, headers_of, mention

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def running(
    tmp_path: Path, *, body_seconds: float = 60.0, max_body: int = 25 * 1024 * 1024
) -> AsyncIterator[str]:
    store = await open_store(f"sqlite:///{tmp_path / 'bot.db'}")
    app = create_app(store=store, webhook_secrets=[SECRET], body_seconds=body_seconds, max_body=max_body)
    try:
        async with serve(app) as url:
            yield f"{url}/webhook"
    finally:
        await store.close()


async def raw(url: str, *pieces: bytes) -> bytes:
    """Everything the server says to these bytes, until it closes the connection."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()


def head(length: int | None, **headers: str) -> bytes:
    given = {**headers_of(b""), **headers, "host": "door"}
    if length is not None:
        given["content-length"] = str(length)
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"POST /webhook HTTP/1.1\r\n{lines}\r\n".encode()


async def test_a_large_but_allowed_delivery_arrives(tmp_path: Path) -> None:
    async with running(tmp_path) as url:
        body = body_of(mention("/backspace fix it\n" + "x" * 20_000_000))
        answer = await replay(body, event="issue_comment", url=url, secret=SECRET, delivery_id="1-1")
    assert answer.status_code == 202


async def test_a_hundred_megabytes_are_refused_before_they_are_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as url:
        answer = await raw(url, head(100_000_000))
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_chunked_body_without_end_is_refused_at_the_limit(tmp_path: Path) -> None:
    chunk = b"2710\r\n" + b" " * 10_000 + b"\r\n"
    async with running(tmp_path, max_body=15_000) as url:
        answer = await raw(url, head(None, **{"transfer-encoding": "chunked"}), chunk, chunk)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_body_that_never_starts_is_given_up(tmp_path: Path) -> None:
    async with running(tmp_path, body_seconds=0.1) as url:
        assert (await raw(url, head(10))).startswith(b"HTTP/1.1 408 ")


async def test_an_empty_body_is_unsigned_or_no_json_but_never_an_error_of_ours(tmp_path: Path) -> None:
    async with running(tmp_path) as url, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.post(url)).status_code == 401
        assert (await client.post(url, headers=headers_of(b""))).status_code == 400


async def test_a_caller_who_hangs_up_leaves_the_door_open(tmp_path: Path) -> None:
    async with running(tmp_path) as url:
        parts = urlsplit(url)
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(head(1000) + b"{")
        await writer.drain()
        writer.close()
        answer = await replay(body_of(mention()), event="issue_comment", url=url, secret=SECRET, delivery_id="1-1")
    assert answer.status_code == 202
