"""A sandbox reached through the helper inside it: the port's calls as frames over one stream."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from bot.domain.errors import LimitReached, ProviderError
from bot.ports import BaseFile, ExecResult, ExportedFile
from bot.sandboxes.exporting import EXPORT_ENVIRONMENT, LIST_UNIGNORED, Reading, changed_files, safe_paths
from bot.sandboxes.inside.wire import Header
from bot.sandboxes.observed import observer
from bot.sandboxes.outside import Lifeline, Network, Stream
from bot.sandboxes.shelf import Shelf, Unfinished
from bot.sandboxes.talk import CALL_TIMEOUT_S, Talk

GRACE_S = 20.0  # for the helper to end a command and answer, also where the machine stalls; then the host ends all
PACK_TIMEOUT_S = 300.0
MAX_LISTING_BYTES = 64 << 20
MAX_PIECE_BYTES = 1 << 20  # of an archive on its way out
SQUEEZERS = ("zstd", "gzip")
LIST_MADE = ("git", "ls-files", "-z", "--others", "--directory")
STDIN_BYTES_PER_S = 10 << 20  # slower than any machine takes them


class ServedSandbox:
    """Calls take turns: after a command, or a call that was cancelled, nothing of it runs on.

    After a call cancelled half way it can only be closed or left, since half a frame cannot be taken back.
    """

    def __init__(
        self,
        *,
        id: str,
        provider: str,
        streams: tuple[Stream, asyncio.StreamWriter],
        lifeline: Lifeline,
        environment: Mapping[str, str],
        limits: Mapping[str, int],
        disks: Sequence[str],
        wall_clock_s: float,
        network: Network | None = None,
        shelf: Shelf | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        self._id, self._provider = id, provider
        self._talk = Talk(provider, streams, kill=lifeline.kill, wall_clock_s=wall_clock_s)
        self._lifeline = lifeline
        self._environment, self._limits, self._disks = dict(environment), dict(limits), list(disks)
        self._network, self._way_out = network, dict[str, str]()
        self._observed: tuple[str, ...] = ()
        self._shelf, self._warm = shelf, False
        self._grace_s = grace_s

    @property
    def id(self) -> str:
        return self._id

    @property
    def provider(self) -> str:
        return self._provider

    @property
    def warm(self) -> bool:
        return self._warm

    @property
    def is_lost(self) -> bool:
        return bool(self._talk.lost)

    def observe(self, names: Sequence[str]) -> None:
        """From now on commands are observed: which other hosts they ask for. No names: no more."""
        self._observed = tuple(names)

    async def allow_network(self, names: Sequence[str]) -> None:
        if self._network is None:
            raise ProviderError(self._provider, "its sandboxes can have no network, or not any more")
        if self._network.prepare():
            await self._talk.call({"op": "listen"}, max_body=0)
        self._way_out = await self._network.open(names)

    async def end_network(self) -> tuple[str, ...]:
        """No process is left anyway: each command's whole tree is gone with it."""
        network, self._network, self._way_out = self._network, None, {}
        return await network.close() if network else ()

    async def keep(self, key: str) -> None:
        if self._shelf is None:
            raise ProviderError(self._provider, "it has nowhere to save what the setup phase made")
        try:
            made = await asyncio.to_thread(self._shelf.begin, key)
            try:
                await self._pack("tree", self._disks[0], await self._made_names(), made)
                await self._pack("home", self._environment["HOME"], b".\0", made)
                await asyncio.to_thread(self._shelf.put, made)
            finally:
                await asyncio.to_thread(made.drop)
        except (OSError, LimitReached) as error:
            raise ProviderError(self._provider, f"what the setup phase made could not be saved: {error}") from None

    async def begun(self, key: str) -> bool:
        """With what another's `keep` saved under that key, if anything; False when that failed, and this is closed."""
        kept = self._shelf.find(key) if self._shelf and key else None
        if kept is None or self._shelf is None:
            return True
        try:
            for place, directory in (("tree", self._disks[0]), ("home", self._environment["HOME"])):
                request = {"op": "unpack", "into": directory, "squeezed": kept.squeezed[place]}
                await self._unpack(request, kept.chunks(place))
        except (OSError, LimitReached, ProviderError, KeyError):
            await self.close()
            self._shelf.forget(key)
            return False
        self._warm = True
        return True

    async def _made_names(self) -> bytes:
        """All of the work tree that is not in the commit, whole directories by one name."""
        listed = await self.exec(LIST_MADE, timeout_s=CALL_TIMEOUT_S, max_output_bytes=MAX_LISTING_BYTES)
        if listed.exit_code != 0 or listed.truncated:
            raise ProviderError(self._provider, "git in the sandbox could not list what the setup phase made")
        return listed.stdout

    async def _pack(self, place: str, directory: str, names: bytes, made: Unfinished) -> None:
        """Raises LimitReached once all was taken in: half an answer would end the sandbox."""
        too_large: LimitReached | None = None
        with made.open(place) as file:
            async with self._talk.exchange(PACK_TIMEOUT_S):
                await self._talk.send({"op": "pack", "of": directory}, names)
                while chunk := (await self._talk.receive(MAX_PIECE_BYTES))[1]:
                    if too_large:
                        continue
                    try:
                        await asyncio.to_thread(made.count, len(chunk))
                        await asyncio.to_thread(file.write, chunk)
                    except LimitReached as error:
                        too_large = error
                header, _ = await self._talk.receive(0)
        self._talk.raise_refusal(header)
        if too_large:
            raise too_large
        made.squeezed[place] = header["squeezed"] if header.get("squeezed") in SQUEEZERS else ""

    async def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        timeout_s: float,
        max_output_bytes: int = 1_000_000,
    ) -> ExecResult:
        """As the port says; standard output and error are each kept up to `max_output_bytes`, the cut named in between.

        A program that does not exist ends with 127, one that cannot be started with 126, as in a shell.
        """
        environment = self._environment | self._way_out | dict(env or {})
        _check_words(argv, environment)
        request: Header = {"op": "exec", "argv": list(argv), "env": environment, "timeout_s": timeout_s}
        request |= {"max_output": max_output_bytes, "limits": self._limits, "disks": self._disks}
        if self._observed:
            request["beside"] = observer(self._observed)
        patience = timeout_s + self._grace_s + len(stdin) / STDIN_BYTES_PER_S
        header, body = await self._talk.call(request, stdin, timeout_s=patience, max_body=2 * max_output_bytes + 4096)
        with self._talk.sense():
            return ExecResult(
                exit_code=None if header["timed_out"] else int(header["exit"]),
                stdout=body[: int(header["stdout"])],
                stderr=body[int(header["stdout"]) :],
                truncated=bool(header["truncated"]),
                timed_out=bool(header["timed_out"]),
                seconds=float(header["seconds"]),
                tree=int(header.get("tree", 0)) % 2**63,
            )

    async def read_file(self, path: str, *, max_bytes: int) -> bytes:
        _, body = await self._talk.call({"op": "read", "max": max_bytes}, _as_bytes(path), max_body=max_bytes)
        return body

    async def write_file(self, path: str, content: bytes) -> None:
        name = _as_bytes(path)
        await self._talk.call({"op": "write", "path": len(name)}, name + content, max_body=0)

    async def list_files(self) -> tuple[str, ...]:
        _, body = await self._talk.call({"op": "list"}, max_body=MAX_LISTING_BYTES)
        return safe_paths(body)

    async def put_archive(self, chunks: AsyncIterator[bytes]) -> None:
        await self._unpack({"op": "unpack"}, chunks)

    async def _unpack(self, request: Header, chunks: AsyncIterator[bytes]) -> None:
        async with self._talk.exchange(CALL_TIMEOUT_S):
            await self._talk.send(request, b"")
            async for chunk in chunks:
                if chunk:
                    await self._talk.send({}, chunk)
            await self._talk.send({}, b"")
            header, _ = await self._talk.receive(0)
        self._talk.raise_refusal(header)

    async def export_changes(self, base: Mapping[str, BaseFile], *, max_bytes: int) -> tuple[ExportedFile, ...]:
        found = await self.exec(
            LIST_UNIGNORED, env=EXPORT_ENVIRONMENT, timeout_s=CALL_TIMEOUT_S, max_output_bytes=MAX_LISTING_BYTES
        )
        if found.truncated:
            raise LimitReached("There are too many new files in the work tree to look at.")
        if found.exit_code != 0:
            words = found.stderr.decode(errors="replace").strip()[:300]
            raise ProviderError(self._provider, f"git in the sandbox could not list the changes: {words}")
        reading = Reading(states=self._states, content=self._content, max_bytes=max_bytes)
        with self._talk.sense():
            return await changed_files(base, safe_paths(found.stdout, base), reading)

    async def close(self) -> None:
        self._talk.end("it was closed")
        await self.end_network()
        await self._lifeline.gone()

    async def leave(self) -> None:
        self._talk.let_go("it was left")
        await self.end_network()
        await self._lifeline.leave()

    async def _states(self, paths: Sequence[str]) -> list[bytes]:
        names = b"".join(_as_bytes(path) + b"\0" for path in paths)
        _, body = await self._talk.call({"op": "states"}, names, max_body=128 * len(paths))
        return body.split(b"\0")[:-1]

    async def _content(self, path: str, max_bytes: int) -> tuple[str, bytes]:
        header, body = await self._talk.call({"op": "export", "max": max_bytes}, _as_bytes(path), max_body=max_bytes)
        return str(header["mode"]), body


def _as_bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _check_words(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    if not argv or not argv[0]:
        raise ValueError("argv needs a program")
    if any("\0" in word for word in (*argv, *environment, *environment.values())):
        raise ValueError("argv and environment cannot hold a NUL character")
    if any(not name or "=" in name for name in environment):
        raise ValueError("an environment variable's name cannot be empty or hold =")
