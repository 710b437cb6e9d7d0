"""A claimed job's lease as its holder sees it: until when the job is surely ours."""

import asyncio
import time
from collections.abc import Callable

import structlog

from bot.domain.errors import LeaseLost, ProviderError
from bot.ports import Claim, Queue

SURE = 2 / 3  # of a lease; the rest is for requests under way, and for another worker's faster clock

log = structlog.get_logger()


def boot_time() -> float:
    """Seconds on a clock that nobody sets and that goes on while the process is stopped or the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class KeptLease:
    """Keeps `ports.Lease`. It counts from when a renewal was sent, so it ends before the store's own clock says so."""

    def __init__(self, store: Queue, claim: Claim, *, claimed_at: float, now: Callable[[], float] = boot_time) -> None:
        """`claimed_at`: `now()` before the claim was sent."""
        self._store = store
        self._claim = claim
        self._now = now
        self._sure_until = claimed_at + claim.lease_s * SURE
        self._cancelled_by = claim.cancel_by
        self._given_up = False

    @property
    def claim(self) -> Claim:
        return self._claim

    @property
    def cancelled_by(self) -> str | None:
        return self._cancelled_by

    @property
    def beat_s(self) -> float:
        """How long to wait between renewals."""
        return self._claim.lease_s / 6

    async def hold(self) -> None:
        if self._given_up:
            raise LeaseLost("the work on this job was given up here")
        if self._now() >= self._sure_until:
            await self.renew()

    async def renew(self) -> None:
        """Raises LeaseLost when another worker has the job, or may have it since the store could not be asked."""
        asked_at = self._now()
        try:
            async with asyncio.timeout(max(self._sure_until - asked_at, self.beat_s)):
                wish = await self._store.renew(self._claim)
        except LeaseLost:
            self._given_up = True
            raise
        except (ProviderError, TimeoutError) as error:
            if self._now() >= self._sure_until:
                self._given_up = True
                raise LeaseLost("the lease could not be renewed in time") from error
            log.warning("lease not renewed yet", error=str(error) or "the store does not answer")
            return
        self._sure_until = asked_at + self._claim.lease_s * SURE
        self._cancelled_by = self._cancelled_by or wish

    def give_up(self) -> None:
        """Nothing may be done in this job's name any more."""
        self._given_up = True
