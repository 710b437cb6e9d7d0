"""Peer: githubkit's verify and parse in Starlette on uvicorn, with no handler. Arguments: port, secret."""

import sys

import uvicorn
from githubkit.webhooks import parse, verify
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def webhook(request: Request) -> JSONResponse:
    body = await request.body()
    if not verify(sys.argv[2], body, request.headers["x-hub-signature-256"]):
        return JSONResponse({}, status_code=401)
    parse(request.headers["x-github-event"], body)
    return JSONResponse({"ok": True}, status_code=202)


app = Starlette(routes=[Route("/webhook", webhook, methods=["POST"])])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_config=None, loop="uvloop")
