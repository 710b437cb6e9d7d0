"""What the store needs of a database: transactions off the event loop, and word of other processes' changes."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
A = TypeVar("A")


class Database(Protocol):
    """`act` runs in one transaction in another thread; when it raises, nothing it did is kept.

    These calls raise ProviderError for what the database refuses, and what `act` raises.
    """

    async def write(self, act: Callable[[Connection], T]) -> T:
        """Durable before it returns."""
        ...

    async def write_together(self, act: Callable[[Connection, Sequence[A]], Sequence[T]], one: A) -> T:
        """As `write`. `act` may be given with `one` what others ask of it in the same moment, and answers for each."""
        ...

    async def read(self, act: Callable[[Connection], T]) -> T: ...

    async def become_runner(self) -> None:
        """Before the first claim. Raises UserError where another process runs the jobs and two cannot."""
        ...

    async def changed(self, timeout_s: float) -> None:
        """Returns when somebody may have written since the last call, at the latest after `timeout_s`."""
        ...

    def announce(self, connection: Connection, job_id: str) -> None:
        """Part of a writing transaction: tell the other processes, once it is committed, that a job changed."""
        ...

    def poke(self) -> None:
        """Let `changed` return at once."""
        ...

    async def close(self) -> None: ...
