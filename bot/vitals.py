"""How the parts of this process fare: when each last worked, and whether that is recent enough."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import inf

import structlog

from bot.domain.errors import BotError

log = structlog.get_logger()

_IN_WORDS = {
    "github": "GitHub has not answered as it should",
    "model": "No model has answered as it should",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part as it may be shown to anybody: `age_s` since it last worked (None: never yet), and one sentence.

    The sentence says no more than what is red; why stands in the log.
    """

    name: str
    age_s: float | None
    problem: str | None


class Vitals:
    """Written by the parts as they work, read by the health answers. One a process."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._within_s: dict[str, float] = {}
        self._worked_at: dict[str, float] = {}
        self.leases_lost = 0
        self.gaps = 0  # times that requests may be lost, as they are older than what is looked through

    def expect(self, name: str, *, within_s: float) -> None:
        """From now on this part is needed, and must have worked within so many seconds; infinity: its age is shown."""
        self._within_s[name] = within_s

    def worked(self, name: str) -> None:
        self._worked_at[name] = self._now()

    def parts(self) -> tuple[Part, ...]:
        """Every expected part, in the order they were expected."""
        return tuple(self._part(name, within_s) for name, within_s in self._within_s.items())

    def _part(self, name: str, within_s: float) -> Part:
        worked_at = self._worked_at.get(name)
        age = None if worked_at is None else max(0.0, self._now() - worked_at)
        return Part(name, age, problem_of(name, age, within_s=within_s))


def problem_of(name: str, age_s: float | None, *, within_s: float) -> str | None:
    if within_s == inf or (age_s is not None and age_s <= within_s):
        return None
    since = "since the start" if age_s is None else f"for {age_s:.0f} seconds"
    return f"{_IN_WORDS.get(name, f'The {name} has not worked')} {since}."


@dataclass(frozen=True, slots=True)
class Probe:
    """A part that is tried now and then. `attempt` answers a problem for the operator, None when there is none."""

    part: str
    every_s: float
    attempt: Callable[[], Awaitable[str | None]]


MISSES = 3  # rounds a probe may fail before its part is red
PATIENCE_S = 30.0  # for one attempt


class Prober:
    """Tries each part at its pace; logs when one begins to fail, and when it works again."""

    def __init__(self, vitals: Vitals, probes: Sequence[Probe]) -> None:
        self._vitals = vitals
        self._probes = probes
        for probe in probes:
            vitals.expect(probe.part, within_s=MISSES * probe.every_s)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        tasks = [asyncio.create_task(self._keep_trying(probe)) for probe in self._probes]
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_trying(self, probe: Probe) -> None:
        failed = ""
        while True:
            problem = await _problem(probe)
            if problem is None:
                self._vitals.worked(probe.part)
                if failed:
                    log.info("part works again", part=probe.part)
            elif problem != failed:
                log.warning("part fails", part=probe.part, problem=problem)
            failed = problem or ""
            await asyncio.sleep(probe.every_s)


async def _problem(probe: Probe) -> str | None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await probe.attempt()
    except BotError as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {PATIENCE_S:g} seconds"
    except OSError as error:  # such as no file descriptor left, which comes back
        return f"it could not be tried: {error.strerror or type(error).__name__}"
