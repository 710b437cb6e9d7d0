"""One request to GitHub and its answer: host fixed, allow-listed, in turn, repeated only where that is harmless."""

import json
import re
import time
from asyncio import sleep
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote

import httpx
from githubkit import GitHub as Githubkit
from githubkit.exception import RequestError, RequestFailed
from githubkit.response import Response
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from bot.domain.errors import AmbiguousWrite, NotFound, ProviderError
from bot.domain.job import Repo
from bot.github.answers import number, text
from bot.github.calls import path_of, repeatable
from bot.github.failures import failure, limited_unclearly
from bot.ports.github import Hold

ATTEMPTS = 4
LONGEST_WAIT_S = 120.0  # a limit that ends later is the caller's to wait for
API_VERSION = "2022-11-28"  # known to github.com and to every supported Enterprise Server
USER_AGENT = "tiny-backspace"
_REPO = "/repos/{owner}/{repo}"
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_RENAMED = re.compile(r"/(?:repositories/[0-9]+|repos/[^/?#]+/[^/?#]+)")

Json = Mapping[str, Any]
Values = Mapping[str, str | int]
NOTHING: Values = {}
Sleep = Callable[[float], Awaitable[None]]


class Credentials(Protocol):
    """Who is asking."""

    async def authorization(self) -> str:
        """The `Authorization` header's value, valid now."""
        ...

    def refused(self, authorization: str) -> None:
        """GitHub answered 401 to it."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """`cursor` leads to the next page, where GitHub pages by cursor; "" at the end."""

    data: object
    last_page: int = 1
    cursor: str = ""


class Turn:
    """When the next request may leave: nothing goes out while GitHub has us wait.

    The pauses between content writes (1 s apart, 80 a minute, 500 an hour) belong here as well.
    """

    def __init__(self, *, now: Callable[[], float], sleep: Sleep) -> None:
        self._now, self._sleep = now, sleep
        self._not_before = 0.0

    async def wait(self) -> None:
        """Raises ProviderError when the permitted instant is further away than a call may wait."""
        wait_s = self._not_before - self._now()
        if wait_s > LONGEST_WAIT_S:
            raise ProviderError("github", "rate limited", retryable=True, retry_after_s=wait_s, status=429)
        if wait_s > 0:
            await self._sleep(wait_s)

    def hold(self, seconds: float) -> None:
        self._not_before = max(self._not_before, self._now() + seconds)


class Client:
    """Requests in the name of one set of credentials, about one repository where `repo` is given."""

    def __init__(
        self,
        github: Githubkit[Any],
        credentials: Credentials,
        *,
        repo: Repo | None = None,
        hold: Hold | None = None,
        now: Callable[[], float] = time.time,
        sleep: Sleep = sleep,
    ) -> None:
        """`hold` has the last word before each request: what it raises keeps the request from being sent."""
        self.repo, self._hold = repo, hold
        self._github, self._credentials = github, credentials
        self._now, self._sleep = now, sleep
        self._turn = Turn(now=now, sleep=sleep)

    async def call(
        self,
        method: str,
        template: str,
        *,
        body: Json | None = None,
        query: Values = NOTHING,
        at: Values = NOTHING,
    ) -> Answer:
        """`at` fills the template.

        Raises ProviderError and its kinds, AmbiguousWrite only for a call that must not be repeated blindly.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception(_worth_repeating),
            wait=_pause_s,
            stop=stop_after_attempt(ATTEMPTS),
            sleep=self._sleep,
            reraise=True,
        )
        return await retrying(self._attempt, method, template, body, query, at)

    async def _attempt(
        self,
        method: str,
        template: str,
        body: Json | None,
        query: Values,
        at: Values,
    ) -> Answer:
        response = await self._request(method, template, body, query, self._with_repo(at))
        if response.raw_response.is_redirect and self.repo is not None:
            await self._learn_new_name(self.repo)
            response = await self._request(method, template, body, query, self._with_repo(at))
        if response.raw_response.is_redirect:
            raise ProviderError("github", f"an unexpected redirect ({method} {template})", status=response.status_code)
        return _answer(response, f"{method} {template}")

    def _with_repo(self, at: Values) -> Values:
        return at if self.repo is None else {**at, "owner": self.repo.owner, "repo": self.repo.name}

    async def _learn_new_name(self, repo: Repo) -> None:
        """Follows a rename on the same host, to the repository of the same id only."""
        moved = await self._request("GET", _REPO, None, NOTHING, self._with_repo(NOTHING))
        if moved.raw_response.is_redirect:
            path = renamed_path(moved.headers.get("location", ""), base_url=str(self._github.config.base_url))
            if path is None:
                raise ProviderError("github", f"{repo.full_name} redirects to another place: not followed")
            kind, *names = path.strip("/").split("/")
            template = "/repositories/{repository_id}" if kind == "repositories" else _REPO
            slots = ("repository_id",) if kind == "repositories" else ("owner", "repo")
            moved = await self._request(
                "GET", template, None, NOTHING, dict(zip(slots, map(unquote, names), strict=True))
            )
        facts = _answer(moved, "GET /repositories/{repository_id}").data
        if number(facts, "id") != repo.id:
            raise NotFound("github", f"{repo.full_name} is another repository now", status=404)
        self.repo = Repo(repo.id, text(facts, "owner", "login"), text(facts, "name"))

    async def _request(
        self,
        method: str,
        template: str,
        body: Json | None,
        query: Values,
        at: Values,
    ) -> Response[Any]:
        path = path_of(method, template, at)
        content = None if body is None else json.dumps(body).encode()
        call, harmless = f"{method} {template}", repeatable(method, template)
        for again in (True, False):
            await self._turn.wait()
            authorization = await self._credentials.authorization()
            headers = {"Authorization": authorization, "X-GitHub-Api-Version": API_VERSION}
            if content is not None:
                headers["Content-Type"] = "application/json"
            if self._hold is not None:
                await self._hold()
            try:
                return await self._github.arequest(method, path, params=query, content=content, headers=headers)
            except RequestFailed as failed:
                if failed.response.status_code == 401 and again:
                    self._credentials.refused(authorization)
                    continue
                raise self._refusal(failed, call, harmless) from None
            except RequestError as lost:
                raise _lost(lost, call, harmless) from None
            except ValueError:  # githubkit reads `retry-after` as an integer
                self._turn.hold(limited_unclearly(call).retry_after_s or 0)
                raise limited_unclearly(call) from None
        raise AssertionError("the second attempt returns or raises")

    def _refusal(self, failed: RequestFailed, call: str, harmless: bool) -> ProviderError:
        response = failed.response
        error = failure(
            response.status_code, response.headers, response.content, call=call, now=self._now(), repeatable=harmless
        )
        if error.retry_after_s is not None:
            self._turn.hold(error.retry_after_s)
        return error


def renamed_path(location: str, *, base_url: str) -> str | None:
    """The path a renamed repository moved to, below `base_url`; None for every other place."""
    try:
        base, url = httpx.URL(base_url), httpx.URL(base_url).join(location)
    except (httpx.InvalidURL, ValueError):
        return None
    if (url.scheme, url.host, url.port, url.userinfo) != (base.scheme, base.host, base.port, b""):
        return None
    raw, prefix = url.raw_path.decode("ascii"), base.raw_path.decode("ascii").rstrip("/")
    rest = raw.removeprefix(prefix) if raw.startswith(prefix) else ""
    return rest if _RENAMED.fullmatch(rest) else None


def _answer(response: Response[Any], call: str) -> Answer:
    if not response.content:
        return Answer(None)
    try:
        data = response.json()
    except ValueError:
        raise ProviderError("github", f"an answer that is not JSON ({call})", retryable=True) from None
    link = response.headers.get("link", "")
    last = re.search(r'[?&]page=([0-9]{1,6})[^>]*>;\s*rel="last"', link)
    following = re.search(r'[?&]cursor=([A-Za-z0-9_-]{1,100})[^>]*>;\s*rel="next"', link)
    return Answer(data, int(last[1]) if last else 1, following[1] if following else "")


def _lost(lost: RequestError[Any], call: str, harmless: bool) -> ProviderError:
    if not isinstance(lost.exc, httpx.HTTPError):
        raise lost.exc
    words = f"no answer: {type(lost.exc).__name__} ({call})"
    if harmless or isinstance(lost.exc, _NEVER_SENT):
        return ProviderError("github", words, retryable=True)
    return AmbiguousWrite("github", words, retryable=True)


def _worth_repeating(error: BaseException) -> bool:
    if not isinstance(error, ProviderError) or isinstance(error, AmbiguousWrite):
        return False
    return error.retryable and (error.retry_after_s or 0) <= LONGEST_WAIT_S


_BACKOFF = wait_exponential_jitter(multiplier=0.5, max=8, jitter=0.5)


def _pause_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    said = error.retry_after_s if isinstance(error, ProviderError) else None
    return _BACKOFF(state) if said is None else said
