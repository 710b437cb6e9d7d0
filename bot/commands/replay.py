"""Sign a recorded webhook payload and post it to the bot's door, as GitHub would."""

import hmac
import json
import re
from pathlib import Path

import httpx

from bot.domain.errors import UserError

SECONDS = 10.0  # GitHub waits no longer
_EVENT = re.compile(r"[a-z][a-z_]{0,59}")


def recorded(path: Path) -> bytes:
    """A payload as it was recorded, byte for byte. Raises UserError for what cannot be read and what is not JSON."""
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        json.loads(payload)
    except (ValueError, RecursionError):
        raise UserError(f"{path} is not JSON: save a delivery's payload from the App's Advanced page.") from None
    return payload


async def replay(payload: bytes, *, event: str, url: str, secret: str, delivery_id: str) -> httpx.Response:
    """The door's answer, whatever its status. `url` is the whole address of the door, such as .../webhook.

    The bytes go out as they are: the job they make is known by its content, so a second replay finds the first one's
    job. Raises UserError for an event or address that cannot be one, and when nobody answers.
    """
    if not _EVENT.fullmatch(event):
        raise UserError(f"{event!a} is not the name of an event: it is one such as issue_comment.")
    digest = hmac.digest(secret.encode(), payload, "sha256").hex()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/replay",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery_id,
        "X-Hub-Signature-256": f"sha256={digest}",
    }
    try:
        async with httpx.AsyncClient(timeout=SECONDS, trust_env=False) as client:
            return await client.post(url, content=payload, headers=headers)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise UserError(f"{url} is not an http(s) address: give one such as http://127.0.0.1:8000/webhook.") from None
    except httpx.TimeoutException:
        raise UserError(f"{url} did not answer within {SECONDS:.0f} s.") from None
    except httpx.HTTPError:
        raise UserError(f"Nobody answers at {url}: start `backspace serve`, or give another --url.") from None
