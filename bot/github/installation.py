"""The bot as a GitHub App: what it asks in its own name, and clients whose tokens are revoked when the job is done."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

import httpx
import structlog
from githubkit import GitHub as Githubkit
from githubkit import UnauthAuthStrategy

from bot.domain.errors import ProviderError
from bot.domain.job import Repo
from bot.github import hooks
from bot.github.addresses import git_url
from bot.github.answers import text
from bot.github.client import USER_AGENT, Check, Client, Credentials
from bot.github.pace import NO_LIMITS, Limits, Priority
from bot.github.rest import RestGitHub
from bot.github.survey import RestSurvey
from bot.github.tokens import AppSignature, Given, InstallationToken, Minted, Secrets
from bot.github.turn import Marks, Sleep, Turn
from bot.ports import DeliveryAttempt, Installation
from bot.ports.github import Hold, OnWait

REVOKE_WITHIN_S = 10.0
CLOSED_WITHIN_S = 2.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class App:
    """`ports.GitHubApp` and `ports.AppHooks` for one App id and key.

    `api_url` is https://api.github.com, or https://HOST/api/v3 of an Enterprise Server. Raises UserError when the key
    is not an RSA key in PEM.
    """

    def __init__(
        self,
        app_id: int,
        private_key_pem: str,
        *,
        api_url: str = "https://api.github.com",
        timeout_s: float = 20.0,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        transport: httpx.AsyncBaseTransport | None = None,
        limits: Limits | None = None,
        check: Check | None = None,
        secrets: Secrets | None = None,
        marks: Marks | None = None,
    ) -> None:
        """`limits`: None for those GitHub publishes. `check` sees every text; what it raises keeps it here. `secrets`
        learn each token. `marks` keep GitHub's refusals for other processes; None: each learns them for itself."""
        self._app_id, self._api_url, self._timeout_s = app_id, api_url.rstrip("/"), timeout_s
        self._signature = AppSignature(app_id, private_key_pem, now=now)
        self._now, self._monotonic, self._sleep, self._transport = now, monotonic, sleep, transport
        self._limits, self._check = limits or published_limits(api_url), check
        self._minted = Minted(secrets, now=now)
        self._marks, self._turns = marks, dict[int | None, Turn]()

    @asynccontextmanager
    async def repository(
        self, installation_id: int, repo: Repo, *, hold: Hold | None = None, on_wait: OnWait | None = None
    ) -> AsyncIterator[RestGitHub]:
        """A client whose token, minted at the first call, opens this repository id alone and is revoked at the end."""
        async with self._token(installation_id, repo) as (github, token):
            client = self._client(github, token, installation_id=installation_id, repo=repo, hold=hold, on_wait=on_wait)
            yield RestGitHub(client, token, app_id=self._app_id, git_url=git_url(self._api_url))

    @asynccontextmanager
    async def survey(self, installation_id: int) -> AsyncIterator[RestSurvey]:
        async with self._token(installation_id, None) as (github, token):
            yield RestSurvey(lambda repo: self._client(github, token, installation_id=installation_id, repo=repo))

    async def login(self) -> str:
        async with self._as_app() as client:
            return f"{text((await client.call('GET', '/app')).data, 'slug')}[bot]"

    async def registration(self) -> hooks.Registration:
        async with self._as_app() as client:
            return await hooks.registration(client)

    async def webhook(self) -> hooks.Webhook:
        async with self._as_app() as client:
            return await hooks.webhook(client)

    async def deliveries(self, *, since: float) -> AsyncIterator[DeliveryAttempt]:
        async with self._as_app() as client:
            async for attempt in hooks.deliveries(client, since=since):
                yield attempt

    async def redeliver(self, attempt_id: int) -> None:
        async with self._as_app() as client:
            await hooks.redeliver(client, attempt_id)

    async def installations(self) -> AsyncIterator[Installation]:
        async with self._as_app() as client:
            async for one in hooks.installations(client):
                yield one

    async def installation(self, installation_id: int) -> Installation:
        async with self._as_app() as client:
            return await hooks.installation(client, installation_id)

    @asynccontextmanager
    async def _as_app(self) -> AsyncIterator[Client]:
        await self._turn(None).recall(unix=self._now())
        async with self._githubkit() as github:
            yield self._client(github, self._signature)

    @asynccontextmanager
    async def _token(
        self, installation_id: int, repo: Repo | None
    ) -> AsyncIterator[tuple[Githubkit[Any], InstallationToken]]:
        for one in (None, installation_id):
            await self._turn(one).recall(unix=self._now())
        async with self._githubkit() as github:
            as_app = self._client(github, self._signature)
            token = InstallationToken(as_app, installation_id, repo, now=self._now, minted=self._minted)
            try:
                yield github, token
            finally:
                await self._revoke(github, token, installation_id)

    def _client(
        self,
        github: Githubkit[Any],
        credentials: Credentials,
        *,
        installation_id: int | None = None,
        repo: Repo | None = None,
        hold: Hold | None = None,
        on_wait: OnWait | None = None,
    ) -> Client:
        return Client(
            github,
            credentials,
            turn=self._turn(installation_id),
            repo=repo,
            hold=hold,
            on_wait=on_wait,
            check=self._check,
            now=self._now,
            sleep=self._sleep,
        )

    def _turn(self, installation_id: int | None) -> Turn:
        """All jobs of an installation take turns; the App itself (None) has a turn of its own."""
        if installation_id not in self._turns:
            self._turns[installation_id] = Turn(
                self._limits,
                now=self._monotonic,
                sleep=self._sleep,
                marks=self._marks,
                name=f"held:{installation_id or 'app'}",
            )
        return self._turns[installation_id]

    @asynccontextmanager
    async def _githubkit(self) -> AsyncIterator[Githubkit[UnauthAuthStrategy]]:
        """No retries, redirects, cache or credentials of its own: those rules are the client's."""
        made = Githubkit(
            base_url=self._api_url,
            user_agent=USER_AGENT,
            timeout=self._timeout_s,
            auto_retry=False,
            http_cache=False,
            follow_redirects=False,
            ssl_verify=self._tls,
            async_transport=self._transport,
        )
        async with made, made.get_async_client() as connections:
            try:
                yield made
            finally:
                await _closed(connections)

    @cached_property
    def _tls(self) -> ssl.SSLContext | bool:
        """Loaded once, as it takes 0.1 s; a plain http address (a GitHub of one's own) has no certificate to check."""
        if self._transport is not None or self._api_url.startswith("http://"):
            return False
        return httpx.create_ssl_context()

    async def _revoke(self, github: Githubkit[Any], token: InstallationToken, installation_id: int) -> None:
        for authorization in token.living():
            client = self._client(github, Given(authorization), installation_id=installation_id)
            try:
                async with asyncio.timeout(REVOKE_WITHIN_S):
                    await client.call("DELETE", "/installation/token", priority=Priority.FAREWELL)
                token.revoked(authorization)
            except (ProviderError, TimeoutError) as error:
                structlog.get_logger().warning("token_not_revoked", reason=str(error) or type(error).__name__)


async def _closed(connections: httpx.AsyncClient) -> None:
    """Whoever is cancelled meanwhile waits for it: a pool that is closed by half leaves its connections open."""
    closing = asyncio.create_task(connections.aclose())
    try:
        await asyncio.shield(closing)
    except asyncio.CancelledError:
        await asyncio.wait({closing}, timeout=CLOSED_WITHIN_S)
        raise


def published_limits(api_url: str, *, processes: int = 1) -> Limits:
    """One process's part of GitHub's limits; a GitHub on this machine has none but those it speaks of."""
    return NO_LIMITS if httpx.URL(api_url).host in LOOPBACK else Limits().shared_by(processes)
