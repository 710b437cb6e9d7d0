"""How long a holder may believe in its lease, on a clock the test moves."""

import asyncio
from collections.abc import Callable

import pytest

from bot.domain.errors import LeaseLost, ProviderError
from bot.lease import KeptLease, boot_time
from bot.ports import Claim
from tests.polling import WITHIN_S
from tests.stores.samples import a_job

pytestmark = pytest.mark.anyio

LEASE_S = 30.0
SURE_S = 20.0


class Renewals:
    """The one call of `ports.Queue` a lease makes. `answer` runs at each renewal; it may raise."""

    def __init__(self) -> None:
        self.times = 0
        self.answer: Callable[[], str | None] = lambda: None
        self.hangs = False

    async def renew(self, claim: Claim) -> str | None:
        self.times += 1
        if self.hangs:
            await asyncio.Event().wait()
        return self.answer()

    async def claim(self, owner: str, *, job_id: str | None = None) -> Claim | None:
        return None

    async def release(self, claim: Claim, *, after_s: float = 0.0) -> None:
        return

    async def cancelled(self, claim: Claim) -> str | None:
        return None

    async def wait_for_work(self, timeout_s: float) -> None:
        return


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def fails() -> str | None:
    raise ProviderError("store", "the disk is full", retryable=True)


def gone() -> str | None:
    raise LeaseLost("another's")


def lease(renewals: Renewals, clock: Clock, *, lease_s: float = LEASE_S, cancel_by: str | None = None) -> KeptLease:
    return KeptLease(renewals, Claim(a_job("a"), 1, 1, cancel_by, lease_s), claimed_at=clock.at, now=clock)


async def test_an_effect_costs_nothing_while_the_lease_is_sure_and_is_asked_for_afterwards() -> None:
    renewals, clock = Renewals(), Clock()
    held = lease(renewals, clock)
    clock.at += SURE_S - 0.1
    await held.hold()
    assert renewals.times == 0
    clock.at += 0.2
    await held.hold()
    await held.hold()
    assert renewals.times == 1


async def test_after_a_freeze_nothing_is_done_in_the_name_of_a_job_that_has_another_owner() -> None:
    """R5; red when `hold` asks nobody (tried)."""
    renewals, clock = Renewals(), Clock()
    held = lease(renewals, clock)
    clock.at += 3600
    renewals.answer = gone
    with pytest.raises(LeaseLost):
        await held.hold()
    renewals.answer = lambda: None
    with pytest.raises(LeaseLost, match="given up"):
        await held.hold()


async def test_a_job_that_nobody_took_meanwhile_goes_on_after_a_freeze() -> None:
    renewals, clock = Renewals(), Clock()
    held = lease(renewals, clock)
    clock.at += 3600
    await held.hold()
    assert renewals.times == 1


async def test_the_lease_counts_from_when_the_renewal_was_sent() -> None:
    """Red when it counts from the answer: the store's clock ran all the while (tried)."""
    renewals, clock = Renewals(), Clock()
    held = lease(renewals, clock)

    def slowly() -> None:
        clock.at += 15

    renewals.answer = slowly
    await held.renew()
    renewals.answer = lambda: None
    clock.at += SURE_S - 15 + 0.1
    await held.hold()
    assert renewals.times == 2


async def test_a_store_that_fails_for_a_while_ends_nothing_and_for_too_long_ends_the_job() -> None:
    renewals, clock = Renewals(), Clock()
    held = lease(renewals, clock)
    renewals.answer = fails
    clock.at += SURE_S - 1
    await held.renew()
    await held.hold()
    clock.at += 2
    with pytest.raises(LeaseLost, match="could not be renewed in time"):
        await held.renew()


async def test_a_store_that_does_not_answer_is_as_bad_as_one_that_fails() -> None:
    """On the real clock; red when the renewal may take for ever (tried: the job would go on without a lease)."""
    renewals = Renewals()
    renewals.hangs = True
    held = KeptLease(renewals, Claim(a_job("a"), 1, 1, None, 0.3), claimed_at=boot_time())
    async with asyncio.timeout(WITHIN_S):
        with pytest.raises(LeaseLost):
            await held.renew()


async def test_the_first_wish_to_cancel_is_kept() -> None:
    renewals, clock = Renewals(), Clock()
    held = lease(renewals, clock)
    assert held.cancelled_by is None
    renewals.answer = lambda: "octocat"
    await held.renew()
    renewals.answer = lambda: None
    await held.renew()
    assert held.cancelled_by == "octocat"
    assert lease(renewals, clock, cancel_by="hubot").cancelled_by == "hubot"
