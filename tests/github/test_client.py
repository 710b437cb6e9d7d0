"""One request after another: repeated where harmless, in turn with GitHub's limits, on one host, once more on 401."""

from pathlib import Path

import httpx
import pytest

from bot.domain.errors import AmbiguousWrite, NotFound, ProviderError
from bot.github.client import ATTEMPTS, LAG_PAUSES_S
from bot.github.pace import Limits
from bot.github.tokens import YOUNG_S
from bot.stores import open_store
from tests.github.wire import NOW, REPO, Reply, Wire, answer

pytestmark = pytest.mark.anyio

ISSUE = "/repos/acme/widget/issues/3"
FACTS = {"state": "open", "locked": False, "title": "T", "body": None, "user": {"id": 1, "login": "a", "type": "User"}}
COMMENTS = ISSUE + "/comments"
COMMENT = {"id": 9, "html_url": "https://x/9", "body": "hi"}


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(answer(500), id="500"),
        pytest.param(answer(502), id="502"),
        pytest.param(answer(503), id="503"),
        pytest.param(answer(504), id="504"),
        pytest.param(httpx.ConnectError("no route"), id="no-connection"),
        pytest.param(httpx.ReadTimeout("slow"), id="no-answer-in-time"),
        pytest.param(httpx.ReadError("reset"), id="connection-reset"),
        pytest.param(httpx.RemoteProtocolError("closed"), id="closed-without-an-answer"),
        pytest.param(httpx.Response(200, content=b"<html>"), id="a-page-instead-of-json"),
    ],
)
async def test_a_read_that_fails_in_passing_is_repeated(broken: Reply) -> None:
    wire = Wire().on(f"GET {ISSUE}", broken, broken, answer(200, FACTS))
    async with wire.app().repository(5, REPO) as github:
        assert (await github.issue(3)).title == "T"
    assert len(wire.calls) == 3
    assert all(0 < pause <= 9 for pause in wire.slept)


async def test_an_answer_of_another_shape_says_what_is_missing() -> None:
    wire = Wire().on(f"GET {ISSUE}", answer(200, ["not", "an", "issue"]))
    async with wire.app().repository(5, REPO) as github:
        with pytest.raises(ProviderError, match="an answer without the str expected at state"):
            await github.issue(3)


async def test_repeating_ends() -> None:
    wire = Wire().on(f"GET {ISSUE}", answer(500))
    async with wire.app().repository(5, REPO) as github:
        with pytest.raises(ProviderError) as caught:
            await github.issue(3)
    assert (len(wire.calls), caught.value.retryable, caught.value.status) == (ATTEMPTS, True, 500)


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param(answer(500), id="500"),
        pytest.param(answer(502), id="502"),
        pytest.param(httpx.ReadTimeout("slow"), id="no-answer-in-time"),
        pytest.param(httpx.ReadError("reset"), id="connection-reset"),
        pytest.param(httpx.RemoteProtocolError("closed"), id="closed-without-an-answer"),
        pytest.param(httpx.Response(201, content=b"<html>"), id="a-page-instead-of-json"),
    ],
)
async def test_a_write_that_may_have_happened_is_never_repeated_blindly(lost: Reply) -> None:
    """R4. Red when the comment's call is marked repeatable in the allow-list (tried)."""
    wire = Wire().on(f"POST {COMMENTS}", lost, answer(201, COMMENT)).on(f"GET {COMMENTS}", answer(200, []))
    async with wire.app().repository(5, REPO) as github:
        with pytest.raises(AmbiguousWrite):
            await github.create_comment(3, "hi")
    assert wire.calls.count(f"POST {COMMENTS}") == 1


@pytest.mark.parametrize(
    "unsent",
    [
        pytest.param(httpx.ConnectError("no route"), id="no-connection"),
        pytest.param(httpx.ConnectTimeout("slow"), id="no-connection-in-time"),
        pytest.param(answer(429, {"message": "Slow down"}, {"retry-after": "2"}), id="limited"),
        pytest.param(answer(401, {"message": "Bad credentials"}), id="refused-credentials"),
    ],
)
async def test_a_write_that_surely_did_not_happen_is_made_again(unsent: Reply) -> None:
    wire = Wire().on(f"POST {COMMENTS}", unsent, answer(201, COMMENT))
    async with wire.app().repository(5, REPO) as github:
        assert (await github.create_comment(3, "hi")).id == 9


async def test_nothing_leaves_before_the_permitted_instant() -> None:
    """R11. Red when `Turn` waits for nothing (tried)."""
    limited = answer(403, {"message": "You have exceeded a secondary rate limit"}, {"retry-after": "130"})
    wire = Wire().on(f"GET {ISSUE}", limited)
    permitted, sent = wire.now + 130, []

    def made(request: httpx.Request) -> httpx.Response:
        sent.append(wire.now)
        return answer(201, COMMENT)

    wire.on(f"POST {COMMENTS}", made)
    app = wire.app()
    async with app.repository(5, REPO) as one, app.repository(5, REPO) as other:
        with pytest.raises(ProviderError, match="rate limited"):
            await one.progress().issue(3)
        wire.now += 50
        await other.create_comment(3, "hi")
    assert sent == [permitted]


async def test_a_wall_clock_that_is_set_back_an_hour_stops_nothing() -> None:
    """Red when the schedule is kept on it: the second write leaves after 3,601 s (seen)."""
    wire = Wire().on(f"POST {COMMENTS}", answer(201, COMMENT))
    async with wire.app(limits=Limits()).repository(5, REPO) as github:
        await github.create_comment(3, "hi")
        wire.wall_set_by_s = -3600.0
        await github.create_comment(3, "hi again")
        assert sum(wire.slept) == 1


async def test_a_limit_lasts_as_long_as_github_said_however_the_wall_clock_is_set() -> None:
    """Red when the schedule is kept on it (seen)."""
    limited = answer(403, {"message": "API rate limit exceeded"}, exhausted(Wire().now + 600))
    wire = Wire().on(f"GET {ISSUE}", limited, answer(200, FACTS))
    async with wire.app().repository(5, REPO) as github:
        with pytest.raises(ProviderError, match="rate limited"):
            await github.progress().issue(3)
        wire.wall_set_by_s = 3600.0
        await github.issue(3)
        assert sum(wire.slept) == 601


def exhausted(until: float) -> dict[str, str]:
    return {"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{until:.0f}"}


async def test_the_limit_of_another_resource_holds_nothing_up() -> None:
    """Search has a limit of its own. Red when its last request counts as the hour's: seen."""
    spent = {**exhausted(Wire().now + 2400), "x-ratelimit-resource": "search"}
    wire = Wire().on(f"GET {ISSUE}", answer(200, FACTS, spent), answer(200, FACTS))
    async with wire.app().repository(5, REPO) as github:
        await github.issue(3)
        await github.progress().issue(3)
    assert [pause for pause in wire.slept if pause] == []


async def test_a_short_limit_is_waited_for() -> None:
    limited = answer(429, {"message": "Slow down"}, {"retry-after": "30"})
    wire = Wire().on(f"GET {ISSUE}", limited, limited, answer(200, FACTS))
    async with wire.app().repository(5, REPO) as github:
        await github.issue(3)
    assert sum(wire.slept) == 60


async def test_a_long_limit_drops_progress_and_asks_nothing_meanwhile_and_results_wait() -> None:
    limited = answer(403, {"message": "API rate limit exceeded"}, exhausted(Wire().now + 2400))
    wire = Wire().on(f"GET {ISSUE}", limited, answer(200, FACTS))
    began = wire.now
    async with wire.app().repository(5, REPO) as github:
        for _ in range(3):
            with pytest.raises(ProviderError, match="rate limited") as caught:
                await github.progress().issue(3)
            assert caught.value.retryable
            assert (caught.value.retry_after_s or 0) > 2000
        assert (len(wire.calls), wire.now) == (1, began)
        await github.issue(3)
        assert wire.now >= began + 2400


async def test_limits_that_do_not_say_how_long_are_waited_for_twice_as_long_each_time() -> None:
    limited = answer(403, {"message": "You have exceeded a secondary rate limit"})
    wire = Wire().on(f"GET {ISSUE}", limited, limited, limited, answer(200, FACTS), limited, answer(200, FACTS))
    async with wire.app().repository(5, REPO) as github:
        await github.issue(3)
        assert [pause for pause in wire.slept if pause] == [60, 120, 240]
        await github.issue(3)
        assert [pause for pause in wire.slept if pause] == [60, 120, 240, 60]


async def test_a_retry_after_that_is_no_number_is_a_minute() -> None:
    date = answer(429, {"message": "x"}, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"})
    wire = Wire().on(f"GET {ISSUE}", date, answer(200, FACTS))
    async with wire.app().repository(5, REPO) as github:
        await github.issue(3)
    assert sum(wire.slept) >= 60


async def test_401_in_the_middle_mints_one_new_token() -> None:
    refused = answer(401, {"message": "Bad credentials"})
    wire = Wire().on(f"GET {ISSUE}", answer(200, FACTS), refused, answer(200, FACTS))
    async with wire.app().repository(5, REPO) as github:
        await github.issue(3)
        wire.now += YOUNG_S
        await github.issue(3)
    assert [r.headers["authorization"][-5:] for r in wire.requests if r.url.path == ISSUE] == [
        "ghs_1",
        "ghs_1",
        "ghs_2",
    ]


@pytest.mark.parametrize(
    "unknown",
    [answer(401, {"message": "Bad credentials"}), answer(403, {"message": "Resource not accessible by integration"})],
    ids=["401", "403"],
)
async def test_a_token_that_github_does_not_know_yet_is_used_again_a_little_later(unknown: Reply) -> None:
    """Red when a young token is taken for a refused one: the job ends (seen)."""
    wire = Wire().on(f"GET {ISSUE}", unknown, unknown, answer(200, FACTS))
    async with wire.app().repository(5, REPO) as github:
        await github.issue(3)
    assert (wire.minted, wire.slept) == (1, [1.0, 2.0])


async def test_a_limit_holds_for_the_next_process_too(tmp_path: Path) -> None:
    """R11. Red when only the process that was refused knows of it: the next one asks at once (seen)."""
    limited = answer(403, {"message": "You have exceeded a secondary rate limit"}, {"retry-after": "3600"})
    wire = Wire().on(f"GET {ISSUE}", limited, answer(200, FACTS))
    store = await open_store(f"sqlite:///{tmp_path}/bot.db")
    for _ in range(3):
        async with wire.app(marks=store).repository(5, REPO) as github:
            with pytest.raises(ProviderError, match="rate limited"):
                await github.progress().issue(3)
        wire.now += 60
    assert len(wire.calls) == 1
    async with wire.app(marks=store).repository(5, REPO) as github:
        await github.issue(3)
    assert wire.now >= NOW + 3600
    await store.set_mark("held:5", wire.now + 86_400)
    async with wire.app(marks=store).repository(5, REPO) as github:
        await github.progress().issue(3)  # no limit lasts for so long: a clock was ahead
    await store.close()


async def test_the_later_of_two_limits_is_kept(tmp_path: Path) -> None:
    """R11. Red when the last one told is kept: the next process begins 49 minutes too early (seen)."""
    words = {"message": "You have exceeded a secondary rate limit"}
    limits = [answer(403, words, {"retry-after": seconds}) for seconds in ("3000", "60")]
    wire = Wire().on(f"GET {ISSUE}", answer(200, FACTS), *limits)
    store = await open_store(f"sqlite:///{tmp_path}/bot.db")
    async with wire.app(marks=store).repository(5, REPO) as one, wire.app(marks=store).repository(5, REPO) as other:
        await other.issue(3)  # it is under way, and hears of nobody else's limit
        for github in (one, other):
            with pytest.raises(ProviderError, match="rate limit"):
                await github.progress().issue(3)
    assert (await store.mark("held:5") or 0.0) >= wire.now + 3000
    await store.close()


async def test_401_twice_is_an_error() -> None:
    wire = Wire().on(f"GET {ISSUE}", answer(401, {"message": "Bad credentials"}))
    async with wire.app().repository(5, REPO) as github:
        with pytest.raises(ProviderError, match="Bad credentials") as caught:
            await github.issue(3)
    assert (wire.minted, len(wire.calls), caught.value.retryable) == (2, 2 + len(LAG_PAUSES_S), False)


def moved_to(location: str) -> httpx.Response:
    return answer(301, {"message": "Moved Permanently"}, {"location": location})


async def test_a_renamed_repository_is_followed_to_its_id_and_writes_go_there_once() -> None:
    here = "https://api.github.com"
    wire = Wire()
    wire.on(f"POST {COMMENTS}", moved_to(f"{here}/repositories/7/issues/3/comments"))
    wire.on("GET /repos/acme/widget", moved_to(f"{here}/repositories/7"))
    wire.on("GET /repositories/7", answer(200, {"id": 7, "name": "gadget", "owner": {"login": "acme-inc"}}))
    wire.on("POST /repos/acme-inc/gadget/issues/3/comments", answer(201, COMMENT))
    async with wire.app().repository(5, REPO) as github:
        await github.create_comment(3, "hi")
        await github.create_comment(3, "again")
        assert (await github.remote()).url == "https://github.com/acme-inc/gadget.git"
    assert wire.calls == [
        f"POST {COMMENTS}",
        "GET /repos/acme/widget",
        "GET /repositories/7",
        "POST /repos/acme-inc/gadget/issues/3/comments",
        "POST /repos/acme-inc/gadget/issues/3/comments",
    ]


async def test_a_redirect_to_another_host_is_not_followed_and_sees_no_token() -> None:
    """S29. Red when httpx follows redirects by itself (tried)."""
    wire = Wire()
    wire.on(f"GET {ISSUE}", moved_to("https://evil.example/x"))
    wire.on("GET /repos/acme/widget", moved_to("https://evil.example/repositories/7"))
    async with wire.app().repository(5, REPO) as github:
        with pytest.raises(ProviderError, match="redirects to another place"):
            await github.issue(3)
    assert {request.url.host for request in wire.requests} == {"api.github.com"}


async def test_a_name_taken_over_by_another_repository_is_not_ours() -> None:
    wire = Wire()
    wire.on(f"GET {ISSUE}", moved_to("https://api.github.com/repositories/8/issues/3"))
    wire.on("GET /repos/acme/widget", answer(200, {"id": 8, "name": "widget", "owner": {"login": "acme"}}))
    async with wire.app().repository(5, REPO) as github:
        with pytest.raises(NotFound, match="another repository now"):
            await github.issue(3)


async def test_an_unexpected_redirect_is_an_error_not_an_empty_answer() -> None:
    wire = Wire().on(f"GET {ISSUE}", moved_to("https://api.github.com/repositories/7/issues/3"))
    wire.on("GET /repos/acme/widget", answer(200, {"id": 7, "name": "widget", "owner": {"login": "acme"}}))
    async with wire.app().repository(5, REPO) as github:
        with pytest.raises(ProviderError, match="unexpected redirect"):
            await github.issue(3)


async def test_lone_surrogates_and_control_characters_reach_the_wire_as_json() -> None:
    wire = Wire().on(f"POST {COMMENTS}", answer(201, COMMENT))
    async with wire.app().repository(5, REPO) as github:
        await github.create_comment(3, "a\ud800\x00\u2028b")
    assert b"\\ud800\\u0000\\u2028" in next(r.content for r in wire.requests if r.url.path == COMMENTS)


async def test_no_error_holds_a_token() -> None:
    """S1: the words of an error travel to the thread, the log and the database."""
    for broken in (answer(500), answer(401), httpx.ReadError("reset by Bearer"), answer(422, {"message": "no"})):
        wire = Wire().on(f"POST {COMMENTS}", broken)
        async with wire.app().repository(5, REPO) as github:
            with pytest.raises(ProviderError) as caught:
                await github.create_comment(3, "hi")
        assert "ghs_" not in repr(caught.value) + str(caught.value)
