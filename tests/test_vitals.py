"""When a part counts as working, and how it is tried."""

import asyncio
import errno
from math import inf

import pytest

from bot.domain.errors import ProviderError
from bot.vitals import Part, Probe, Prober, Vitals, problem_of
from tests.polling import until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("age_s", "problem"),
    [
        pytest.param(None, "The runner has not worked since the start.", id="never"),
        pytest.param(0.0, None, id="now"),
        pytest.param(30.0, None, id="just-in-time"),
        pytest.param(31.4, "The runner has not worked for 31 seconds.", id="too-long-ago"),
    ],
)
def test_a_part_must_have_worked_lately(age_s: float | None, problem: str | None) -> None:
    assert problem_of("runner", age_s, within_s=30.0) == problem


def test_a_part_that_is_only_shown_is_never_red() -> None:
    vitals = Vitals(now=lambda: 9.0)
    vitals.expect("sweeper", within_s=inf)
    assert vitals.parts() == (Part("sweeper", None, None),)
    vitals.worked("sweeper")
    assert vitals.parts() == (Part("sweeper", 0.0, None),)


def test_only_what_is_expected_is_judged() -> None:
    now = [100.0]
    vitals = Vitals(now=lambda: now[0])
    vitals.worked("somebody else's")
    assert vitals.parts() == ()
    vitals.expect("runner", within_s=5.0)
    vitals.worked("runner")
    now[0] += 4
    assert vitals.parts() == (Part("runner", 4.0, None),)
    now[0] += 4
    assert vitals.parts() == (Part("runner", 8.0, "The runner has not worked for 8 seconds."),)


async def test_a_part_is_tried_again_whatever_became_of_it() -> None:
    """A problem in words and an error both count as not working; no word of either is shown to anybody. Red when a
    machine without file descriptors ends the trying: seen."""
    none_left = OSError(errno.EMFILE, "Too many open files")
    answers: list[object] = [None, "bad key sk-123", ProviderError("github", "key sk-123"), none_left, None]
    tried: list[object] = []

    async def attempt() -> str | None:
        answer = answers[len(tried)] if len(tried) < len(answers) else "over"
        tried.append(answer)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, str) else None

    now = [100.0]
    vitals, stop = Vitals(now=lambda: now[0]), asyncio.Event()
    running = asyncio.create_task(Prober(vitals, [Probe("github", 0.01, attempt)]).run(stop))
    await until(lambda: len(tried) >= 7)
    now[0] += 7
    assert vitals.parts() == (Part("github", 7.0, "GitHub has not answered as it should for 7 seconds."),)
    stop.set()
    await running
    seen = len(tried)
    await asyncio.sleep(0.03)
    assert len(tried) == seen, "nothing is tried after the end"
