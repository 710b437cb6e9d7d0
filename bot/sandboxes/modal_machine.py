"""One machine in Modal: the helper brought inside, the stream to it, and its end."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bot.domain.errors import ProviderError
from bot.sandboxes.cage import MADE_PATH, WORK_TREE, environment
from bot.sandboxes.carried import Carriage, Tether
from bot.sandboxes.landed import NEEDS, landing, path_told
from bot.sandboxes.limits import SandboxLimits
from bot.sandboxes.served import ServedSandbox

if TYPE_CHECKING:
    import modal

NAME = "modal"
HOLDER = "holder"  # a tag
START_TIMEOUT_S = 120.0  # an image that is new to Modal's machines is fetched first


async def entered(sandbox: "modal.Sandbox", job_id: str, *, holder: str, limits: SandboxLimits) -> ServedSandbox:
    """With a helper inside. `holder`: the tag that says whose it is. Raises ProviderError, and what `told` words."""
    argv, files = landing()
    carriage = Carriage()
    held = _Held(sandbox, holder, carriage)
    lifeline = Tether(end=held.end, leave=held.leave)
    try:
        process = await sandbox.exec.aio(*argv, text=False, workdir="/", timeout=int(limits.wall_clock_s))
    except BaseException:  # cancelled too: else it would run on
        lifeline.kill()
        raise
    held.helper = process

    async def hear(piece: bytes) -> None:
        process.stdin.write(piece)
        await process.stdin.drain.aio()

    reader, writer = await carriage.streams(process.stdout, hear)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            writer.write(files)
            path = await path_told(reader)
    except (OSError, EOFError, ValueError, TimeoutError) as error:
        words = await _complaint(process) or f"{type(error).__name__}: {error}"
        writer.close()
        lifeline.kill()
        await lifeline.gone()
        raise ProviderError(NAME, f"a sandbox could not start ({words}): {NEEDS}", retryable=True) from None
    except BaseException:  # cancelled too: else it would run on
        writer.close()
        lifeline.kill()
        raise
    return ServedSandbox(
        id=job_id,
        provider=NAME,
        streams=(reader, writer),
        lifeline=lifeline,
        environment=environment(()) | {"PATH": f"{MADE_PATH}:{path}"},
        limits=limits.inside() | {"inodes": 0, "files": 0},  # Modal limits its disks itself
        disks=(WORK_TREE,),
        wall_clock_s=limits.wall_clock_s,
    )


class _Held:
    """A machine, and our helper in it: ended unless somebody else has taken it over."""

    def __init__(self, sandbox: "modal.Sandbox", holder: str, carriage: Carriage) -> None:
        self._sandbox, self._holder, self._carriage = sandbox, holder, carriage
        self.helper: modal.container_process.ContainerProcess[bytes] | None = None

    async def end(self) -> None:
        await self._carriage.close()
        with told():
            if (await self._sandbox.get_tags.aio()).get(HOLDER) != self._holder:
                return await self.leave()
            await self._sandbox.terminate.aio(wait=True)
            await self._sandbox.detach.aio()  # type: ignore[no-untyped-call]  # Modal's

    async def leave(self) -> None:
        """Our helper ends."""
        await self._carriage.close()
        with told():
            if self.helper is not None:
                self.helper.stdin.write_eof()
                await self.helper.stdin.drain.aio()
            await self._sandbox.detach.aio()  # type: ignore[no-untyped-call]  # Modal's


@contextmanager
def told() -> Iterator[None]:
    """Modal's errors in the project's words."""
    import modal
    from grpclib.exceptions import StreamTerminatedError

    final = (modal.exception.AuthError, modal.exception.PermissionDeniedError, modal.exception.InvalidError)
    try:
        yield
    except (modal.exception.Error, StreamTerminatedError, OSError, TimeoutError) as error:
        words = str(error) or type(error).__name__
        raise ProviderError(NAME, words, retryable=not isinstance(error, final)) from None


async def _complaint(process: "modal.container_process.ContainerProcess[bytes]") -> str:
    import modal

    try:
        async with asyncio.timeout(5):
            return (await process.stderr.read.aio())[:300].decode(errors="replace").strip()
    except (modal.exception.Error, OSError, TimeoutError):
        return ""
