"""A Messages API that costs next to nothing: each answer is one bash call with the turn's number. Argument: port.

GET /turns tells when each request had arrived, in seconds, so that a harness is timed from outside.
"""

import json
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

Message = MutableMapping[str, Any]
USAGE = {"input_tokens": 10, "output_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
arrivals: list[float] = []


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        return
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    kind, answer = b"application/json", b"{}"
    if scope["path"] == "/turns":
        answer = json.dumps(arrivals).encode()
    elif scope["method"] == "POST":
        arrivals.append(time.monotonic())
        asked = json.loads(body)
        if asked.get("stream"):
            kind, answer = b"text/event-stream", streamed(asked["model"], len(arrivals))
        else:
            answer = json.dumps(whole(asked["model"], len(arrivals))).encode()
    headers = [(b"content-type", kind), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": [*headers, (b"request-id", b"req_1")]})
    await send({"type": "http.response.body", "body": answer})


def call(number: int) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number:06}", "name": "bash", "input": {"command": f"echo turn {number}"}}


def whole(model: str, number: int) -> dict[str, Any]:
    envelope = {"id": f"msg_{number:06}", "type": "message", "role": "assistant", "model": model, "usage": USAGE}
    return {**envelope, "content": [call(number)], "stop_reason": "tool_use", "stop_sequence": None}


def streamed(model: str, number: int) -> bytes:
    begun = {**whole(model, number), "content": [], "stop_reason": None}
    block = {**call(number), "input": {}}
    piece = {"type": "input_json_delta", "partial_json": json.dumps(call(number)["input"])}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": piece},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": USAGE},
        {"type": "message_stop"},
    ]
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_config=None)
