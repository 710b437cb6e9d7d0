"""Seconds and numbers that were promised, held as literals: a constant that drifts past its promise is red here."""

import pytest

from bot import lease, runner, vitals
from bot.ports import Claim
from bot.stores import QueueLimits, reports
from bot.upkeep import orphans, reaper, sweeper
from bot.web import door
from tests.stores.samples import a_job
from tests.test_lease import Renewals

A_MINUTE, A_DAY = 60.0, 86_400.0


@pytest.mark.parametrize(
    ("seconds", "at_most"),
    [
        pytest.param(runner.GRACE_S + runner.RELEASE_WITHIN_S, 10.0, id="SIGTERM-to-the-end"),
        pytest.param(door.BODY_SECONDS, 10.0, id="GitHub-waits-ten-seconds-for-an-answer"),
        pytest.param(sweeper.SECONDS_BETWEEN_SWEEPS, 10 * A_MINUTE, id="R6-between-sweeps"),
        pytest.param(3 * reaper.LOOKS_EVERY_S + (1 + 2) * reports.TELLING_S, 15 * A_MINUTE, id="R8-in-three-tries"),
        pytest.param(reaper.TELLING_S + reaper.LOOKS_EVERY_S, reports.TELLING_S, id="R5-an-end-is-told-by-one"),
        pytest.param(2 * orphans.SECONDS_BETWEEN_LOOKS, 5 * A_MINUTE, id="R9-also-if-one-look-fails"),
        pytest.param(vitals.MISSES, 3, id="a-part-is-red-after-three-rounds"),
    ],
)
def test_a_promised_bound_is_kept(seconds: float, at_most: float) -> None:
    """Each red with a larger constant: seen."""
    assert 0 < seconds <= at_most


def test_github_s_three_days_of_deliveries_are_looked_through() -> None:
    """R6; docs.github.com: deliveries of the past three days can be redelivered."""
    assert sweeper.KEPT_S == 3 * A_DAY


def test_a_lease_lasts_thirty_seconds_and_its_heart_beats_every_ten_or_sooner() -> None:
    """The store's page; red with one beat a lease: seen."""
    claim = Claim(a_job("a"), fence=1, attempts=1, cancel_by=None)
    assert (QueueLimits().lease_s, claim.lease_s) == (30.0, 30.0)
    assert lease.KeptLease(Renewals(), claim, claimed_at=0.0).beat_s <= 10.0


def test_four_jobs_work_at_once_and_two_of_them_for_one_installation() -> None:
    """What a store allows that is not told otherwise; three deaths: R17. Red with any other default: seen."""
    limits = QueueLimits()
    assert (limits.running, limits.running_per_installation, limits.answering, limits.deaths) == (4, 2, 8, 3)
