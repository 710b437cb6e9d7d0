"""A write whose answer was lost and whose effect shows late: looked for, and never made twice."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from bot.domain.errors import AmbiguousWrite
from bot.github.rest import RestGitHub
from bot.ports import CheckRun
from tests.github.wire import REPO, Wire, answer

pytestmark = pytest.mark.anyio

HERE = "/repos/acme/widget"
SHA = "a" * 40
RUNNING = CheckRun(status="in_progress", conclusion=None, title="T", summary="S")
COMMENT = {
    "id": 9,
    "html_url": "https://x/9",
    "body": "<!-- m -->\r\nWorking on it ",
    "user": {"type": "Bot"},
    "performed_via_github_app": {"id": 42},
}
PULL = {
    "number": 4,
    "html_url": "https://x/4",
    "draft": False,
    "state": "open",
    "head": {"ref": "backspace/1", "sha": SHA, "repo": {"id": 7}},
}
RUN = {"id": 8, "external_id": "k", "head_sha": SHA}
EXISTS = {"message": "Validation Failed", "errors": [{"message": "It already exists"}]}

Act = Callable[[RestGitHub], Awaitable[Any]]
CASES = [
    pytest.param(
        "POST /git/refs",
        "GET /git/ref/heads/backspace/1",
        answer(404, {"message": "Not Found"}),
        answer(200, {"object": {"sha": SHA}}),
        lambda github: github.create_ref("backspace/1", SHA),
        id="ref",
    ),
    pytest.param(
        "POST /pulls",
        "GET /pulls",
        answer(200, []),
        answer(200, [PULL]),
        lambda github: github.create_pull_request(title="T", body="B", head="backspace/1", base="main", draft=False),
        id="pull-request",
    ),
    pytest.param(
        "POST /issues/3/comments",
        "GET /issues/3/comments",
        answer(200, []),
        answer(200, [COMMENT]),
        lambda github: github.create_comment(3, "<!-- m -->\nWorking on it"),
        id="comment",
    ),
    pytest.param(
        "POST /check-runs",
        f"GET /commits/{SHA}/check-runs",
        answer(200, {"check_runs": []}),
        answer(200, {"check_runs": [RUN]}),
        lambda github: github.create_check_run(SHA, RUNNING, external_id="k", details_url=""),
        id="check-run",
    ),
]


def here(call: str) -> str:
    method, path = call.split(" ")
    return f"{method} {HERE}{path}"


def showing_after(wire: Wire, seconds: float, before: httpx.Response, then: httpx.Response) -> Callable[..., Any]:
    at = wire.now + seconds

    def reply(request: httpx.Request) -> httpx.Response:
        shown = then if wire.now >= at else before
        return httpx.Response(shown.status_code, content=shown.content)

    return reply


@pytest.mark.parametrize(("write", "look", "nothing", "there", "act"), CASES)
@pytest.mark.parametrize("late_s", [0, 5, 30])
async def test_an_effect_that_shows_late_is_found_before_another_write_could_double_it(
    write: str, look: str, nothing: httpx.Response, there: httpx.Response, act: Act, late_s: float
) -> None:
    """GitHub itself would refuse a second ref or pull request, so those may be asked for again; the others never.

    Red when LOOKS_AFTER_S ends before the half minute (tried).
    """
    wire = Wire()
    wire.on(here(write), httpx.ReadTimeout("lost"), answer(422, EXISTS))
    wire.on(here(look), showing_after(wire, late_s, nothing, there))
    async with wire.app().repository(5, REPO) as github:
        await act(github)
    twice = write in ("POST /git/refs", "POST /pulls") and late_s > 0
    assert wire.calls.count(here(write)) == (2 if twice else 1)


@pytest.mark.parametrize(("write", "look", "nothing", "there", "act"), CASES)
async def test_what_never_shows_is_the_callers_to_decide(
    write: str, look: str, nothing: httpx.Response, there: httpx.Response, act: Act
) -> None:
    wire = Wire().on(here(write), httpx.ReadTimeout("lost")).on(here(look), nothing)
    began = wire.now
    async with wire.app().repository(5, REPO) as github:
        with pytest.raises(AmbiguousWrite):
            await act(github)
    assert 30 < wire.now - began < 60


@pytest.mark.parametrize(("write", "look", "nothing", "there", "act"), CASES[2:])
async def test_somebody_elses_comment_or_check_is_not_taken_for_ours(
    write: str, look: str, nothing: httpx.Response, there: httpx.Response, act: Act
) -> None:
    copies = [COMMENT | {"user": {"type": "User"}}, COMMENT | {"body": "<!-- m -->\nDone"}]
    others = answer(200, {"check_runs": [RUN | {"external_id": "other"}]} if "check" in look else copies)
    wire = Wire().on(here(write), httpx.ReadTimeout("lost")).on(here(look), others)
    async with wire.app().repository(5, REPO) as github:
        with pytest.raises(AmbiguousWrite):
            await act(github)
