"""A sandbox at a provider that carries text to a command of its root, and changes a running machine's network."""

import asyncio
import base64
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Sequence
from importlib import resources
from typing import Protocol

from bot.domain.errors import ProviderError
from bot.ports import Sandbox
from bot.sandboxes.cage import MADE_PATH, WORK_TREE, environment
from bot.sandboxes.carried import Carriage, Tether
from bot.sandboxes.landed import NEEDS, landing, path_told
from bot.sandboxes.limits import SandboxLimits
from bot.sandboxes.moving import Machine, MovingSandbox
from bot.sandboxes.served import ServedSandbox
from bot.sandboxes.shelf import Shelf

START_TIMEOUT_S = 60.0
MOST_PIECES = 32  # that wait to be taken: more are not asked for
MOST_OF_A_LINE = 1 << 20
LAST_LINE = b"\n"  # after it the program ends, and the helper with all it runs


class Place(Protocol):
    """A machine as its provider's SDK has it. Its calls raise ProviderError."""

    @property
    def line_bytes(self) -> int:
        """How much it takes at a time, before base64."""
        ...

    async def start(self, program: str, lines: "Lines") -> None:
        """Run this Python program as root; what it says goes to `lines.take`, until `lines.end`."""
        ...

    async def say(self, line: bytes) -> None:
        """To the program; returns once it is taken."""
        ...

    async def set_network(self, names: Sequence[str]) -> None:
        """These hosts and nothing else; no names: no network."""
        ...

    async def end(self) -> None:
        """The machine is gone afterwards, unless somebody else has taken it over. Lets go of it in any case."""
        ...

    async def leave(self) -> None:
        """Lets go of the machine, which stays."""
        ...


async def _reached(
    place: Place, *, job_id: str, provider: str, limits: SandboxLimits, shelf: Shelf | None
) -> ServedSandbox:
    """The helper in a machine, whatever another left there. Raises ProviderError, and ends the machine then."""
    lines, carriage = Lines(secrets.token_hex(8)), Carriage()
    lifeline = _tether(place, lines, carriage)
    argv, files = landing()
    writer: asyncio.StreamWriter | None = None

    async def hear(piece: bytes) -> None:
        for start in range(0, len(piece), place.line_bytes):
            await place.say(base64.b64encode(piece[start : start + place.line_bytes]) + b"\n")

    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await place.start(_program(lines.mark, argv), lines)
            await lines.begun()
            reader, writer = await carriage.streams(lines, hear)
            writer.write(files)
            path = await path_told(reader)
    except (OSError, EOFError, ValueError, TimeoutError, ProviderError) as error:
        if writer is not None:
            writer.close()
        lifeline.kill()
        await lifeline.gone()
        words = lines.complaint or getattr(error, "message", "") or f"{type(error).__name__}: {error}"
        raise ProviderError(provider, f"a sandbox could not start ({words}): {NEEDS}", retryable=True) from None
    except BaseException:  # cancelled too: else it would run on
        lifeline.kill()
        raise
    return ServedSandbox(
        id=job_id,
        provider=provider,
        streams=(reader, writer),
        lifeline=lifeline,
        environment=environment(()) | {"PATH": f"{MADE_PATH}:{path}"},
        limits=limits.inside() | {"inodes": 0, "files": 0},  # the provider limits its disks itself
        disks=(WORK_TREE,),
        wall_clock_s=limits.wall_clock_s,
        shelf=shelf,
    )


def _tether(place: Place, lines: "Lines", carriage: Carriage) -> Tether:
    async def silent() -> None:
        await carriage.close()
        await lines.end()

    async def end() -> None:
        await silent()
        await place.end()

    async def leave() -> None:
        await silent()
        try:
            await place.say(LAST_LINE)
        finally:
            await place.leave()

    return Tether(end=end, leave=leave)


async def begun(
    place: Place, *, job_id: str, provider: str, limits: SandboxLimits, shelf: Shelf | None, key: str
) -> Sandbox | None:
    """With what was kept under the key, if anything; None when that failed, and the machine ended. Raises as above."""
    served = await _reached(place, job_id=job_id, provider=provider, limits=limits, shelf=shelf)
    return MovingSandbox(_Walls(), Machine(place, served, served.warm)) if await served.begun(key) else None


class Lines:
    """What the program in a sandbox says, as bytes; text around its marked lines is nobody's. To be iterated once."""

    def __init__(self, mark: str) -> None:
        self.mark, self.complaint = mark, ""
        self._marked = mark.encode()
        self._rest = b""
        self._pieces: deque[bytes] = deque()
        self._has_begun, self._ended = False, False
        self._change = asyncio.Condition()

    async def take(self, text: bytes) -> None:
        """Returns once there is room for more."""
        *lines, rest = (self._rest + text).split(b"\n")
        self._rest = rest[-MOST_OF_A_LINE:]
        async with self._change:
            await self._change.wait_for(lambda: len(self._pieces) < MOST_PIECES or self._ended)
            for line in lines:
                self._sort(line.rstrip(b"\r"))
            self._change.notify_all()

    async def end(self) -> None:
        """The program says nothing any more. May be called twice."""
        async with self._change:
            self._ended = True
            self._change.notify_all()

    async def begun(self) -> None:
        """Raises EOFError when the program ended before its first word."""
        async with self._change:
            await self._change.wait_for(lambda: self._has_begun or self._ended)
        if not self._has_begun:
            raise EOFError("it ended at once")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            async with self._change:
                await self._change.wait_for(lambda: self._pieces or self._ended)
                if not self._pieces:
                    return
                piece = self._pieces.popleft()
                self._change.notify_all()
            yield piece

    def _sort(self, line: bytes) -> None:
        if not line.startswith(self._marked):
            return
        kind, content = line[len(self._marked) :][:1], line[len(self._marked) + 1 :]
        try:
            piece = base64.b64decode(content, validate=True)
        except ValueError:
            self._ended = True
            return
        if kind == b"!":
            self.complaint = piece.decode(errors="replace").strip()
            self._ended = True
        elif piece:
            self._pieces.append(piece)
        self._has_begun = True


class _Walls:
    """The provider's rules for a machine's network change while it runs, and need nothing inside."""

    async def moved(self, machine: Machine[Place], names: Sequence[str]) -> Machine[Place]:
        try:
            await machine.place.set_network(names)
        except BaseException:  # cancelled too: nobody knows which rules hold now
            if names:
                await self.moved(machine, ())
            else:
                await machine.served.close()
            raise
        return machine

    async def kept(self, machine: Machine[Place], key: str) -> None:
        await machine.served.keep(key)


def _program(mark: str, argv: Sequence[str]) -> str:
    text = (resources.files("bot.sandboxes.inside") / "relaying.py").read_text(encoding="utf-8")
    return f"{text}\n\nmain({json.dumps(mark)}, {json.dumps(list(argv))})\n"
