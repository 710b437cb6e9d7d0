"""The loopback server leaves nothing behind, whenever it is left."""

import asyncio
import gc
from contextlib import suppress

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bot.standins.serving import serve


def test_a_connection_that_comes_while_the_server_leaves_is_closed() -> None:
    """As a probe that is cancelled at the end of a stage makes one. Red when the server closes before it stops to
    accept: at one of the steps the connection is left to the collector, which warns (seen)."""
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"))])

    async def left_after(steps: int) -> None:
        async with serve(app) as url:
            host, _, port = url.removeprefix("http://").partition(":")
            visit = asyncio.create_task(asyncio.open_connection(host, int(port)))
            for _ in range(steps):
                await asyncio.sleep(0)
        with suppress(OSError):
            _, writer = await visit
            writer.close()

    gc.freeze()  # what other tests have left is not gone through ten times
    for steps in range(10):
        asyncio.run(left_after(steps))
    gc.collect()
    gc.unfreeze()
