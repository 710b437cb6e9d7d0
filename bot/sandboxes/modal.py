"""Sandboxes in Modal: a machine a job, found again by its name from any process, without network and without secrets.

Commands go through the helper of `inside/`, which runs as one long command, so that every promise has one
implementation. Of a running sandbox's network the SDK's public part cannot change anything: a phase with another
network is another machine, made from a snapshot of the one before.
"""

import asyncio
import hashlib
import importlib.util
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from bot.domain.errors import ProviderError
from bot.ports import Over
from bot.sandboxes.images import DEFAULT, published_name
from bot.sandboxes.limits import SandboxLimits
from bot.sandboxes.modal_machine import HOLDER, NAME, entered, told
from bot.sandboxes.moving import Machine, MovingSandbox
from bot.sandboxes.reaped import reaped

if TYPE_CHECKING:
    import modal

    OnModal = Machine[modal.Sandbox]

APP = "tiny-backspace-sandboxes"
BOT, JOB, PURPOSE, WARM, BASE = "bot", "job", "purpose", "warm", "base"  # tags; the last: a published image's id
TRIAL_TIMEOUT_S = 15.0
ROOM_TIMEOUT_S = 120.0
SNAPSHOT_TIMEOUT_S = 300
IDLE_S = 600  # without a helper; with one it is busy until its time is over
MOVE_LIFE_S = 3_600  # of a snapshot that only carries files from one machine to the next
WARM_LIFE_S = 7 * 24 * 3_600
MOST_NAMES = 100  # in a list of allowed domains
MIB = 1 << 20
MAKE_ROOM = (  # leaves of a kept work tree what was not of its commit
    "git rev-parse --git-dir > /dev/null && git ls-files -z | xargs -0 -r rm -rf -- && rm -rf .git"
)
NO_TOKEN = (
    "MODAL_TOKEN_ID and MODAL_TOKEN_SECRET are missing: `modal token new` makes them (or choose another SANDBOX)."
)


class Modal:
    """`bot` tells apart bots in one Modal environment. `token`: id and secret; None inside Modal, or for a profile's.

    `cpus`: what is reserved, and the most.
    """

    def __init__(
        self,
        *,
        bot: str,
        token: tuple[str, str] | None = None,
        limits: SandboxLimits | None = None,
        cpus: tuple[float, float] = (1.0, 4.0),
    ) -> None:
        self._bot, self._token = bot, token
        self._limits, self._cpus = limits or SandboxLimits(), cpus
        self._connection: tuple[modal.Client, modal.App] | None = None

    @property
    def name(self) -> str:
        return NAME

    def problem(self) -> str | None:
        if importlib.util.find_spec("modal") is None:
            return "Modal's SDK is not installed: pip install modal (or choose another SANDBOX)."
        with ThreadPoolExecutor(1) as thread:  # its calls that block may not be made where an event loop runs
            return thread.submit(asyncio.run, self._trial()).result()

    async def open(self, job_id: str, *, image: str = "", warm: str = "") -> "MovingSandbox[modal.Sandbox]":
        import modal

        with told():
            for _ in range(3):  # somebody else may create or end it meanwhile
                with suppress(modal.exception.NotFoundError, modal.exception.ConflictError):
                    machine = await self._created(job_id, image, warm) or await self._found(job_id)
                    return MovingSandbox(self, machine)
        raise ProviderError(NAME, "a sandbox could not start: it was ended again", retryable=True)

    async def reap(self, over: Over) -> int:
        import modal

        found: list[tuple[modal.Sandbox, str]] = []
        with told():
            client, app = await self._connected()
            async for sandbox in modal.Sandbox.list.aio(app_id=app.app_id, tags={BOT: self._bot}, client=client):
                with suppress(modal.exception.NotFoundError):  # it ended just now
                    found.append((sandbox, (await sandbox.get_tags.aio()).get(JOB, "")))

        async def end(sandbox: modal.Sandbox) -> None:
            with told(), suppress(modal.exception.NotFoundError):
                await sandbox.terminate.aio()

        return await reaped(found, over, end)

    async def aclose(self) -> None:
        """The connection to Modal; sandboxes live on. Without a token it is the container's own, and stays open."""
        connection, self._connection = self._connection, None
        if connection is not None and self._token is not None:
            await connection[0].close.aio()

    async def moved(self, machine: "OnModal", names: Sequence[str]) -> "OnModal":
        """Another machine with the files of this one, which is not ended. No names: no network."""
        if len(names) > MOST_NAMES:
            raise ProviderError(NAME, f"it allows {MOST_NAMES} host names at most, not {len(names)}")
        with told():
            image = await machine.place.snapshot_filesystem.aio(SNAPSHOT_TIMEOUT_S, ttl=MOVE_LIFE_S)
            sandbox, holder = await self._made(machine.served.id, image, base=machine.image, names=names)
            return await self._landed(sandbox, machine.served.id, holder, base=machine.image, warm=machine.warm)

    async def kept(self, machine: "OnModal", key: str) -> None:
        with told():
            client, _ = await self._connected()
            image = await machine.place.snapshot_filesystem.aio(SNAPSHOT_TIMEOUT_S, ttl=WARM_LIFE_S)
            await image.publish.aio(self._warm_name(key, machine.image), client=client)

    async def _connected(self) -> "tuple[modal.Client, modal.App]":
        import modal

        if self._connection is None:
            token = self._token
            client = await (modal.Client.from_credentials.aio(*token) if token else modal.Client.from_env.aio())
            app = await modal.App.lookup.aio(APP, client=client, create_if_missing=True)
            self._connection = client, app
        return self._connection

    async def _trial(self) -> str | None:
        """Everything a sandbox needs is there: the token's rights, the app, the image."""
        import modal

        try:
            async with asyncio.timeout(TRIAL_TIMEOUT_S):
                client, app = await self._connected()
                await modal.Image.from_name(published_name(DEFAULT), client=client).build.aio(app)
        except modal.exception.AuthError as error:
            return f"Modal refuses MODAL_TOKEN_ID and MODAL_TOKEN_SECRET: {error}" if self._token else NO_TOKEN
        except modal.exception.NotFoundError:
            return _missing(DEFAULT)
        except (modal.exception.Error, OSError, TimeoutError) as error:
            return f"Modal cannot be reached: {str(error) or f'no answer within {TRIAL_TIMEOUT_S:.0f} s'}"
        return None

    async def _created(self, job_id: str, wish: str, warm: str) -> "OnModal | None":
        """None when there is a sandbox of that job already."""
        import modal

        client, _ = await self._connected()
        published = await self._published(wish or DEFAULT)
        for key in dict.fromkeys((warm, "")):
            base = published.object_id
            image = modal.Image.from_name(self._warm_name(key, base), client=client) if key else published
            try:
                sandbox, holder = await self._made(job_id, image, base=base, warm=key)
            except modal.exception.AlreadyExistsError:
                return None
            except modal.exception.NotFoundError:
                continue
            await self._end_named(f"{self._name_of(job_id)}.setup")  # of a bot that was killed in that phase
            machine = await self._landed(sandbox, job_id, holder, base=base, warm=bool(key))
            if not key or await _made_room(machine):
                return machine
            await machine.served.close()
        raise ProviderError(NAME, _missing(wish or DEFAULT))

    async def _published(self, wish: str) -> "modal.Image":
        """As it is now: a name may be published anew."""
        import modal

        client, app = await self._connected()
        for name in dict.fromkeys((published_name(wish), published_name(DEFAULT))):
            with suppress(modal.exception.NotFoundError):
                return await modal.Image.from_name(name, client=client).build.aio(app)
        raise ProviderError(NAME, _missing(wish))

    async def _found(self, job_id: str) -> "OnModal":
        """The live sandbox of the job, taken over: whoever held it until now can end it no more."""
        import modal

        client, _ = await self._connected()
        sandbox = await modal.Sandbox.from_name.aio(APP, self._name_of(job_id), client=client)
        await self._end_named(f"{self._name_of(job_id)}.setup")  # of a bot that was killed as that phase ended
        tags, holder = await sandbox.get_tags.aio(), secrets.token_hex(8)
        await sandbox.set_tags.aio(tags | {HOLDER: holder})
        return await self._landed(sandbox, job_id, holder, base=tags.get(BASE, ""), warm=bool(tags.get(WARM)))

    async def _made(
        self, job_id: str, image: "modal.Image", *, base: str, names: Sequence[str] = (), warm: str = ""
    ) -> "tuple[modal.Sandbox, str]":
        """Nothing of the bot's goes in: no secret, no environment, no mount."""
        import modal

        client, app = await self._connected()
        limits, holder = self._limits, secrets.token_hex(8)
        tags = {BOT: self._bot, JOB: job_id, PURPOSE: "setup" if names else "agent", HOLDER: holder, BASE: base}
        sandbox = await modal.Sandbox.create.aio(
            *("sleep", "infinity"),
            app=app,
            client=client,
            name=self._name_of(job_id) + (".setup" if names else ""),
            tags=tags | ({WARM: "yes"} if warm else {}),
            image=image,
            timeout=int(limits.wall_clock_s),
            idle_timeout=IDLE_S,
            workdir="/",
            cpu=self._cpus,
            memory=(limits.memory_bytes // MIB // 4, limits.memory_bytes // MIB) if limits.memory_bytes else None,
            block_network=not names,
            outbound_domain_allowlist=list(names) or None,
        )
        return sandbox, holder

    async def _end_named(self, name: str) -> None:
        import modal

        client, _ = await self._connected()
        try:
            await (await modal.Sandbox.from_name.aio(APP, name, client=client)).terminate.aio()
        except modal.exception.NotFoundError:
            return

    async def _landed(self, sandbox: "modal.Sandbox", job_id: str, holder: str, *, base: str, warm: bool) -> "OnModal":
        return Machine(sandbox, await entered(sandbox, job_id, holder=holder, limits=self._limits), warm, base)

    def _name_of(self, job_id: str) -> str:
        """64 characters at most, of those Modal allows."""
        return "job-" + self._hashed(job_id)

    def _warm_name(self, key: str, base: str) -> str:
        return "tiny-backspace-warm-" + self._hashed(f"{key}\0{base}")

    def _hashed(self, text: str) -> str:
        return hashlib.sha256(f"{self._bot}\0{text}".encode()).hexdigest()[:32]


async def _made_room(machine: "OnModal") -> bool:
    result = await machine.served.exec(["sh", "-c", MAKE_ROOM], timeout_s=ROOM_TIMEOUT_S)
    return result.exit_code == 0


def _missing(image: str) -> str:
    return f"Modal has no image {published_name(image)}: `backspace images publish` makes it."
