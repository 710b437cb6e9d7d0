"""A job's last event, and whether a failure is one yet."""

from dataclasses import replace

import pytest

from bot.agent.steering import REOPENED, SEALED, TOO_LATE, message, taken_back
from bot.domain.errors import LimitReached, ProviderError
from bot.domain.events import BranchMoved, Conclusion, JobEvent, JobFinished, PullRequestOpened, Recorded
from bot.domain.job import Person
from bot.last_word import RESTED, cancelled, may_retry, rest_s, with_afterword
from bot.ports import Claim, Entry
from tests.report.samples import job

BRANCH = "backspace/1-0a1b2c3d"
BEGUN = BranchMoved(BRANCH, "a" * 40, created=True)
PUSHED = BranchMoved(BRANCH, "b" * 40, created=False)
TAKEN_UP = BranchMoved(BRANCH, "a" * 40, created=False)
OPENED = PullRequestOpened(7, "https://github.com/acme/widget/pull/7", False, ())


@pytest.mark.parametrize(
    ("events", "words"),
    [
        pytest.param([], "", id="nothing"),
        pytest.param([BEGUN], "", id="an-empty-branch-is-dropped"),
        pytest.param(
            [BEGUN, PUSHED],
            f" Its change is on the branch `{BRANCH}`; no pull request was opened: open one by hand, or ask again.",
            id="a-branch-alone",
        ),
        pytest.param([TAKEN_UP, PUSHED], f" Its change is on the branch `{BRANCH}` already.", id="of-an-earlier-job"),
        pytest.param([BEGUN, PUSHED, OPENED], " Its change is in #7 already.", id="a-pull-request"),
    ],
)
def test_a_cancel_names_what_is_on_github_already(events: list[JobEvent], words: str) -> None:
    recorded = [Recorded(number, 1.0, event) for number, event in enumerate(events, 1)]
    assert cancelled("alice", recorded).message == f"**Cancelled** by @alice.{words}"


AWAY = ProviderError("github", "no answer", retryable=True)
RESTS = [Entry("effect", RESTED, {"attempt": attempt}) for attempt in range(1, 20)]
HANDED_IN, CALLED_BACK = Entry("effect", SEALED, {}), Entry("effect", REOPENED, {})


@pytest.mark.parametrize(
    ("error", "entries", "rests"),
    [
        pytest.param(AWAY, (), [15, 60], id="two-tries-more"),
        pytest.param(AWAY, (HANDED_IN,), [15, 60, 300, 300, 600, 600, 600, 600], id="fifty-minutes-for-work"),
        pytest.param(AWAY, (HANDED_IN, CALLED_BACK), [15, 60], id="which-was-called-back"),
        pytest.param(ProviderError("docker", "gone", retryable=True), (HANDED_IN,), [15, 60], id="another-provider"),
        pytest.param(ProviderError("github", "forbidden"), (HANDED_IN,), [], id="no-later-try-can-help"),
        pytest.param(LimitReached("used"), (HANDED_IN,), [], id="no-provider"),
        pytest.param(ProviderError("github", "x", True, 7.0), (), [7, 7], id="as-long-as-it-says"),
    ],
)
def test_a_provider_that_fails_is_given_time(
    error: ProviderError, entries: tuple[Entry, ...], rests: list[float]
) -> None:
    """Tries before the work was handed in are not counted after it. Red when they are: seen."""
    tried: list[float] = []
    before = (*RESTS[:2], *entries) if entries else ()
    while may_retry(error, claim := Claim(job(), 1, 3 + len(tried), None), (*before, *RESTS[2 : 2 + len(tried)])):
        tried.append(rest_s(error, claim, (*before, *RESTS[2 : 2 + len(tried)])))
    assert tried == rests


def test_a_rest_that_is_written_down_already_counts_from_the_next_attempt_on() -> None:
    third = Claim(job(), 1, 3, None)
    assert may_retry(AWAY, third, (RESTS[0], RESTS[2]))
    assert rest_s(AWAY, third, (RESTS[0], RESTS[2])) == 60
    assert not may_retry(AWAY, third, RESTS[:2])


def test_whose_words_the_agent_did_not_read_is_named_unless_they_were_taken_back() -> None:
    end, people = JobFinished(Conclusion.FAILURE, "**Failed**: no."), (Person(7, "bob"), Person(8, "carol"))
    said = [message(comment_id=who.id, author=who, text="x", key=who.login) for who in people]
    back = taken_back(comment_id=7, author="bob", key="bob", change="deleted")
    read = Entry("effect", "user", {"texts": [], "heard": 2})
    assert with_afterword(end, said).message == f"**Failed**: no. {TOO_LATE} It was said by @bob, @carol."
    assert with_afterword(end, [*said, back]).message.endswith("by @carol.")
    assert with_afterword(end, [*said, read]) == with_afterword(end, ()) == end


def test_a_database_that_is_away_uses_up_no_try() -> None:
    locked = ProviderError("store", "locked", retryable=True)
    assert may_retry(locked, Claim(job(), 1, 9, None), RESTS)
    assert not may_retry(replace(locked, retryable=False), Claim(job(), 1, 9, None), ())
