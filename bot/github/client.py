"""One request to GitHub and its answer: host fixed, allow-listed, in turn, repeated only where that is harmless."""

import json
import re
import time
from asyncio import sleep
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import unquote

import httpx
from githubkit import GitHub as Githubkit
from githubkit.exception import RequestError, RequestFailed
from githubkit.response import Response
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from bot.domain.conversation import texts_in
from bot.domain.errors import AmbiguousWrite, NotFound, ProviderError
from bot.domain.job import Repo
from bot.github.addresses import graphql_url
from bot.github.answers import number, text
from bot.github.calls import DOCUMENTS, GRAPHQL, kind_of, path_of, repeatable
from bot.github.failures import failure, may_be_unknown, rate_limit
from bot.github.pace import Kind, Priority
from bot.github.turn import OutOfTurn, Sleep, Turn
from bot.ports.github import Hold, OnWait

ATTEMPTS = 4
LAG_PAUSES_S = (1.0, 2.0, 3.0, 4.0)  # in all as long as a token counts as young
API_VERSION = "2022-11-28"  # known to github.com and to every supported Enterprise Server
USER_AGENT = "tiny-backspace"
_REPO = "/repos/{owner}/{repo}"
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_RENAMED = re.compile(r"/(?:repositories/[0-9]+|repos/[^/?#]+/[^/?#]+)")

Json = Mapping[str, Any]
Values = Mapping[str, str | int]
NOTHING: Values = {}
Check = Callable[[str | bytes, str], None]


class Credentials(Protocol):
    """Who is asking."""

    async def authorization(self) -> str:
        """The `Authorization` header's value, valid now."""
        ...

    def refused(self, authorization: str) -> None:
        """GitHub answered 401 to it."""
        ...

    def is_young(self, authorization: str) -> bool:
        """It was made just now, so not all of GitHub may know it yet."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """`cursor` leads to the next page, where GitHub pages by cursor; "" at the end."""

    data: object
    last_page: int = 1
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    template: str
    content: bytes | None
    query: Values
    at: Values
    priority: Priority
    accept: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    @property
    def kind(self) -> Kind:
        return kind_of(self.method, self.template)

    @property
    def harmless(self) -> bool:
        return repeatable(self.method, self.template)


class Client:
    """Requests in the name of one set of credentials, about one repository where `repo` is given."""

    def __init__(
        self,
        github: Githubkit[Any],
        credentials: Credentials,
        *,
        turn: Turn,
        repo: Repo | None = None,
        hold: Hold | None = None,
        on_wait: OnWait | None = None,
        check: Check | None = None,
        now: Callable[[], float] = time.time,
        sleep: Sleep = sleep,
    ) -> None:
        """`hold` has the last word before each request: what it raises keeps the request from being sent. `on_wait`
        hears of a result that has to wait long for GitHub's limits, and for how many seconds.

        `check` sees every text of every request, and where it is, and raises for what must not leave. `now` is Unix
        time.
        """
        self.repo, self.check, self.sleep = repo, check, sleep
        self._github, self._credentials, self._turn = github, credentials, turn
        self._hold, self._on_wait, self._now = hold, on_wait, now

    async def call(
        self,
        method: str,
        template: str,
        *,
        body: Json | None = None,
        query: Values = NOTHING,
        at: Values = NOTHING,
        priority: Priority = Priority.RESULT,
        accept: str = "",
    ) -> Answer:
        """`at` fills the template; `accept` is the media type wanted, "" GitHub's usual one.

        Raises ProviderError and its kinds, AmbiguousWrite only for a call that must not be repeated blindly, OutOfTurn
        when the limits let it go too late for its priority.
        """
        if template in DOCUMENTS:
            body = {"query": DOCUMENTS[template], "variables": body}
        call = _Call(method, template, None if body is None else json.dumps(body).encode(), query, at, priority, accept)
        if self.check is not None:
            for words in texts_in((body, dict(query), dict(at))):
                self.check(words, f"what was about to be sent to GitHub ({call})")
        retrying = AsyncRetrying(
            retry=retry_if_exception(_worth_repeating),
            wait=_pause_s,
            stop=stop_after_attempt(ATTEMPTS),
            sleep=self.sleep,
            reraise=True,
        )
        return await retrying(self._attempt, call)

    async def _attempt(self, call: _Call) -> Answer:
        response = await self._request(self._here(call))
        if response.raw_response.is_redirect and self.repo is not None:
            await self._learn_new_name(self.repo, call.priority)
            response = await self._request(self._here(call))
        if response.raw_response.is_redirect:
            raise ProviderError("github", f"an unexpected redirect ({call})", status=response.status_code)
        return _answer(response, call)

    def _here(self, call: _Call) -> _Call:
        if self.repo is None:
            return call
        return replace(call, at={**call.at, "owner": self.repo.owner, "repo": self.repo.name})

    async def _learn_new_name(self, repo: Repo, priority: Priority) -> None:
        """Follows a rename on the same host, to the repository of the same id only."""
        ask = self._here(_Call("GET", _REPO, None, NOTHING, NOTHING, priority))
        moved = await self._request(ask)
        if moved.raw_response.is_redirect:
            path = renamed_path(moved.headers.get("location", ""), base_url=str(self._github.config.base_url))
            if path is None:
                raise ProviderError("github", f"{repo.full_name} redirects to another place: not followed")
            kind, *names = path.strip("/").split("/")
            template = "/repositories/{repository_id}" if kind == "repositories" else _REPO
            slots = ("repository_id",) if kind == "repositories" else ("owner", "repo")
            at = dict(zip(slots, map(unquote, names), strict=True))
            moved = await self._request(replace(ask, template=template, at=at))
        facts = _answer(moved, ask).data
        if number(facts, "id") != repo.id:
            raise NotFound("github", f"{repo.full_name} is another repository now", status=404)
        self.repo = Repo(repo.id, text(facts, "owner", "login"), text(facts, "name"))

    async def _request(self, call: _Call) -> Response[Any]:
        """In turn; with other credentials once more when these are refused, young ones with some patience.

        A token is minted before the turn comes, and where minting it or `hold` took so long that GitHub has closed the
        way meanwhile, the request waits for another turn.
        """
        refused, pauses = False, iter(LAG_PAUSES_S)
        on_wait = self._on_wait if call.priority is Priority.RESULT else None
        while True:
            await self._credentials.authorization()
            async with self._turn.taken(call.kind, call.priority, on_wait):
                authorization = await self._credentials.authorization()
                if self._hold is not None:
                    await self._hold()
                if self._turn.traffic.is_closed(self._turn.now()):
                    continue
                try:
                    return await self._send(call, authorization)
                except ProviderError as error:
                    waits = may_be_unknown(error) and self._credentials.is_young(authorization)
                    pause_s = next(pauses, None) if waits else None
                    if pause_s is None and (error.status != 401 or refused):
                        raise
            if pause_s is not None:
                await self.sleep(pause_s)
                continue
            refused = True
            self._credentials.refused(authorization)

    async def _send(self, call: _Call, authorization: str) -> Response[Any]:
        path = path_of(call.method, call.template, call.at)
        url = graphql_url(str(self._github.config.base_url)) if path == GRAPHQL else path
        headers = {"Authorization": authorization, "X-GitHub-Api-Version": API_VERSION}
        if call.accept:
            headers["Accept"] = call.accept
        if call.content is not None:
            headers["Content-Type"] = "application/json"
        sent_at = self._turn.now()
        try:
            response = await self._github.arequest(
                call.method, url, params=call.query, content=call.content, headers=headers
            )
        except RequestFailed as failed:
            self._learn(failed.response)
            raise await self._refusal(failed.response, call, sent_at) from None
        except RequestError as lost:
            raise _lost(lost, call) from None
        except ValueError:  # githubkit reads `retry-after` as an integer
            wait_s = await self._turn.limited(None, call.kind, sent_at=sent_at, unix=self._now())
            raise failure(429, {}, b"", call=str(call), repeatable=True, limited_s=wait_s) from None
        self._learn(response)
        self._turn.traffic.accepted(call.kind)
        return response

    async def _refusal(self, response: Response[Any], call: _Call, sent_at: float) -> ProviderError:
        status, headers, content = response.status_code, response.headers, response.content
        limit = rate_limit(status, headers, content, now=self._now())
        limited_s = None
        if limit is not None:
            limited_s = await self._turn.limited(limit.wait_s, call.kind, sent_at=sent_at, unix=self._now())
        return failure(status, headers, content, call=str(call), repeatable=call.harmless, limited_s=limited_s)

    def _learn(self, response: Response[Any]) -> None:
        """How much of the hour's limit is left; other resources, such as search, have limits of their own."""
        headers = response.headers
        remaining, resets_at = headers.get("x-ratelimit-remaining", ""), headers.get("x-ratelimit-reset", "")
        if remaining.isdecimal() and resets_at.isdecimal() and headers.get("x-ratelimit-resource", "core") == "core":
            hour, now = float(resets_at[:12]), self._turn.now()
            self._turn.traffic.learned(int(remaining[:9]), hour, now=now, unix=self._now())


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


def _answer(response: Response[Any], call: _Call) -> Answer:
    if not response.content:
        return Answer(None)
    try:
        data = response.json()
    except ValueError:
        kind = ProviderError if call.harmless else AmbiguousWrite
        raise kind("github", f"an answer that is not JSON ({call})", retryable=True) from None
    link = response.headers.get("link", "")
    last = re.search(r'[?&]page=([0-9]{1,6})[^>]*>;\s*rel="last"', link)
    following = re.search(r'[?&]cursor=([A-Za-z0-9_-]{1,100})[^>]*>;\s*rel="next"', link)
    return Answer(data, int(last[1]) if last else 1, following[1] if following else "")


def _lost(lost: RequestError[Any], call: _Call) -> ProviderError:
    if not isinstance(lost.exc, httpx.HTTPError):
        raise lost.exc
    words = f"no answer: {type(lost.exc).__name__} ({call})"
    if call.harmless or isinstance(lost.exc, _NEVER_SENT):
        return ProviderError("github", words, retryable=True)
    return AmbiguousWrite("github", words, retryable=True)


def _worth_repeating(error: BaseException) -> bool:
    return isinstance(error, ProviderError) and error.retryable and not isinstance(error, AmbiguousWrite | OutOfTurn)


_BACKOFF = wait_exponential_jitter(multiplier=0.5, max=8, jitter=0.5)


def _pause_s(state: RetryCallState) -> float:
    """A limit is waited for in the next attempt's turn."""
    error = state.outcome.exception() if state.outcome else None
    return 0.0 if isinstance(error, ProviderError) and error.retry_after_s is not None else _BACKOFF(state)
