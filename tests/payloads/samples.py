"""GitHub's published example payloads, and deliveries made from them."""

import copy
import gzip
import hmac
import json
from functools import cache
from pathlib import Path
from typing import Any

SECRET = "a secret of the tests, long enough"
_FILE = Path(__file__).parent / "octokit-webhooks-examples.json.gz"


@cache
def examples() -> tuple[tuple[str, str], ...]:
    """Event name and payload as JSON text, for every published example."""
    return tuple(
        (event["name"], json.dumps(payload))
        for event in json.loads(gzip.decompress(_FILE.read_bytes()))
        for payload in event["examples"]
    )


@cache
def _example(event: str, action: str) -> str:
    return next(text for name, text in examples() if name == event and json.loads(text).get("action") == action)


def mention(text: str = "/backspace fix the greeting", *, without_app: bool = False, **changes: Any) -> dict[str, Any]:
    """A comment by a person as an App receives it. `changes` replace values by path: `comment__user__id=7`."""
    payload = json.loads(_example("issue_comment", "created"))
    payload["comment"]["body"] = text
    return _changed(payload, changes, without_app=without_app)


def labeled(name: str | None = "backspace", *, without_app: bool = False, **changes: Any) -> dict[str, Any]:
    payload = json.loads(_example("issues", "labeled"))
    payload["label"] = {"id": 1362934389, "name": name} if name is not None else None
    return _changed(payload, changes, without_app=without_app)


def _changed(payload: dict[str, Any], changes: dict[str, Any], *, without_app: bool) -> dict[str, Any]:
    payload = copy.deepcopy(payload)
    if not without_app:
        payload["installation"] = {"id": 371641, "node_id": "MDIzOkludGVncmF0aW9uSW5zdGFsbGF0aW9uMzcxNjQx"}
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = payload
        for parent in parents:
            place = place[parent]
        place[last] = value
    return payload


def body_of(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload).encode()


def signature_of(body: bytes, secret: str = SECRET) -> str:
    """As GitHub makes it; written apart from the code it checks."""
    return "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()


def headers_of(
    body: bytes, *, event: str = "issue_comment", delivery: str = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
) -> dict[str, str]:
    return {
        "content-type": "application/json",
        "x-github-event": event,
        "x-github-delivery": delivery,
        "x-hub-signature-256": signature_of(body),
        "x-github-hook-id": "292430182",
        "x-github-hook-installation-target-id": "79929171",
        "user-agent": "GitHub-Hookshot/044aadd",
    }
