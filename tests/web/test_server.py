"""Where the server listens, and what it says when it cannot."""

import asyncio
import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bot.domain.errors import UserError
from bot.standins.serving import reserved_port
from bot.web.server import listening, serve_until

pytestmark = pytest.mark.anyio


async def test_it_answers_until_it_is_told_to_stop() -> None:
    stop = asyncio.Event()
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"))])
    line = httpx.AsyncHTTPTransport(retries=9)
    with reserved_port() as port:
        serving = asyncio.create_task(serve_until(stop, app, host="127.0.0.1", port=port))
        async with httpx.AsyncClient(transport=line, timeout=60, trust_env=False) as client:
            assert (await client.get(f"http://127.0.0.1:{port}/")).text == "here"
        stop.set()
        await serving
        socket.create_server(("127.0.0.1", port)).close()


async def test_an_address_that_is_taken_or_not_here_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        with pytest.raises(UserError) as refused:
            await serve_until(asyncio.Event(), Starlette(), host="127.0.0.1", port=port)
        assert str(refused.value) == (
            f"127.0.0.1:{port} cannot be listened on (Address already in use): change HOST or PORT."
        )
    with pytest.raises(UserError, match="cannot be listened on"):
        listening("203.0.113.7", 0)
    with pytest.raises(UserError, match="cannot be listened on"):
        listening("999.1.1.1", 0)
