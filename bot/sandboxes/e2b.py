"""Sandboxes at E2B: a small machine a job, found again by its metadata, without network and without secrets."""

import asyncio
import importlib.util
import shlex
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bot.domain.errors import ProviderError
from bot.ports import Over, Sandbox
from bot.sandboxes.limits import SandboxLimits
from bot.sandboxes.reaped import reaped
from bot.sandboxes.remote import Lines, begun
from bot.sandboxes.shelf import Shelf

if TYPE_CHECKING:
    import e2b

NAME = "e2b"
BOT, JOB = "tiny-backspace-bot", "tiny-backspace-job"  # metadata
LIFE_S = 3_600.0  # the most that E2B gives without a subscription
CALL_TIMEOUT_S = 60.0
LINE_BYTES = 1 << 19
TITLE = "exec python3 -I -S -c"  # how our own command begins
REST = 100  # a page of a listing


class E2B:
    """`bot` tells apart bots of one team. `template`: what every machine starts from. `shelf`: where `keep` saves."""

    def __init__(
        self,
        *,
        bot: str,
        key: str,
        template: str = "base",
        limits: SandboxLimits | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        self._bot, self._key, self._template = bot, key, template
        self._limits, self._shelf = limits or SandboxLimits(wall_clock_s=LIFE_S), shelf and shelf.of(template)

    @property
    def name(self) -> str:
        return NAME

    def problem(self) -> str | None:
        if importlib.util.find_spec("e2b") is None:
            return "E2B's SDK is not installed: pip install -e '.[e2b]' (or choose another SANDBOX)."
        if not self._key:
            return "E2B_API_KEY is missing: e2b.dev/dashboard has it (or choose another SANDBOX)."
        with ThreadPoolExecutor(1) as thread:  # an event loop may run here
            return thread.submit(asyncio.run, self._trial()).result()

    async def open(self, job_id: str, *, image: str = "", warm: str = "") -> Sandbox:
        """Every job has the one template, whatever `image` it wishes for."""
        for _ in range(3):  # somebody else may end it meanwhile
            found = await self._found(job_id)
            place = _Place(found or await self._created(job_id), life_s=self._limits.wall_clock_s)
            if found is None and not await self._is_first(place, job_id):
                continue
            limits, shelf, key = self._limits, self._shelf, "" if found else warm
            if opened := await begun(place, job_id=job_id, provider=NAME, limits=limits, shelf=shelf, key=key):
                return opened
        raise ProviderError(NAME, "a sandbox could not start: it was ended again", retryable=True)

    async def reap(self, over: Over) -> int:
        import e2b

        with _told():
            found = [(info.sandbox_id, info.metadata.get(JOB, "")) for info in await self._listed({BOT: self._bot})]

        async def end(id: str) -> None:
            with _told():
                await e2b.AsyncSandbox.kill(id, api_key=self._key)

        return await reaped(found, over, end)

    async def _trial(self) -> str | None:
        import e2b

        try:
            await e2b.AsyncSandbox.list(limit=1, api_key=self._key).next_items()
        except e2b.AuthenticationException as error:
            return f"E2B refuses E2B_API_KEY: {error}"
        except _faults() as error:
            return f"E2B cannot be reached: {error}"
        return None

    async def _found(self, job_id: str) -> "e2b.AsyncSandbox | None":
        import e2b

        with _told():
            for info in await self._listed({BOT: self._bot, JOB: job_id}):
                try:
                    life_s = int(self._limits.wall_clock_s)
                    sandbox = await e2b.AsyncSandbox.connect(info.sandbox_id, timeout=life_s, api_key=self._key)
                    await sandbox.update_network(_network(()))  # of a bot that was killed in the setup phase
                except e2b.NotFoundException:
                    continue
                return sandbox
        return None

    async def _created(self, job_id: str) -> "e2b.AsyncSandbox":
        """Nothing of the bot's goes in: no environment, no volume, no identity."""
        import e2b

        with _told():
            return await e2b.AsyncSandbox.create(
                template=self._template,
                timeout=int(self._limits.wall_clock_s),
                metadata={BOT: self._bot, JOB: job_id},
                allow_internet_access=False,
                lifecycle={"on_timeout": "kill"},
                api_key=self._key,
            )

    async def _is_first(self, place: "_Place", job_id: str) -> bool:
        """E2B's sandboxes have no names: of two that were made at once, the older one is the job's."""
        with _told():
            first, *_ = [info.sandbox_id for info in await self._listed({BOT: self._bot, JOB: job_id})] or [place.id]
        if first != place.id:
            await place.end()
        return first == place.id

    async def _listed(self, metadata: dict[str, str]) -> "list[e2b.SandboxInfo]":
        """Those that run, the oldest first."""
        import e2b

        query = e2b.SandboxQuery(metadata=metadata, state=[e2b.SandboxState.RUNNING])
        pages, found = e2b.AsyncSandbox.list(query, limit=REST, order="asc", api_key=self._key), []
        while pages.has_next:
            found += await pages.next_items()
        return sorted(found, key=lambda info: (info.started_at, info.sandbox_id))


class _Place:
    """Its helper runs as a command with standard streams. Output of commands comes as text, so it is text."""

    line_bytes = LINE_BYTES

    def __init__(self, sandbox: "e2b.AsyncSandbox", *, life_s: float) -> None:
        self._sandbox, self._life_s = sandbox, life_s
        self._command: e2b.AsyncCommandHandle[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self._sandbox.sandbox_id

    async def start(self, program: str, lines: Lines) -> None:
        async def take(text: str) -> None:
            await lines.take(text.encode())

        with _told():
            self._command = await self._sandbox.commands.run(
                f"{TITLE} {shlex.quote(program)}",
                background=True,
                stdin=True,
                user="root",
                cwd="/",
                timeout=self._life_s,
                on_stdout=take,
                on_stderr=lambda text: None,
                retain_output=False,
            )
        self._watching = asyncio.create_task(_over(self._command, lines))

    async def say(self, line: bytes) -> None:
        assert self._command is not None
        with _told():
            await self._command.send_stdin(line, request_timeout=CALL_TIMEOUT_S)

    async def set_network(self, names: Sequence[str]) -> None:
        with _told():
            await self._sandbox.update_network(_network(names))

    async def end(self) -> None:
        """Whoever takes over starts a helper of its own, which ends ours."""
        try:
            with _told():
                if not await self._is_taken_over():
                    await self._sandbox.kill()
        finally:
            await self.leave()

    async def leave(self) -> None:
        if self._command is not None and self._watching is not None:
            await self._command.disconnect()
            await asyncio.wait([self._watching])

    async def _is_taken_over(self) -> bool:
        import e2b

        try:
            running = await self._sandbox.commands.list(request_timeout=CALL_TIMEOUT_S)
        except e2b.SandboxException:  # it does not answer: then nobody has it
            return False
        ours = self._command.pid if self._command else None
        return any(one.pid != ours and any(word.startswith(TITLE) for word in one.args) for one in running)


async def _over(command: "e2b.AsyncCommandHandle[None]", lines: Lines) -> None:
    """However it ended: whoever reads the lines learns of it."""
    try:
        await command.wait()
    except _faults():
        return
    finally:
        await lines.end()


def _network(names: Sequence[str]) -> "e2b.SandboxNetworkUpdate":
    import e2b

    blocked: e2b.SandboxNetworkUpdate = {"deny_out": [e2b.ALL_TRAFFIC]}
    return {**blocked, "allow_out": list(names)} if names else blocked


def _faults() -> tuple[type[Exception], ...]:
    """What the SDK raises, and what is below it."""
    import e2b
    import httpx

    its_own = (e2b.SandboxException, e2b.AuthenticationException, e2b.ServiceBusyException)
    return (*its_own, httpx.HTTPError, OSError, TimeoutError)


@contextmanager
def _told() -> Iterator[None]:
    """E2B's errors in the project's words."""
    import e2b

    final: tuple[Any, ...] = (e2b.AuthenticationException, e2b.InvalidArgumentException, e2b.TemplateException)
    try:
        yield
    except _faults() as error:
        words = str(error) or type(error).__name__
        raise ProviderError(NAME, words, retryable=not isinstance(error, final)) from None
