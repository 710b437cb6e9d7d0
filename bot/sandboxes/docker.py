"""Sandboxes in containers of a Docker engine: no network, no capability, a read-only root, found again by their job."""

import asyncio
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bot.domain.errors import NotFound, ProviderError, Unprocessable
from bot.ports import Over
from bot.sandboxes.cage import DISKS, MADE_PATH, SYSTEM_PATH, environment
from bot.sandboxes.container import description, forwarder
from bot.sandboxes.engine import NAME, Attached, Engine
from bot.sandboxes.images import DEFAULT, published_name
from bot.sandboxes.inside.wire import LENGTHS, header_of, lengths
from bot.sandboxes.limits import SandboxLimits
from bot.sandboxes.mounted import MountedNetwork
from bot.sandboxes.mounted import SetupPhase as SetupPhase
from bot.sandboxes.reaped import reaped
from bot.sandboxes.served import ServedSandbox
from bot.sandboxes.shelf import Shelf

BOT, JOB = "tiny-backspace.bot", "tiny-backspace.job"  # labels
START_TIMEOUT_S = 30.0
GONE_WITHIN_S = 20.0
GVISOR = "runsc"
NEEDS = "its image needs python3 (3.9 or newer), git and tar"
ELSEWHERE = "source path does not exist"  # the engine's word when it has other files than the bot


class Docker:
    """One container a job, kept by the engine when the bot is killed; `bot` tells apart bots that share an engine.

    `image` serves every job; without it those of sandbox_images/ do. `setup`: None for never any network. `shelf`:
    where `keep` saves.
    """

    def __init__(
        self,
        *,
        address: str,
        bot: str,
        image: str = "",
        limits: SandboxLimits | None = None,
        cpus: float = 2.0,
        setup: SetupPhase | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        self._engine = Engine(address)
        self._bot, self._image = bot, image
        self._limits, self._cpus = limits or SandboxLimits(), cpus
        self._setup, self._shelf = setup if self._engine.is_local else None, shelf

    @property
    def name(self) -> str:
        return NAME

    def problem(self) -> str | None:
        if problem := self._engine.problem():
            return problem
        image = self._image or published_name(DEFAULT)
        return None if self._engine.has_image(image) else _missing(image)

    async def open(self, job_id: str, *, image: str = "", warm: str = "") -> ServedSandbox:
        name = self._container_name(job_id)
        for _ in range(3):  # somebody else may create or remove it meanwhile
            with suppress(NotFound, Unprocessable):
                if found := await self._found(name):
                    return await self._reached(found, job_id, name)
                opened = await self._reached(await self._created(name, job_id, image), job_id, name)
                if await opened.begun(warm):
                    return opened
        raise ProviderError(NAME, f"a sandbox could not start (its container ended at once): {NEEDS}", retryable=True)

    async def reap(self, over: Over) -> int:
        wanted = json.dumps({"label": [f"{BOT}={self._bot}"]})
        listed = await self._engine.call("GET", "/containers/json", params={"all": "1", "filters": wanted})

        async def end(found: Mapping[str, Any]) -> None:
            names = found["Names"] or [found["Id"]]  # the engine takes the name of one that it is removing first
            await self._container(found["Id"], names[0].lstrip("/")).remove()

        return await reaped([(found, found["Labels"].get(JOB, "")) for found in listed], over, end)

    def _container_name(self, job_id: str) -> str:
        return "tiny-backspace-" + hashlib.sha256(f"{self._bot}\0{job_id}".encode()).hexdigest()[:32]

    def _container(self, id: str, name: str) -> "_Container":
        return _Container(self._engine, id, self._setup.folder / name if self._setup else None)

    async def _found(self, name: str) -> Mapping[str, Any] | None:
        """A running container; one that is left over from a start that failed is removed."""
        try:
            container: Mapping[str, Any] = await self._engine.call("GET", f"/containers/{name}/json")
        except NotFound:
            return None
        if container["State"]["Running"]:
            return container
        await self._container(container["Id"], name).remove()
        return None

    async def _created(self, name: str, job_id: str, wish: str) -> Mapping[str, Any]:
        image, volumes = await self._image_for(wish)
        info = await asyncio.to_thread(self._engine.info)
        runtimes = info.get("Runtimes") or {}
        hand_over = None
        if self._setup:
            hand_over = self._setup.folder / name
            hand_over.mkdir(parents=True, exist_ok=True)
            hand_over.chmod(0o755)  # the sandbox's user is another, whatever the bot's umask is
        for folder in (hand_over, None):
            body = description(
                image=image,
                hidden=volumes,
                labels={BOT: self._bot, JOB: job_id},
                limits=self._limits if info.get("MemoryLimit", True) else self._limits.apart(),
                cpus=self._cpus,
                hand_over=folder,
                runtime=GVISOR if GVISOR in runtimes else "",
            )
            try:
                made = await self._engine.call("POST", "/containers/create", body=body, params={"name": name})
                break
            except ProviderError as error:
                if folder is None or ELSEWHERE not in error.message:
                    raise
        try:
            await self._engine.call("POST", f"/containers/{made['Id']}/start")
            container: Mapping[str, Any] = await self._engine.call("GET", f"/containers/{made['Id']}/json")
        except ProviderError as error:
            await self._container(made["Id"], name).remove()
            raise ProviderError(NAME, f"a sandbox could not start ({error.message}): {NEEDS}") from None
        return container

    async def _image_for(self, wish: str) -> tuple[str, Sequence[str]]:
        """The first that is there: the operator's only one, or the one wished for, or the one with every toolchain.

        And the places where it would have a volume, which has no limit.
        """
        names = [self._image] if self._image else [published_name(wish or DEFAULT), published_name(DEFAULT)]
        for name in names:
            with suppress(NotFound):
                found = await self._engine.call("GET", f"/images/{name}/json")
                return name, list(found["Config"].get("Volumes") or ())
        raise ProviderError(NAME, _missing(names[-1]))

    async def _reached(self, container: Mapping[str, Any], job_id: str, name: str) -> ServedSandbox:
        lifeline = self._container(container["Id"], name)
        attached: Attached | None = None
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                argv, user, variables = forwarder()
                attached = await self._engine.run(container["Id"], argv, user=user, env=variables)
                header, _ = lengths(await attached.stdout.readexactly(LENGTHS.size))
                header_of(await attached.stdout.readexactly(min(header, 4096)))
        except (NotFound, Unprocessable):
            await lifeline.remove()
            raise
        except (OSError, EOFError, ValueError, TimeoutError, ProviderError) as error:
            await lifeline.remove()
            words = f"{type(error).__name__}: {error}"
            if attached:
                attached.stdin.close()
                words = attached.stdout.complaint.decode(errors="replace").strip() or words
            raise ProviderError(NAME, f"a sandbox could not start ({words}): {NEEDS}", retryable=True) from None
        lifeline.process = attached.id
        return ServedSandbox(
            id=job_id,
            provider=NAME,
            streams=(attached.stdout, attached.stdin),
            lifeline=lifeline,
            environment=environment(()) | {"PATH": f"{MADE_PATH}:{_path_in(container)}"},
            limits=self._limits.inside() | {"NPROC": 0},  # the engine counts them; the kernel would count users
            disks=DISKS,
            wall_clock_s=self._limits.wall_clock_s,
            network=self._network(container, name),
            shelf=self._shelf and self._shelf.of(container["Image"]),
        )

    def _network(self, container: Mapping[str, Any], name: str) -> "MountedNetwork | None":
        if self._setup is None or not container["Mounts"]:
            return None
        return MountedNetwork(self._setup, self._setup.folder / name / "socket")


class _Container:
    """Its end takes everything inside along, and the folder it shared with the bot.

    `process`: what carries our stream. Another one means that another bot has taken over: then its end is not ours.
    """

    def __init__(self, engine: Engine, id: str, folder: Path | None) -> None:
        self._engine, self._id, self._folder = engine, id, folder
        self._ending: asyncio.Task[None] | None = None
        self.process = ""

    def kill(self) -> None:
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end())

    async def gone(self) -> None:
        if self._ending is not None:
            await asyncio.shield(self._ending)

    async def leave(self) -> None:
        """Our stream has ended, and with it what ran inside."""
        await self.gone()

    async def _end(self) -> None:
        try:
            processes = (await self._engine.call("GET", f"/containers/{self._id}/json"))["ExecIDs"] or ()
        except NotFound:  # it ended by itself, and left its folder to nobody or to the job's next container
            processes = ()
            with suppress(NotFound):
                if self._folder and await self._engine.call("GET", f"/containers/{self._folder.name}/json"):
                    return
        for process in processes:
            if process != self.process and await self._engine.is_running(process):
                return
        await self.remove()

    async def remove(self) -> None:
        """Returns when it is gone. Raises ProviderError."""
        ends = asyncio.get_running_loop().time() + GONE_WITHIN_S
        while True:
            try:
                await self._engine.call("DELETE", f"/containers/{self._id}", params={"force": "1", "v": "1"})
                break
            except NotFound:
                break
            except Unprocessable:  # its removal is on the way already
                if asyncio.get_running_loop().time() > ends:
                    raise
                await asyncio.sleep(0.05)
        if self._folder:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


def _path_in(container: Mapping[str, Any]) -> str:
    """Where the image says its programs are."""
    for pair in container["Config"].get("Env") or ():
        name, _, value = str(pair).partition("=")
        if name == "PATH" and value:
            return value
    return SYSTEM_PATH


def _missing(image: str) -> str:
    return f"The Docker engine has no image {image}: `backspace images build` makes it, or DOCKER_IMAGE names another."
