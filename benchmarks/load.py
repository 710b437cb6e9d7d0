"""A program of its own: signed deliveries over keep-alive connections, bounded in count and time; tells JSON."""

import asyncio
import gzip
import hashlib
import hmac
import json
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import uvloop

EXAMPLES = Path(__file__).parent.parent / "tests" / "payloads" / "octokit-webhooks-examples.json.gz"
JOBS_OF_ONE_INSTALLATION = 20


def deliveries(count: int, *, comment: str, secret: str, path: str, first: int) -> list[bytes]:
    """Whole HTTP requests: GitHub's example of a comment (10 to 20 kB), each with ids of its own, `first` and up."""
    events = json.loads(gzip.decompress(EXAMPLES.read_bytes()))
    (kind,) = (event for event in events if event["name"] == "issue_comment")
    payload = next(e for e in kind["examples"] if e["action"] == "created" and "installation" in e)
    payload["comment"] |= {"body": comment, "id": "COMMENT"}
    payload["repository"]["id"] = "REPOSITORY"
    payload["installation"] = {"id": "INSTALLATION", "node_id": "MDIzOkludGVncmF0aW9uSW5zdGFsbGF0aW9uMQ=="}
    text = json.dumps(payload)
    return [_request(text, first + number, secret=secret, path=path) for number in range(count)]


def _request(text: str, number: int, *, secret: str, path: str) -> bytes:
    ids = {"COMMENT": 10**9 + number, "REPOSITORY": 10**6 + number}
    ids["INSTALLATION"] = 1 + number // JOBS_OF_ONE_INSTALLATION
    for name, value in ids.items():
        text = text.replace(f'"{name}"', str(value))
    body = text.encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: GitHub-Hookshot/benchmark\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\nx-github-event: issue_comment\r\n"
        f"x-github-delivery: {uuid.uuid4()}\r\nx-hub-signature-256: sha256={signature}\r\n\r\n"
    )
    return head.encode() + body


class Sender(asyncio.Protocol):
    """One connection: sends the next request when the last is answered, until there is none or time is up."""

    def __init__(self, requests: list[bytes], until: float, expected: bytes) -> None:
        self._requests, self._until, self._expected = requests, until, expected
        self.finished = asyncio.get_running_loop().create_future()
        self.milliseconds: list[float] = []
        self.unexpected: list[str] = []
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._next()

    def _next(self) -> None:
        if not self._requests or time.perf_counter() > self._until:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(self._requests.pop())

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, separator, body = self._answer.partition(b"\r\n\r\n")
        if not separator or not _whole(head.lower(), body):
            return
        self.milliseconds.append((time.perf_counter() - self._sent) * 1_000)
        if not head.startswith(b"HTTP/1.1 20") or self._expected not in body:
            self.unexpected.append(self._answer[:300].decode(errors="replace"))
        self._answer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.finished.done():
            self.finished.set_result(None)


def _whole(head: bytes, body: bytes) -> bool:
    if b"transfer-encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    length = head.partition(b"content-length:")[2].split(b"\r\n")[0].strip()
    return len(body) >= int(length or b"0")


async def loaded(wish: dict[str, Any]) -> dict[str, Any]:
    what = {key: wish[key] for key in ("comment", "secret", "path", "first")}
    requests = deliveries(wish["count"], **what)
    began = time.perf_counter()
    until = began + wish["seconds"]
    loop = asyncio.get_running_loop()
    senders = []
    for _ in range(min(wish["connections"], wish["count"])):
        made = loop.create_connection(
            lambda: Sender(requests, until, wish["expected"].encode()), "127.0.0.1", wish["port"]
        )
        senders.append((await made)[1])
    await asyncio.wait_for(asyncio.gather(*(sender.finished for sender in senders)), wish["seconds"] + 30)
    took = sorted(one for sender in senders for one in sender.milliseconds)
    unexpected = [one for sender in senders for one in sender.unexpected]
    p99 = took[min(len(took) - 1, int(len(took) * 0.99))] if took else 0.0
    return {"answered": len(took), "seconds": time.perf_counter() - began, "p99_ms": p99, "unexpected": unexpected[:2]}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(loaded(json.loads(sys.argv[1])))) + "\n")
