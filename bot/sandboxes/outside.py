"""What a sandbox served from inside has on the outside: what the helper says, what keeps it alive, its way out."""

from collections.abc import Sequence
from typing import Protocol


class Stream(Protocol):
    """What the helper says."""

    async def readexactly(self, count: int, /) -> bytes:
        """Raises EOFError, OSError."""
        ...


class Lifeline(Protocol):
    """What keeps the sandbox alive, from outside."""

    def kill(self) -> None:
        """Everything inside dies at once. May be called twice."""
        ...

    async def gone(self) -> None:
        """Returns when nothing is left."""
        ...

    async def leave(self) -> None:
        """Let go of it: what is inside stays for whoever opens it next, or dies where nobody could."""
        ...


class Network(Protocol):
    """The way out of one sandbox in its setup phase, from outside."""

    def prepare(self) -> bool:
        """Whether the helper inside is to listen, which it is told next. Raises ProviderError."""
        ...

    async def open(self, names: Sequence[str]) -> dict[str, str]:
        """Once the helper inside was told to listen, if so. Environment of commands that makes them go this way.

        Raises ProviderError.
        """
        ...

    async def close(self) -> tuple[str, ...]:
        """The way is gone. May be called without `open`. What was refused, as `Sandbox.end_network` says."""
        ...
