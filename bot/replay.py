"""Sign a recorded webhook payload and post it to the bot's door, as GitHub would."""

import hmac

import httpx

SECONDS = 10.0  # GitHub waits no longer


async def replay(payload: bytes, *, event: str, url: str, secret: str, delivery_id: str) -> httpx.Response:
    """The door's answer, whatever its status. `url` is the whole address of the door, such as .../webhook.

    The bytes go out as they are: the job they make is known by its content, so a second replay finds the first one's
    job. Raises httpx.HTTPError when nobody answers.
    """
    digest = hmac.digest(secret.encode(), payload, "sha256").hex()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/replay",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery_id,
        "X-Hub-Signature-256": f"sha256={digest}",
    }
    async with httpx.AsyncClient(timeout=SECONDS, trust_env=False) as client:
        return await client.post(url, content=payload, headers=headers)
