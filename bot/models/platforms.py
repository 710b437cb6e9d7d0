"""Claude at home and at the clouds that run it: one kind of client, made for whoever runs it."""

import json
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, TypedDict

import anthropic
import httpx2
from anthropic.types import Message, RawMessageStreamEvent

from bot.domain.errors import UserError
from bot.models.listening import http_manners

Platform = Literal["anthropic", "bedrock", "vertex", "foundry"]
PUBLIC_API = "https://api.anthropic.com"
Client = (
    anthropic.AsyncAnthropic
    | anthropic.AsyncAnthropicBedrock
    | anthropic.AsyncAnthropicVertex
    | anthropic.AsyncAnthropicFoundry
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who runs Claude, where, and with which credentials; what is empty, the vendor's own library looks for.

    `base_url` None: the platform's own address. `place` is a region, `project` a Google Cloud project, `resource` one
    of Microsoft Foundry.
    """

    platform: Platform = "anthropic"
    api_key: str = field(default="", repr=False)
    base_url: str | None = None
    place: str = ""
    project: str = ""
    resource: str = ""
    aws_access_key: str = field(default="", repr=False)
    aws_secret_key: str = field(default="", repr=False)
    aws_session_token: str = field(default="", repr=False)

    def secrets(self) -> tuple[str, ...]:
        return tuple(secret for secret in (self.api_key, self.aws_secret_key, self.aws_session_token) if secret)


class _Manners(TypedDict):
    """What all of the clients are told alike."""

    max_retries: int
    timeout: httpx2.Timeout
    open_telemetry: Literal[False]
    http_client: httpx2.AsyncClient


def client(access: Access, *, timeout: httpx2.Timeout, http_client: httpx2.AsyncClient | None = None) -> Client:
    """Never retries by itself, follows no redirect, logs no prompt.

    Raises ValueError for a key that cannot be one, UserError where the platform's library is not installed.
    """
    logging.getLogger("anthropic").setLevel(logging.INFO)  # at DEBUG the SDK logs request bodies: prompts
    http = http_client or anthropic.DefaultAsyncHttpxClient(**http_manners(timeout))
    manners: _Manners = {"max_retries": 0, "timeout": timeout, "open_telemetry": False, "http_client": http}
    match access.platform:
        case "anthropic":
            _check(access.api_key, "Anthropic")
            return anthropic.AsyncAnthropic(api_key=access.api_key, base_url=access.base_url or PUBLIC_API, **manners)
        case "bedrock":
            _check_installed("botocore", "bedrock")
            return anthropic.AsyncAnthropicBedrock(
                aws_region=access.place,
                api_key=access.api_key or None,
                aws_access_key=access.aws_access_key or None,
                aws_secret_key=access.aws_secret_key or None,
                aws_session_token=access.aws_session_token or None,
                base_url=access.base_url,
                **manners,
            )
        case "vertex":
            _check_installed("google.auth", "vertex")
            return anthropic.AsyncAnthropicVertex(
                region=access.place,
                project_id=access.project,
                access_token=access.api_key or None,
                base_url=access.base_url,
                **manners,
            )
        case "foundry":
            _check(access.api_key, "Foundry")
            base_url = access.base_url or f"https://{access.resource}.services.ai.azure.com/anthropic/"
            return anthropic.AsyncAnthropicFoundry(api_key=access.api_key, base_url=base_url, **manners)


def streamed(client: Client, body: dict[str, Any]) -> Awaitable[anthropic.AsyncStream[RawMessageStreamEvent]]:
    """What `messages.create` answers. The SDK copies each part of a body before it writes it down, which takes as long
    as all else once a conversation is long; the clouds' clients put something into that copy."""
    if type(client) is not anthropic.AsyncAnthropic:
        return client.messages.create(**body, stream=True)
    content = json.dumps({**body, "stream": True}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return client.post(
        "/v1/messages",
        content=content.encode(),
        options={"headers": {"Content-Type": "application/json"}},
        cast_to=Message,
        stream=True,
        stream_cls=anthropic.AsyncStream[RawMessageStreamEvent],
    )


def _check_installed(module: str, extra: str) -> None:
    """The clouds' own sign-in is not installed with the bot. Raises UserError."""
    try:
        import_module(module)
    except ImportError:
        raise UserError(f"Claude at {extra} needs more: pip install -e '.[{extra}]'.") from None


def _check(api_key: str, whose: str) -> None:
    if not (api_key.isascii() and api_key.isprintable() and api_key.strip() == api_key != ""):
        raise ValueError(f"The {whose} API key is empty or holds characters no key has: copy it again.")
