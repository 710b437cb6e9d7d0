"""Who the bot is to GitHub: the App's signed JWT, and tokens for what one job or one look around needs."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bot.domain.errors import NotFound, ProviderError, Unprocessable, UserError
from bot.domain.job import Repo
from bot.github.answers import text
from bot.github.client import Client

# What a job needs and no more; `workflows` is never asked for.
JOB = {
    "contents": "write",
    "pull_requests": "write",
    "issues": "write",
    "checks": "write",
    "metadata": "read",
}
READING = {"issues": "read", "pull_requests": "read", "metadata": "read"}
JWT_LIFE_S = 600  # GitHub's longest
JWT_BACKDATED_S = 60  # GitHub's advice against clocks that differ
REFRESH_BEFORE_END_S = 300.0
YOUNG_S = 10.0  # GitHub's parts know a new token one after another, within some seconds


class Secrets(Protocol):
    """Those that must leave the bot in no text, but for the requests they sign."""

    def learn(self, secret: str) -> None: ...
    def forget(self, secret: str) -> None: ...


class Minted:
    """Every token that may still open something is among the secrets: until it is revoked, or has expired."""

    def __init__(self, secrets: Secrets | None, *, now: Callable[[], float]) -> None:
        self._secrets, self._now = secrets, now
        self._ends: dict[str, float] = {}

    def add(self, token: str, *, ends: float) -> None:
        for old in [old for old, end in self._ends.items() if end <= self._now()]:
            self.drop(old)
        self._ends[token] = ends
        if self._secrets is not None:
            self._secrets.learn(token)

    def drop(self, token: str) -> None:
        if self._ends.pop(token, None) is not None and self._secrets is not None:
            self._secrets.forget(token)


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

    def is_young(self, authorization: str) -> bool:
        return False


class InstallationToken:
    """Credentials for one repository of one installation, or read-only ones for all of them where `repo` is None.

    Minted when first needed, anew before the end or on 401; each is told to `minted` before anybody uses it.
    """

    def __init__(
        self,
        as_app: Client,
        installation_id: int,
        repo: Repo | None,
        *,
        now: Callable[[], float],
        minted: Minted,
    ) -> None:
        self._as_app, self._installation_id, self._repo, self._now = as_app, installation_id, repo, now
        self._told = minted
        self._lock = asyncio.Lock()
        self._current: str | None = None
        self._minted_at = 0.0
        self._ends: dict[str, float] = {}

    async def authorization(self) -> str:
        if (good := self._good()) is not None:
            return good
        async with self._lock:
            if (good := self._good()) is None:
                good = self._current = await self._minted()
            return good

    def _good(self) -> str | None:
        """The token, while it lasts for another request."""
        current = self._current
        return current if current and self._now() < self._ends[current] - REFRESH_BEFORE_END_S else None

    def refused(self, authorization: str) -> None:
        self._ends.pop(authorization, None)
        if self._current == authorization:
            self._current = None

    def is_young(self, authorization: str) -> bool:
        return authorization == self._current and 0 <= self._now() - self._minted_at < YOUNG_S

    def living(self) -> tuple[str, ...]:
        """What still opens the repository."""
        return tuple(token for token, end in self._ends.items() if end > self._now())

    def revoked(self, authorization: str) -> None:
        self._ends.pop(authorization, None)
        self._told.drop(authorization.removeprefix("Bearer "))

    async def _minted(self) -> str:
        repo, asked = self._repo, READING if self._repo is None else JOB
        where = "this account" if repo is None else repo.full_name
        try:
            answer = await self._as_app.call(
                "POST",
                "/app/installations/{installation_id}/access_tokens",
                body={"permissions": asked} | ({} if repo is None else {"repository_ids": [repo.id]}),
                at={"installation_id": self._installation_id},
            )
        except NotFound as error:
            words = f"the App is not installed for {where} any more"
            raise NotFound("github", words, status=error.status) from None
        except Unprocessable as error:
            words = f"{error.message}. The installation must include {where} and grant {_wanted(asked)}"
            raise ProviderError("github", words, status=error.status) from None
        except ProviderError as error:
            if error.status != 401:
                raise
            words = "the App's signature is refused: check GITHUB_APP_ID, the private key and this machine's clock"
            raise ProviderError("github", words, retryable=True, status=401) from None
        token = text(answer.data, "token")
        ends = datetime.fromisoformat(text(answer.data, "expires_at")).timestamp()
        self._told.add(token, ends=ends)
        authorization = f"Bearer {token}"
        self._ends[authorization], self._minted_at = ends, self._now()
        return authorization


class Given:
    """Credentials as they are."""

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization

    async def authorization(self) -> str:
        return self._authorization

    def refused(self, authorization: str) -> None:
        return

    def is_young(self, authorization: str) -> bool:
        return False


def _key(pem: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise UserError("The App's private key is not an RSA key in PEM: download a new one from the App's settings.")
    return key


def _wanted(permissions: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {level}" for name, level in permissions.items())
