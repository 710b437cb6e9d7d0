"""Sandboxes at Daytona: one a job, found again by its name, without network and without secrets."""

import asyncio
import hashlib
import importlib.util
import math
import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from bot.domain.errors import ProviderError
from bot.ports import Over, Sandbox
from bot.sandboxes.limits import SandboxLimits
from bot.sandboxes.reaped import reaped
from bot.sandboxes.remote import Lines, begun
from bot.sandboxes.shelf import Shelf

if TYPE_CHECKING:
    import daytona
    from daytona.handle.async_pty_handle import AsyncPtyHandle

NAME = "daytona"
BOT, JOB, HOLDER = "tiny-backspace-bot", "tiny-backspace-job", "tiny-backspace-holder"  # labels
CREATE_TIMEOUT_S = 120.0
LINE_BYTES = 24_576  # becomes one message of 32 KiB
FOLDER = "/run"  # only root writes there


class Daytona:
    """`bot` tells apart bots of one organization. `snapshot`: what every sandbox starts from, "" for Daytona's default.

    `shelf`: where `keep` saves.
    """

    def __init__(
        self,
        *,
        bot: str,
        key: str,
        api_url: str,
        snapshot: str = "",
        limits: SandboxLimits | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        self._bot, self._key, self._api_url, self._snapshot = bot, key, api_url, snapshot
        self._limits, self._shelf = limits or SandboxLimits(), shelf

    @property
    def name(self) -> str:
        return NAME

    def problem(self) -> str | None:
        if importlib.util.find_spec("daytona") is None:
            return "Daytona's SDK is not installed: pip install -e '.[daytona]' (or choose another SANDBOX)."
        if not self._key:
            return "DAYTONA_API_KEY is missing: app.daytona.io/dashboard/keys makes one (or choose another SANDBOX)."
        with ThreadPoolExecutor(1) as thread:  # an event loop may run here
            return thread.submit(asyncio.run, self._trial()).result()

    async def open(self, job_id: str, *, image: str = "", warm: str = "") -> Sandbox:
        """Every job has the one snapshot, whatever `image` it wishes for."""
        limits = self._limits
        for _ in range(3):  # somebody else may create or end it meanwhile
            place, was_there = await self._taken(job_id)
            if place is None:
                continue
            key, shelf = "" if was_there else warm, self._shelf and self._shelf.of(place.snapshot)
            if opened := await begun(place, job_id=job_id, provider=NAME, limits=limits, shelf=shelf, key=key):
                return opened
        raise ProviderError(NAME, "a sandbox could not start: it was ended again", retryable=True)

    async def reap(self, over: Over) -> int:
        import daytona

        async def end(sandbox: daytona.AsyncSandbox) -> None:
            with _told(), suppress(daytona.DaytonaNotFoundError):
                await sandbox.delete()

        query = daytona.ListSandboxesQuery(labels={BOT: self._bot})
        with _told():
            async with self._new_client() as client:
                found = [(sandbox, sandbox.labels.get(JOB, "")) async for sandbox in client.list(query)]
                return await reaped(found, over, end)

    def _new_client(self) -> "daytona.AsyncDaytona":
        import daytona

        return daytona.AsyncDaytona(daytona.DaytonaConfig(api_key=self._key, api_url=self._api_url))

    async def _trial(self) -> str | None:
        import daytona

        async with self._new_client() as client:
            try:
                async for _ in client.list(daytona.ListSandboxesQuery(limit=1)):
                    break
            except (daytona.DaytonaAuthenticationError, daytona.DaytonaForbiddenError) as error:
                return f"Daytona refuses DAYTONA_API_KEY: {error}"
            except (daytona.DaytonaError, OSError, TimeoutError) as error:
                return f"Daytona cannot be reached: {error}"
        return None

    async def _taken(self, job_id: str) -> "tuple[_Place | None, bool]":
        """The sandbox of the job and whether it was there; None when that changes just now. It has its own client."""
        client = self._new_client()
        place, was_there = None, False
        try:
            place = await self._found(client, job_id)
            was_there = place is not None
            place = place or await self._created(client, job_id)
        finally:
            if place is None:
                await client.close()  # type: ignore[no-untyped-call]  # Daytona's
        return place, was_there

    async def _found(self, client: "daytona.AsyncDaytona", job_id: str) -> "_Place | None":
        """The sandbox of the job, taken over: whoever held it until now can end it no more."""
        import daytona

        holder = secrets.token_hex(8)
        with _told():
            try:
                sandbox = await client.get(self._name_of(job_id))
                if sandbox.state is None or sandbox.state.value != daytona.SandboxState.STARTED.value:
                    await sandbox.delete(wait=True)
                    return None
                await sandbox.update_network_settings(network_block_all=True)  # of a bot killed in the setup phase
                await sandbox.set_labels(sandbox.labels | {HOLDER: holder})
            except daytona.DaytonaNotFoundError:
                return None
        return _Place(client, sandbox, holder)

    async def _created(self, client: "daytona.AsyncDaytona", job_id: str) -> "_Place | None":
        """None when there is one of that name already. Nothing of the bot's goes in: no environment, no secret."""
        import daytona

        holder = secrets.token_hex(8)
        wanted = daytona.CreateSandboxFromSnapshotParams(
            name=self._name_of(job_id),
            snapshot=self._snapshot or None,
            os_user="root",  # the helper gives it up, and no command has it
            labels={BOT: self._bot, JOB: job_id, HOLDER: holder},
            public=False,
            network_block_all=True,
            ephemeral=True,
            auto_stop_interval=0,  # minutes without a call from outside, which a long command is too
            ttl_minutes=math.ceil(self._limits.wall_clock_s / 60),
        )
        with _told():
            try:
                return _Place(client, await client.create(wanted, timeout=CREATE_TIMEOUT_S), holder)
            except daytona.DaytonaConflictError:
                return None

    def _name_of(self, job_id: str) -> str:
        return "tiny-backspace-" + hashlib.sha256(f"{self._bot}\0{job_id}".encode()).hexdigest()[:32]


class _Place:
    """Its helper runs in a terminal, which is the one thing at Daytona that carries both ways and keeps no record.

    The program is a file since a terminal takes 4,095 bytes of a line.
    """

    line_bytes = LINE_BYTES

    def __init__(self, client: "daytona.AsyncDaytona", sandbox: "daytona.AsyncSandbox", holder: str) -> None:
        self._client, self._sandbox, self._holder = client, sandbox, holder
        self._terminal: AsyncPtyHandle | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def snapshot(self) -> str:
        """What it started from, also where that is Daytona's own choice."""
        return self._sandbox.snapshot or ""

    async def start(self, program: str, lines: Lines) -> None:
        import daytona

        path = f"{FOLDER}/tiny-backspace-{self._holder}.py"
        with _told():
            files = {path: program.encode(), f"{FOLDER}/.zshrc": b"\n"}  # without one zsh asks questions
            await self._sandbox.fs.upload_files(
                [daytona.FileUpload(source=content, destination=place) for place, content in files.items()]
            )
            self._terminal = await self._sandbox.process.create_pty_session(
                id=f"tiny-backspace-{self._holder}", on_data=lines.take, cwd="/", envs={"ZDOTDIR": FOLDER}
            )
            self._watching = asyncio.create_task(_over(self._terminal, lines))
            await self._terminal.send_input(f"exec python3 -I -S {path}\n")

    async def say(self, line: bytes) -> None:
        assert self._terminal is not None
        with _told():
            await self._terminal.send_input(line)

    async def set_network(self, names: Sequence[str]) -> None:
        with _told():
            if names:
                await self._sandbox.update_network_settings(domain_allow_list=",".join(names))
            else:
                await self._sandbox.update_network_settings(network_block_all=True)

    async def end(self) -> None:
        import daytona

        try:
            with _told(), suppress(daytona.DaytonaNotFoundError):
                await self._sandbox.refresh_data()
                if self._sandbox.labels.get(HOLDER) == self._holder:
                    await self._sandbox.delete(wait=True)
        finally:
            await self.leave()

    async def leave(self) -> None:
        if self._terminal is not None and self._watching is not None:
            await self._terminal.disconnect()
            await asyncio.wait([self._watching])
        await self._client.close()  # type: ignore[no-untyped-call]  # Daytona's


async def _over(terminal: "AsyncPtyHandle", lines: Lines) -> None:
    """However it ended: whoever reads the lines learns of it."""
    try:
        await terminal.wait()
    except asyncio.CancelledError:  # of the terminal's own task, by `disconnect`
        return
    finally:
        await lines.end()


@contextmanager
def _told() -> Iterator[None]:
    """Daytona's errors in the project's words."""
    import aiohttp
    import daytona

    final = (daytona.DaytonaAuthenticationError, daytona.DaytonaForbiddenError, daytona.DaytonaBadRequestError)
    try:
        yield
    except (daytona.DaytonaError, aiohttp.ClientError, OSError, TimeoutError) as error:
        words = str(error) or type(error).__name__
        raise ProviderError(NAME, words, retryable=not isinstance(error, final)) from None
