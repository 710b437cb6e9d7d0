"""Peer: gidgethub on aiohttp, as its documentation shows it, with an idle handler. Arguments: port, secret."""

import sys

from aiohttp import web
from gidgethub import routing, sansio

router = routing.Router()


@router.register("issue_comment", action="created")
async def created(event: sansio.Event) -> None:
    """Nothing: what is measured is the door."""


async def webhook(request: web.Request) -> web.Response:
    event = sansio.Event.from_http(request.headers, await request.read(), secret=sys.argv[2])
    await router.dispatch(event)
    return web.json_response({"ok": True})


app = web.Application(client_max_size=25 * 1024 * 1024)
app.router.add_post("/webhook", webhook)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
