"""The bot as a GitHub App: its signed JWT, and tokens for one repository that are revoked when the job is done."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cached_property
from typing import Any

import httpx
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from githubkit import GitHub as Githubkit
from githubkit import UnauthAuthStrategy

from bot.domain.errors import NotFound, ProviderError, Unprocessable, UserError
from bot.domain.job import Repo
from bot.github.answers import text
from bot.github.client import USER_AGENT, Client, Sleep
from bot.github.rest import RestGitHub

# What a job needs and no more; `workflows` is never asked for.
PERMISSIONS = {
    "contents": "write",
    "pull_requests": "write",
    "issues": "write",
    "checks": "write",
    "metadata": "read",
}
JWT_LIFE_S = 600  # GitHub's longest
JWT_BACKDATED_S = 60  # GitHub's advice against clocks that differ
REFRESH_BEFORE_END_S = 300.0
REVOKE_WITHIN_S = 10.0


class App:
    """`ports.GitHubApp` for one App id and key. `api_url` is https://api.github.com, or https://HOST/api/v3 of an
    Enterprise Server. Raises UserError when the key is not an RSA key in PEM."""

    def __init__(
        self,
        app_id: int,
        private_key_pem: str,
        *,
        api_url: str = "https://api.github.com",
        timeout_s: float = 20.0,
        now: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._app_id, self._api_url, self._timeout_s = app_id, api_url.rstrip("/"), timeout_s
        self._signature = AppSignature(app_id, private_key_pem, now=now)
        self._now, self._sleep, self._transport = now, sleep, transport

    @asynccontextmanager
    async def repository(self, installation_id: int, repo: Repo) -> AsyncIterator[RestGitHub]:
        """A client whose token, minted at the first call, opens this repository id alone and is revoked at the end."""
        async with self._githubkit() as github:
            as_app = Client(github, self._signature, now=self._now, sleep=self._sleep)
            token = InstallationToken(as_app, installation_id, repo, now=self._now)
            client = Client(github, token, repo=repo, now=self._now, sleep=self._sleep)
            try:
                yield RestGitHub(client, token, app_id=self._app_id, git_url=git_url(self._api_url))
            finally:
                await self._revoke(github, token)

    async def login(self) -> str:
        async with self._githubkit() as github:
            answer = await Client(github, self._signature, now=self._now, sleep=self._sleep).call("GET", "/app")
        return f"{text(answer.data, 'slug')}[bot]"

    def _githubkit(self) -> Githubkit[UnauthAuthStrategy]:
        """No retries, redirects, cache or credentials of its own: those rules are the client's."""
        return Githubkit(
            base_url=self._api_url,
            user_agent=USER_AGENT,
            timeout=self._timeout_s,
            auto_retry=False,
            http_cache=False,
            follow_redirects=False,
            ssl_verify=self._tls,
            async_transport=self._transport,
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext | bool:
        """Loaded once, as it takes 0.1 s; a plain http address (a GitHub of one's own) has no certificate to check."""
        if self._transport is not None or self._api_url.startswith("http://"):
            return False
        return httpx.create_ssl_context()

    async def _revoke(self, github: Githubkit[Any], token: "InstallationToken") -> None:
        for authorization in token.living():
            client = Client(github, _Given(authorization), now=self._now, sleep=self._sleep)
            try:
                async with asyncio.timeout(REVOKE_WITHIN_S):
                    await client.call("DELETE", "/installation/token")
            except (ProviderError, TimeoutError) as error:
                structlog.get_logger().warning("token_not_revoked", reason=str(error) or type(error).__name__)


class AppSignature:
    """Credentials of the App itself: a JWT, used again until a minute before its end."""

    def __init__(self, app_id: int, private_key_pem: str, *, now: Callable[[], float]) -> None:
        self._app_id, self._now = app_id, now
        self._key = _key(private_key_pem)
        self._jwt, self._good_until = "", 0.0

    async def authorization(self) -> str:
        now = self._now()
        if not self._jwt or now > self._good_until:
            issued = int(now) - JWT_BACKDATED_S
            claims = {"iss": str(self._app_id), "iat": issued, "exp": issued + JWT_LIFE_S}
            self._jwt = jwt.encode(claims, self._key, algorithm="RS256")
            self._good_until = issued + JWT_LIFE_S - 60
        return f"Bearer {self._jwt}"

    def refused(self, authorization: str) -> None:
        self._jwt = ""


class InstallationToken:
    """Credentials for one repository of one installation: minted when first needed, anew before the end or on 401."""

    def __init__(self, as_app: Client, installation_id: int, repo: Repo, *, now: Callable[[], float]) -> None:
        self._as_app, self._installation_id, self._repo, self._now = as_app, installation_id, repo, now
        self._lock = asyncio.Lock()
        self._current: str | None = None
        self._ends: dict[str, float] = {}

    async def authorization(self) -> str:
        async with self._lock:
            if self._current is None or self._now() >= self._ends[self._current] - REFRESH_BEFORE_END_S:
                self._current = await self._minted()
            return self._current

    def refused(self, authorization: str) -> None:
        self._ends.pop(authorization, None)
        if self._current == authorization:
            self._current = None

    def living(self) -> tuple[str, ...]:
        """What still opens the repository."""
        return tuple(token for token, end in self._ends.items() if end > self._now())

    async def _minted(self) -> str:
        try:
            answer = await self._as_app.call(
                "POST",
                "/app/installations/{installation_id}/access_tokens",
                body={"repository_ids": [self._repo.id], "permissions": PERMISSIONS},
                at={"installation_id": self._installation_id},
            )
        except NotFound as error:
            words = f"the App is not installed for {self._repo.full_name} any more"
            raise NotFound("github", words, status=error.status) from None
        except Unprocessable as error:
            words = f"{error.message}. The installation must include {self._repo.full_name} and grant {_wanted()}"
            raise ProviderError("github", words, status=error.status) from None
        except ProviderError as error:
            if error.status != 401:
                raise
            words = "the App's signature is refused: check GITHUB_APP_ID, the private key and this machine's clock"
            raise ProviderError("github", words, status=401) from None
        authorization = f"Bearer {text(answer.data, 'token')}"
        self._ends[authorization] = datetime.fromisoformat(text(answer.data, "expires_at")).timestamp()
        return authorization


class _Given:
    """Credentials as they are."""

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization

    async def authorization(self) -> str:
        return self._authorization

    def refused(self, authorization: str) -> None:
        return


def git_url(api_url: str) -> str:
    """Where git lives for an API: github.com, the Enterprise Server without /api/v3, or SUBDOMAIN.ghe.com."""
    url = httpx.URL(api_url)
    host = url.host.removeprefix("api.") if url.host == "api.github.com" or url.host.endswith(".ghe.com") else url.host
    path = url.path.rstrip("/").removesuffix("/api/v3")
    return str(url.copy_with(host=host, path=path or "/")).rstrip("/")


def _key(pem: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise UserError("The App's private key is not an RSA key in PEM: download a new one from the App's settings.")
    return key


def _wanted() -> str:
    return ", ".join(f"{name}: {level}" for name, level in PERMISSIONS.items())
