"""One machine in Modal: the helper brought inside, the stream to it, and its end."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bot.domain.errors import ProviderError
from bot.sandboxes.cage import MADE_PATH, WORK_TREE, environment
from bot.sandboxes.carried import Carriage
from bot.sandboxes.landed import NEEDS, landing, path_told
from bot.sandboxes.limits import SandboxLimits
from bot.sandboxes.served import ServedSandbox

if TYPE_CHECKING:
    import modal

NAME = "modal"
HOLDER = "holder"  # a tag
START_TIMEOUT_S = 120.0  # an image that is new to Modal's machines is fetched first
END_TIMEOUT_S = 30.0


async def entered(sandbox: "modal.Sandbox", job_id: str, *, holder: str, limits: SandboxLimits) -> ServedSandbox:
    """With a helper inside. `holder`: the tag that says whose it is. Raises ProviderError, and what `told` words."""
    argv, files = landing()
    carriage = Carriage()
    lifeline = _Lifeline(sandbox, holder, carriage)
    try:
        process = await sandbox.exec.aio(*argv, text=False, workdir="/", timeout=int(limits.wall_clock_s))
    except BaseException:  # cancelled too: else it would run on
        lifeline.kill()
        raise
    lifeline.helper = process

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
        limits=limits.inside() | {"inodes": 0},  # Modal limits its disks itself
        disks=(WORK_TREE,),
        wall_clock_s=limits.wall_clock_s,
    )


class _Lifeline:
    """The end of a machine, unless somebody else has taken it over."""

    def __init__(self, sandbox: "modal.Sandbox", holder: str, carriage: Carriage) -> None:
        self._sandbox, self._holder, self._carriage = sandbox, holder, carriage
        self._ending: asyncio.Task[None] | None = None
        self.helper: modal.container_process.ContainerProcess[bytes] | None = None

    def kill(self) -> None:
        self._begin(ends=True)

    async def leave(self) -> None:
        self._begin(ends=False)
        await self.gone()

    async def gone(self) -> None:
        if self._ending is not None:
            await asyncio.shield(self._ending)

    def _begin(self, *, ends: bool) -> None:
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end(ends=ends))

    async def _end(self, *, ends: bool) -> None:
        """What cannot be ended now ends by its time-out, or is reaped. In a machine that is left our helper ends."""
        import modal

        await self._carriage.close()
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                if ends and (await self._sandbox.get_tags.aio()).get(HOLDER) == self._holder:
                    await self._sandbox.terminate.aio(wait=True)
                elif self.helper is not None:
                    self.helper.stdin.write_eof()
                    await self.helper.stdin.drain.aio()
                await self._sandbox.detach.aio()  # type: ignore[no-untyped-call]  # Modal's
        except (modal.exception.Error, OSError, TimeoutError):
            return


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
