"""The reporter against a thread that can fail: one comment, one check a head, the last state always there."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import cast

import pytest

from bot.domain.conversation import Usage
from bot.domain.errors import AmbiguousWrite, BotError, LeaseLost, NotFound, ProviderError
from bot.domain.events import BranchMoved, Conclusion, JobFinished, ModelAnswered, Noted, Recorded, Steered
from bot.ports import CheckRun, Comment, GitHub
from bot.report.leaks import Leaks
from bot.reporter import Reporter
from tests.report.samples import LINKS, finished, job, log, running

pytestmark = pytest.mark.anyio
FIRST, SECOND = "1" * 40, "2" * 40


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Thread:
    """The comments and check runs of one issue, as the port promises them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.comments: dict[int, str] = {}
        self.checks: dict[int, tuple[str, str, CheckRun]] = {}
        self.writes: list[tuple[float, str]] = []
        self.failing: Callable[[str], BotError | None] = lambda _: None
        self.dropped_answer = False

    def progress(self) -> "Thread":
        return self

    def _write(self, what: str) -> None:
        if (error := self.failing(what)) is not None:
            raise error
        self.writes.append((self.clock.now, what))

    async def find_comment(self, issue: int, marker: str) -> Comment | None:
        assert issue == 12
        return next((Comment(n, "", text) for n, text in self.comments.items() if marker in text), None)

    async def create_comment(self, issue: int, body: str) -> Comment:
        self._write("create comment")
        number = len(self.comments) + 1
        self.comments[number] = body
        if self.dropped_answer:
            self.dropped_answer = False
            raise AmbiguousWrite("github", "the answer was lost", retryable=True)
        return Comment(number, "", body)

    async def update_comment(self, comment_id: int, body: str) -> None:
        if comment_id not in self.comments:
            raise NotFound("github", "gone", status=404)
        self._write("update comment")
        self.comments[comment_id] = body

    async def find_check_run(self, head_sha: str, external_id: str) -> int | None:
        return next((n for n, (head, name, _) in self.checks.items() if (head, name) == (head_sha, external_id)), None)

    async def create_check_run(self, head_sha: str, check: CheckRun, *, external_id: str, details_url: str) -> int:
        assert details_url == LINKS.page
        self._write("create check")
        self.checks[len(self.checks) + 1] = (head_sha, external_id, check)
        return len(self.checks)

    async def update_check_run(self, check_run_id: int, check: CheckRun) -> None:
        self._write("update check")
        head, name, _ = self.checks[check_run_id]
        self.checks[check_run_id] = (head, name, check)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def thread(clock: Clock) -> Thread:
    return Thread(clock)


def reporter(thread: Thread, *, leaks: Leaks | None = None) -> Reporter:
    return Reporter(
        job(),
        github=cast(GitHub, thread),
        links=LINKS,
        leaks=leaks or Leaks([]),
        now=lambda: 1_200.0,
        monotonic=thread.clock,
        sleep=thread.clock.sleep,
    )


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_job_has_one_comment_and_ends_in_its_last_state(thread: Thread) -> None:
    async with reporter(thread) as reporting:
        for recorded in log(finished()):
            reporting.notice([recorded])
            await settled()
    assert list(thread.comments) == [1]
    assert thread.comments[1].startswith("<!-- backspace:job:k7f3 -->\n**Opened #42** in 2 min 30 s")
    assert [(head, check.conclusion) for head, _, check in thread.checks.values()] == [
        (FIRST, Conclusion.NEUTRAL),
        (SECOND, Conclusion.SUCCESS),
    ]
    assert thread.checks[1][2].title == "Superseded"


async def test_the_comment_links_to_the_check(thread: Thread) -> None:
    async with reporter(thread) as reporting:
        reporting.notice(log(running()))
        await settled()
        assert " · [check](https://github.com/acme/widget/runs/1) · " in thread.comments[1]


async def test_the_first_comment_says_that_the_work_is_going_on(thread: Thread) -> None:
    async with reporter(thread) as reporting:
        reporting.notice(log(running())[:1])
        await settled()
        assert "\n**Working on it** · run k7f3 · " in thread.comments[1]


async def test_updates_are_ten_seconds_apart(thread: Thread) -> None:
    """Red when `_keep_up` does not ask `seconds_until_due` (tried)."""
    started = log(running())
    async with reporter(thread) as reporting:
        reporting.notice(started)
        for turn in range(3, 40):
            answered = ModelAnswered(turn, "m", "", Usage(), 0.01, 1.0)
            reporting.notice([Recorded(len(started) + turn, 1_000.0, answered)])
            await settled()
        times = [at for at, what in thread.writes if what.endswith("comment")]
    assert len(times) > 3
    assert all(later - earlier >= 10.0 for earlier, later in pairwise(times))


async def test_an_unchanged_state_is_not_written_again(thread: Thread) -> None:
    async with reporter(thread) as reporting:
        reporting.notice(log(running()))
        await settled()
        written = len(thread.writes)
        reporting.notice([])
        await settled()
    assert len(thread.writes) == written


async def test_the_end_does_not_wait_for_the_pace(thread: Thread) -> None:
    events = log(finished())
    async with reporter(thread) as reporting:
        reporting.notice(events[:5])
        await settled()
        thread.clock.slept.clear()
        reporting.notice(events[5:])
        await reporting.close()
        assert thread.comments[1].split("\n")[1].startswith("**Opened #42**")
    assert thread.clock.slept == []


def never_rested(thread: Thread) -> Reporter:
    """Whoever has to wait waits for ever."""

    async def sleep(_: float) -> None:
        await asyncio.Event().wait()

    now = thread.clock
    return Reporter(
        job(), github=cast(GitHub, thread), links=LINKS, leaks=Leaks([]), now=now, monotonic=now, sleep=sleep
    )


SPOKEN = Recorded(99, 1_000.0, Steered("bob", "bob said: make it blue"))


async def test_a_later_attempt_on_the_same_head_finds_the_check_of_the_first(thread: Thread) -> None:
    """R4. Red when a check is made without a look for one: seen."""
    for _ in range(2):
        async with reporter(thread) as reporting:
            reporting.notice(log(running()))
            await reporting.close()
    assert list(thread.checks) == [1]


async def test_who_spoke_to_the_agent_sees_at_once_that_it_arrived(thread: Thread) -> None:
    """Red when a message waits for the pace as all else does (seen)."""
    async with never_rested(thread) as reporting:
        reporting.notice(log(running()))
        await settled()
        reporting.notice([Recorded(98, 1_000.0, Noted("something else"))])
        await settled()
        assert "bob said" not in thread.comments[1]
        reporting.notice([SPOKEN])
        await settled()
        assert "bob said: make it blue" in thread.comments[1]


async def test_a_message_to_the_agent_breaks_no_limit_of_github(thread: Thread) -> None:
    """R11. Red when it ends that wait too (seen)."""
    left = [ProviderError("github", "rate limited", retryable=True, retry_after_s=45.0, status=403)]
    thread.failing = lambda _: left.pop() if left else None
    async with never_rested(thread) as reporting:
        reporting.notice(log(running()))
        await settled()
        written = len(thread.writes)
        reporting.notice([SPOKEN])
        await settled()
        assert len(thread.writes) == written
        await reporting.abandon()


async def test_another_attempt_finds_comment_and_check_again(thread: Thread) -> None:
    async with reporter(thread) as first:
        first.notice(log(running()))
    async with reporter(thread) as second:
        second.notice(log(finished()))
    assert (len(thread.comments), len(thread.checks)) == (1, 2)
    assert thread.checks[1][2].title == "Superseded"


async def test_a_comment_whose_answer_was_lost_is_not_made_twice(thread: Thread) -> None:
    thread.dropped_answer = True
    async with reporter(thread) as reporting:
        reporting.notice(log(running()))
    assert list(thread.comments) == [1]


async def test_a_deleted_comment_is_made_again(thread: Thread) -> None:
    async with reporter(thread) as reporting:
        reporting.notice(log(running()))
        await settled()
        thread.comments.clear()
        reporting.notice(log(finished())[len(running()) :])
    assert list(thread.comments) == [1]


async def test_a_failing_github_never_reaches_the_job_and_gets_the_last_state_later(thread: Thread) -> None:
    left = [ProviderError("github", "HTTP 502", retryable=True, status=502)] * 7
    thread.failing = lambda _: left.pop() if left else None
    async with reporter(thread) as reporting:
        reporting.notice(log(finished()))
    assert "**Opened #42**" in thread.comments[1]
    assert thread.checks[1][2].conclusion is Conclusion.SUCCESS


async def test_a_thread_that_is_gone_does_not_leave_the_check_open(thread: Thread) -> None:
    """R8. Red when the comment's final failure hides the check's, which passes: the end counts as told (seen)."""
    fails = {
        "comment": NotFound("github", "gone", status=410),
        "check": ProviderError("github", "down", retryable=True),
    }
    thread.failing = lambda what: fails[what.split()[1]]
    async with reporter(thread) as reporting:
        reporting.notice(log(finished()))
        assert not await reporting.close()


async def test_a_limit_is_waited_for(thread: Thread) -> None:
    left = [ProviderError("github", "rate limited", retryable=True, retry_after_s=45.0, status=403)]
    thread.failing = lambda _: left.pop() if left else None
    async with reporter(thread) as reporting:
        reporting.notice(log(finished()))
        await settled()
    assert thread.clock.now >= 45.0
    assert len(thread.comments) == 1


async def test_the_end_does_not_wait_for_what_held_progress_up(thread: Thread, clock: Clock) -> None:
    """Red when `close` keeps to what progress was told (tried)."""
    events = log(finished())
    left = [ProviderError("github", "rate limited", retryable=True, retry_after_s=2_400.0, status=429)]
    thread.failing = lambda _: left.pop() if left else None

    async def sleep(seconds: float) -> None:
        if seconds > 60:
            await asyncio.Event().wait()
        await clock.sleep(seconds)

    reporting = Reporter(
        job(),
        github=cast(GitHub, thread),
        links=LINKS,
        leaks=Leaks([]),
        now=lambda: 1_200.0,
        monotonic=clock,
        sleep=sleep,
    )
    async with asyncio.timeout(60), reporting:
        reporting.notice(events[:5])
        await settled()
        reporting.notice(events[5:])
    assert "**Opened #42**" in thread.comments[1]


async def test_a_job_that_comes_back_holds_nobody_up_with_its_last_words(thread: Thread) -> None:
    """Red when the block closes as at the job's end, with tries for half a minute (seen)."""
    thread.failing = lambda _: ProviderError("github", "down", retryable=True)

    async def work() -> None:
        async with reporter(thread) as reporting:
            reporting.notice(log(running()))
            await settled()
            raise ProviderError("github", "down", retryable=True)

    with pytest.raises(ProviderError):
        await work()
    assert {1.0, 2.0, 4.0, 8.0, 16.0}.isdisjoint(thread.clock.slept)


async def test_a_dead_github_is_given_up_after_six_tries(thread: Thread) -> None:
    thread.failing = lambda _: ProviderError("github", "down", retryable=True)
    async with reporter(thread) as reporting:
        reporting.notice(log(finished()))
    assert thread.clock.slept[-5:] == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert thread.comments == {}


@pytest.mark.parametrize("error", [LeaseLost("another worker"), asyncio.CancelledError()], ids=["lease", "cancelled"])
async def test_who_lost_the_job_writes_nothing_more(thread: Thread, error: BaseException) -> None:
    """R5; red when `__aexit__` always closes (tried)."""

    async def work() -> None:
        async with reporter(thread) as reporting:
            reporting.notice(log(running()))
            await settled()
            reporting.notice(log(finished())[len(running()) :])
            raise error

    with pytest.raises(type(error)):
        await work()
    assert "**Working on it**" in thread.comments[1]


async def test_a_secret_is_withheld(thread: Thread) -> None:
    """S3 again, at the last door; red when the reporter checks nothing (tried)."""
    secret = "ghs_0123456789abcdefghijklmnop"
    async with reporter(thread, leaks=Leaks([secret])) as reporting:
        reporting.notice(log([*running(), Noted("fine"), BranchMoved("b", secret, True)]))
        reporting.notice([Recorded(99, 1.0, JobFinished(Conclusion.FAILURE, f"**Failed**: {secret}"))])
    assert thread.comments == {}
    assert thread.checks == {}
