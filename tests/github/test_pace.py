"""The schedule as decisions: what was sent and said, and the instant that follows."""

from dataclasses import replace
from math import inf

import pytest

from bot.github.calls import ALLOWED, kind_of
from bot.github.installation import published_limits
from bot.github.pace import HOUR_S, KEPT_FOR_RESULTS, MINUTE_S, NO_LIMITS, Kind, Limits, Priority, Traffic

NOW = 1_000.0
RESULT, PROGRESS = Priority.RESULT, Priority.PROGRESS


def sent(traffic: Traffic, kind: Kind, *times: float) -> Traffic:
    for at in times:
        traffic.sent(kind, at)
        traffic.answered(kind, at)
    return traffic


def learn(traffic: Traffic, remaining: int, resets_at: float) -> None:
    """On a clock that happens to agree with Unix time."""
    traffic.learned(remaining, resets_at, now=NOW, unix=NOW)


def every(seconds: float, count: int, *, since: float = NOW) -> tuple[float, ...]:
    return tuple(since + seconds * number for number in range(count))


def test_the_first_request_may_leave_at_once() -> None:
    for kind in ("read", "object", "content", "credential"):
        assert Traffic(Limits()).permitted_at(kind, PROGRESS, NOW) == NOW


@pytest.mark.parametrize(
    ("before", "then", "at"),
    [
        pytest.param("content", "content", NOW + 1, id="a-second-between-writes"),
        pytest.param("content", "object", NOW + 1, id="objects-are-writes"),
        pytest.param("content", "read", NOW, id="reads-are-not"),
        pytest.param("read", "content", NOW, id="nothing-waits-for-a-read"),
        pytest.param("credential", "content", NOW, id="nor-for-a-token"),
    ],
)
def test_writes_keep_their_distance(before: Kind, then: Kind, at: float) -> None:
    assert sent(Traffic(Limits()), before, NOW).permitted_at(then, RESULT, NOW) == at


def test_a_write_waits_for_the_answer_to_the_one_before() -> None:
    traffic = Traffic(Limits())
    traffic.sent("content", NOW)
    assert traffic.permitted_at("content", RESULT, NOW + 10) == inf
    assert traffic.permitted_at("read", RESULT, NOW + 10) == NOW + 10
    traffic.answered("content", NOW + 12)
    assert traffic.permitted_at("content", RESULT, NOW + 12) == NOW + 13


def test_eighty_content_writes_a_minute_and_objects_do_not_count() -> None:
    quick = Limits(seconds_between_writes=0, points_a_minute=0)
    traffic = sent(Traffic(quick), "content", *every(0.1, 80))
    assert traffic.permitted_at("content", RESULT, NOW + 10) == NOW + MINUTE_S
    assert traffic.permitted_at("object", RESULT, NOW + 10) == NOW + 10
    assert sent(Traffic(quick), "content", *every(0.1, 79)).permitted_at("content", RESULT, NOW + 10) == NOW + 10


def test_five_hundred_content_writes_an_hour() -> None:
    traffic = sent(Traffic(Limits()), "content", *every(2.0, 500))
    assert traffic.permitted_at("content", RESULT, NOW + 1_010) == NOW + HOUR_S
    later = NOW + HOUR_S + 1
    assert sent(traffic, "content", later).permitted_at("content", RESULT, later + 1) == later + 1
    assert len(traffic.content) <= 500, "what left the hour is forgotten"


def test_nine_hundred_points_a_minute_where_a_write_counts_five() -> None:
    traffic = sent(Traffic(Limits()), "read", *every(0.01, 899))
    assert traffic.permitted_at("read", RESULT, NOW + 9) == NOW + 9
    assert traffic.permitted_at("content", RESULT, NOW + 9) == pytest.approx(NOW + 0.03 + MINUTE_S)
    later = NOW + 200
    assert sent(traffic, "read", later).permitted_at("content", RESULT, later) == later
    assert len(traffic.spent) == 1, "what left the minute is forgotten"


def test_a_hundred_at_once() -> None:
    traffic = Traffic(Limits())
    for _ in range(100):
        traffic.sent("read", NOW)
    assert traffic.permitted_at("read", RESULT, NOW) == inf
    traffic.answered("read", NOW + 1)
    assert traffic.permitted_at("read", RESULT, NOW + 1) == NOW + 1


def test_progress_leaves_the_last_requests_of_the_hour_to_results() -> None:
    traffic, reset = Traffic(Limits()), NOW + 600
    learn(traffic, KEPT_FOR_RESULTS, reset)
    assert traffic.permitted_at("read", RESULT, NOW) == NOW
    assert traffic.permitted_at("read", PROGRESS, NOW) == reset + 1
    learn(traffic, 0, reset)
    assert traffic.permitted_at("read", RESULT, NOW) == reset + 1
    assert traffic.permitted_at("read", RESULT, reset + 1) == reset + 1


QUICK = Limits(seconds_between_writes=0, points_a_minute=0)


@pytest.mark.parametrize(
    ("limits", "apart_s", "count", "wait_s"),
    [
        pytest.param(QUICK, 0.5, 59, 0, id="room-in-the-minute"),
        pytest.param(QUICK, 0.5, 60, MINUTE_S - 30, id="three-quarters-of-it"),
        pytest.param(Limits(), 4.0, 299, 0, id="room-in-the-hour"),
        pytest.param(Limits(), 4.0, 300, HOUR_S - 1_200, id="three-fifths-of-it"),
        pytest.param(replace(QUICK, content_an_hour=2), 1.0, 1, HOUR_S - 1, id="one-at-least"),
        pytest.param(NO_LIMITS, 0.0, 600, 0, id="no-limit-has-no-share"),
    ],
)
def test_progress_leaves_content_writes_of_the_minute_and_the_hour_to_results(
    limits: Limits, apart_s: float, count: int, wait_s: float
) -> None:
    """Red when `permitted_at` gives progress the whole windows: seen."""
    traffic, now = sent(Traffic(limits), "content", *every(apart_s, count)), NOW + apart_s * count
    assert traffic.permitted_at("content", PROGRESS, now) == now + wait_s
    assert traffic.permitted_at("content", RESULT, now) == now


def test_what_is_under_way_counts_against_what_remains() -> None:
    traffic = Traffic(Limits())
    learn(traffic, 2, NOW + 600)
    traffic.sent("read", NOW)
    assert traffic.permitted_at("read", RESULT, NOW) == NOW
    traffic.sent("read", NOW)
    assert traffic.permitted_at("read", RESULT, NOW) == inf


def test_answers_that_overtake_one_another_do_not_raise_what_remains() -> None:
    traffic = Traffic(Limits())
    learn(traffic, 3, NOW + 600)
    learn(traffic, 7, NOW + 600)
    assert traffic.remaining == 3
    learn(traffic, 9, NOW + 300)
    assert traffic.remaining == 3
    learn(traffic, 4_999, NOW + 4_200)
    assert traffic.remaining == 4_999


def test_a_limit_holds_everybody_for_as_long_as_github_says() -> None:
    traffic = Traffic(NO_LIMITS)
    assert traffic.limited(45.0, "read", sent_at=NOW, now=NOW + 1) == 45.0
    assert traffic.limited(5.0, "read", sent_at=NOW, now=NOW + 2) == 5.0, "a shorter word does not lift a longer one"
    for kind in ("read", "object", "content", "credential"):
        assert traffic.permitted_at(kind, RESULT, NOW + 3) == NOW + 46


def test_a_limit_that_says_nothing_lasts_a_minute_then_twice_as_long_each_time() -> None:
    traffic, at, waits = Traffic(NO_LIMITS), NOW, []
    for _ in range(9):
        waits.append(traffic.limited(None, "read", sent_at=at, now=at + 1))
        at += 1 + waits[-1]
    assert waits == [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]
    traffic.accepted("read")
    assert traffic.limited(None, "read", sent_at=at, now=at) == 60


def test_reads_that_pass_do_not_shorten_what_refused_comments_wait() -> None:
    """Red when any accepted request ends the row: a minute each time, for ever (seen)."""
    traffic, at, waits = Traffic(NO_LIMITS), NOW, []
    for _ in range(3):
        waits.append(traffic.limited(None, "content", sent_at=at, now=at + 1))
        at += 1 + waits[-1]
        traffic.accepted("read")
    assert waits == [60, 120, 240]
    assert traffic.limited(None, "read", sent_at=at, now=at) == 60


def test_requests_under_way_together_that_are_refused_together_count_once() -> None:
    traffic = Traffic(NO_LIMITS)
    assert [traffic.limited(None, "read", sent_at=NOW, now=NOW + 1 + n / 10) for n in range(5)] == [60] * 5
    assert traffic.limited(None, "read", sent_at=NOW + 70, now=NOW + 71) == 120


def test_processes_share_the_limits() -> None:
    assert Limits().shared_by(1) == Limits()
    assert Limits().shared_by(3) == Limits(
        seconds_between_writes=3, content_a_minute=26, content_an_hour=166, points_a_minute=300, at_once=33
    )
    assert NO_LIMITS.shared_by(3) == NO_LIMITS
    assert Limits(at_once=2).shared_by(16).at_once == 1


def test_only_a_github_on_this_machine_is_asked_without_a_schedule() -> None:
    assert published_limits("https://api.github.com") == Limits()
    assert published_limits("https://ghe.example/api/v3", processes=2) == Limits().shared_by(2)
    assert published_limits("http://127.0.0.1:4000/api/v3") == NO_LIMITS


def test_every_request_of_the_bot_has_a_kind() -> None:
    kinds = {f"{method} {template}": kind_of(method, template) for method, template in ALLOWED}
    assert {call.rsplit("/", 1)[1] for call, kind in kinds.items() if kind == "object"} == {"blobs", "trees", "commits"}
    assert {call for call, kind in kinds.items() if kind == "credential"} == {
        "POST /app/installations/{installation_id}/access_tokens",
        "POST /app/hook/deliveries/{delivery_id}/attempts",
        "DELETE /installation/token",
    }
    assert all((kind == "read") == call.startswith("GET ") for call, kind in kinds.items())
