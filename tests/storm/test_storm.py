"""kill -9 before and after every effect of a whole job: nothing is lost, and nothing happens twice.

Red with each of these taken away, one at a time (tried): the look for our comment before one is written, the look for
our check, the look for an end that an earlier attempt recorded, the journal, the work tree beside it. Green without the
look for the pull request, since GitHub refuses a second one for a branch.
"""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stores.postgres import Postgres
from tests.storm.effects import Kill, When
from tests.storm.promises import CHECKS, COMMENTS, LOST, OPEN, PROMISES, TWICE, Fault
from tests.storm.storm import STARTING, Outcome, Storm, storm
from tests.storm.table import table

pytestmark = pytest.mark.anyio
SIDES: tuple[When, When] = ("before", "after")
IN_THE_MIDDLE = Kill("model ask #2", "before")
EVERY = 19  # of the kills, in `make test`
RANDOM_KILLS = 200


def kills_in(clean: Outcome) -> list[Kill]:
    return [Kill(effect, side) for effect in clean.effects for side in SIDES]


def test_the_table_counts_jobs_and_leaves_no_death_out() -> None:
    comment, again, commit = (
        Kill("github comment #1", "before"),
        Kill("github comment #2", "after"),
        Kill("commit #9", "after"),
    )
    faulty = Outcome(deaths=(comment, again, commit), faults=(Fault(TWICE, "ran"), Fault(LOST, "gone")), effects=())
    shown = table("a storm", [faulty, Outcome(deaths=(), faults=(), effects=())], meant=[comment, again])
    rows = [[cell.strip() for cell in line.strip("│┃ ").split("│")] for line in shown.split("\n") if "│" in line]
    assert rows == [
        ["commit", "0", "0", "1", "1"],
        ["github comment", "2", "1", "1", "1"],
        ["2 jobs, 3 kills", "2", "1", "2", "1"],
    ]
    assert shown.split("\n")[-1].split(", ") == [f"{int(kind in (TWICE, LOST))} {kind}" for kind in PROMISES]


@pytest.mark.timeout(300)
async def test_a_job_whose_worker_is_killed_again_and_again_comes_to_its_one_end(tmp_path: Path) -> None:
    """Every nineteenth place of all, one after the other, in one job."""
    async with storm(tmp_path / "storm") as here:
        clean = await here.run()
        assert clean.faults == ()
        kills = kills_in(clean)[3::EVERY]
        outcome = await here.run(kills)
        assert outcome.faults == ()
        assert len(outcome.deaths) >= len(kills) - 1


async def test_who_loses_access_between_two_attempts_leaves_no_check_open(tmp_path: Path) -> None:
    """Red when a later attempt refuses as if it were the first (tried)."""
    kills = [IN_THE_MIDDLE, Kill("github create_check_run #1", "after")]
    async with storm(tmp_path / "storm") as here:
        outcome = await here.run(kills, between=lambda deaths: here.role("write" if deaths == 1 else "read"))
    assert list(outcome.deaths) == kills
    assert outcome.faults[0] == (LOST, "['failed']")
    assert not {OPEN, COMMENTS, CHECKS}.intersection(fault.promise for fault in outcome.faults)


def shared_out(kills: list[Kill], a_job: int) -> list[list[Kill]]:
    """So many kills to a job, those of one job far apart."""
    jobs = -(-len(kills) // a_job)
    return [kills[first::jobs] for first in range(jobs)]


async def every_kill(here: Storm, title: str, *, a_job: int, record: Callable[[str, object], None]) -> None:
    """Each effect of a whole job; then each on GitHub of a second attempt, which finds what the first one left."""
    clean, second = await here.run(), await here.run([IN_THE_MIDDLE])
    assert (clean.faults, second.faults) == ((), ())
    later = [kill for kill in kills_in(second) if kill.effect.startswith("github")]
    plans = shared_out(kills_in(clean), a_job) + [[IN_THE_MIDDLE, *kills] for kills in shared_out(later, a_job)]
    outcomes = [await here.run(plan) for plan in plans]
    record("table", table(title, outcomes, meant=[kill for plan in plans for kill in plan]))
    assert [(outcome.deaths, outcome.faults) for outcome in outcomes if outcome.faults] == []
    assert sum(len(outcome.deaths) for outcome in outcomes) > 0.95 * sum(map(len, plans))


@pytest.mark.slow
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize(
    ("drops", "duplicates"),
    [
        pytest.param(False, False, id="clean"),
        pytest.param(True, False, id="replies-dropped"),
        pytest.param(False, True, id="duplicates"),
    ],
)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_a_kill_before_and_after_every_effect(
    tmp_path: Path,
    postgres: Postgres,
    database: str,
    drops: bool,
    duplicates: bool,
    record_property: Callable[[str, object], None],
) -> None:
    url = postgres.new_database() if database == "postgres" else ""
    async with storm(tmp_path / "storm", database_url=url, drops=drops, duplicates=duplicates) as here:
        network = "replies dropped" if drops else "duplicate deliveries" if duplicates else "clean network"
        a_job = 6 if url or drops or duplicates else 1
        await every_kill(here, f"{database}, {network}", a_job=a_job, record=record_property)


@pytest.mark.slow
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_kills_at_random_instants(
    tmp_path: Path, postgres: Postgres, database: str, record_property: Callable[[str, object], None]
) -> None:
    """Every one of them falls after its worker has claimed the job."""
    url, chance = postgres.new_database() if database == "postgres" else "", random.Random(database)
    outcomes: list[Outcome] = []
    async with storm(tmp_path / "storm", database_url=url, duplicates=True) as here:
        began = time.monotonic()
        await here.run()
        here.job_s = time.monotonic() - began
        while sum(len(outcome.deaths) for outcome in outcomes) < RANDOM_KILLS:
            outcomes.append(await here.run(chance=chance))
    record_property("table", table(f"{database}, random instants", outcomes))
    assert STARTING not in [death for outcome in outcomes for death in outcome.deaths]
    assert [(outcome.deaths, outcome.faults) for outcome in outcomes if outcome.faults] == []
