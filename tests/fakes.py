"""Stand-ins that keep the ports' promises, for tests of what stands on them."""

import asyncio
import hashlib
import itertools
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from bot.domain.conversation import Conversation, Json, Reply, Usage, UserTurn, calls_of
from bot.domain.errors import LimitReached, ModelError, ProviderError, UserError
from bot.domain.events import JobEvent
from bot.domain.job import Change, FileStat, Mode, Patch
from bot.domain.pricing import Price
from bot.ports import BaseFile, Entry, ExecResult, ExportedFile, Sandbox
from bot.publish.archive import put_changes
from bot.publish.pull_request import blob_sha

GIT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "HOME": os.devnull, "PATH": os.environ["PATH"]}


# ---------------------------------------------------------------- journal


class Crash(BaseException):
    """The process is gone: not an error anybody may handle."""


class MemoryJournal:
    """Keeps entries and events in order. With `crash_after` the process dies once that many records are durable."""

    def __init__(self, entries: Sequence[Entry] = (), *, crash_after: int | None = None) -> None:
        self._entries = list(entries)
        self.contents: dict[str, bytes] = {}
        self.events: list[JobEvent] = []
        self.records = 0
        self._crash_after = crash_after

    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entries)

    async def content(self, sha256: str) -> bytes | None:
        return self.contents.get(sha256)

    async def record(self, *events: JobEvent, entry: Entry | None = None, before: Sequence[Entry] = ()) -> None:
        await asyncio.sleep(0)
        self.events += events
        for kept in (*before, *(() if entry is None else (entry,))):
            self._entries.append(replace(kept, contents={}))
            self.contents |= kept.contents
        self.records += 1
        if self.records == self._crash_after:
            raise Crash

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


# ---------------------------------------------------------------- model

Answer = Sequence[Json] | ModelError
Script = Callable[[Conversation], Answer]
_ids = itertools.count(1)


def say(text: str) -> Json:
    return {"type": "text", "text": text}


def use(name: str, **given: Any) -> Json:
    return {"type": "tool_use", "id": f"toolu_{next(_ids):06}", "name": name, "input": given}


def submit(**given: Any) -> Json:
    words = {"outcome": "changes", "title": "Say hello", "summary": "It says hello.", "testing": "Ran it."}
    return use("submit", **{**words, **given})


def results(conversation: Conversation) -> list[str]:
    """Texts of the newest user turn: tool results first, then notes."""
    turn = conversation.turns[-1]
    return [*(block.text for block in turn.blocks), *turn.notes] if isinstance(turn, UserTurn) else []


def diff_id_in(conversation: Conversation) -> str:
    """The id that the newest results show; fails when they show none."""
    found = [line for text in results(conversation) for line in text.split("\n") if line.startswith("diff_id: ")]
    return found[-1].removeprefix("diff_id: ")


def steps(*scripts: Script | Answer) -> Script:
    """The n-th reply of the conversation comes from the n-th script; past the last one the last is used again."""

    def script(conversation: Conversation) -> Answer:
        number = sum(not isinstance(turn, UserTurn) for turn in conversation.turns)
        step = scripts[min(number, len(scripts) - 1)]
        return step(conversation) if callable(step) else step

    return script


class ScriptedModel:
    """A model whose replies are a function of the conversation; `asked` holds what it was asked."""

    def __init__(
        self,
        script: Script,
        *,
        name: str = "scripted",
        family: str = "scripted",
        longest_prompt: int = 400_000,
        usage: Usage | None = None,
        stop_reason: str | None = None,
        says_it_is: str = "",
    ) -> None:
        self._script = script
        self._name = name
        self._says_it_is = says_it_is or name
        self.family = family
        self.longest_prompt = longest_prompt
        self.price: Price | None = None
        self.effort = ""
        self._usage = usage or Usage(fresh=1000, output=100)
        self._stop_reason = stop_reason
        self.asked: list[Conversation] = []
        self.max_tokens: list[int] = []

    @property
    def name(self) -> str:
        return self._name

    async def ask(self, conversation: Conversation, *, max_tokens: int) -> Reply:
        self.asked.append(conversation)
        self.max_tokens.append(max_tokens)
        await asyncio.sleep(0)
        answer = self._script(conversation)
        if isinstance(answer, ModelError):
            raise answer
        blocks = tuple(answer)
        calls = calls_of(blocks)
        return Reply(
            model=self._says_it_is,
            message_id=f"msg_{len(self.asked)}",
            stop_reason=self._stop_reason or ("tool_use" if calls else "end_turn"),
            blocks=blocks,
            text="".join(block["text"] for block in blocks if block["type"] == "text"),
            calls=calls,
            usage=self._usage,
        )


# ---------------------------------------------------------------- sandbox


class DirectorySandbox:
    """A temporary folder and plain processes: keeps the promises about results and contains nobody."""

    def __init__(self, root: Path, *, name: str = "sandbox-1") -> None:
        self.root = root
        self._id = name
        self.commands: list[tuple[str, ...]] = []

    @property
    def id(self) -> str:
        return self._id

    @property
    def provider(self) -> str:
        return "directory"

    @property
    def warm(self) -> bool:
        return False

    async def allow_network(self, names: Sequence[str]) -> None:
        raise ProviderError("directory", "it has no network to give")

    async def end_network(self) -> tuple[str, ...]:
        return ()

    async def keep(self, key: str) -> None:
        raise ProviderError("directory", "it keeps nothing")

    async def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        timeout_s: float,
        max_output_bytes: int = 1_000_000,
    ) -> ExecResult:
        if any("\0" in part for part in argv):
            raise ValueError("argv holds NUL")
        self.commands.append(tuple(argv))
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.root,
            env={**GIT, "HOME": str(self.root.parent), **(env or {})},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(timeout_s):
                stdout, stderr = await process.communicate(stdin)
            timed_out = False
        except TimeoutError:
            stdout, stderr, timed_out = b"", b"", True
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        code = process.returncode or 0
        half = max_output_bytes // 2
        cut = len(stdout) > max_output_bytes
        return ExecResult(
            exit_code=None if timed_out else 128 - code if code < 0 else code,
            stdout=stdout[:half] + stdout[-half:] if cut else stdout,
            stderr=stderr[:max_output_bytes],
            truncated=cut,
            timed_out=timed_out,
            seconds=time.monotonic() - began,
        )

    def _inside(self, path: str) -> Path:
        place = (self.root / path).resolve()
        if not place.is_relative_to(self.root.resolve()):
            raise PermissionError(f"{path} leaves the work tree")
        return place

    async def read_file(self, path: str, *, max_bytes: int) -> bytes:
        content = self._inside(path).read_bytes()
        if len(content) > max_bytes:
            raise LimitReached(f"{path} is larger than {max_bytes} bytes.")
        return content

    async def write_file(self, path: str, content: bytes) -> None:
        place = self._inside(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    async def list_files(self) -> tuple[str, ...]:
        return tuple(sorted(_walk(self.root)))

    async def put_archive(self, chunks: AsyncIterator[bytes]) -> None:
        content = b"".join([chunk async for chunk in chunks])
        with tarfile.open(fileobj=BytesIO(content)) as archive:
            archive.extractall(self.root, filter="data")

    async def export_changes(self, base: Mapping[str, BaseFile], *, max_bytes: int) -> tuple[ExportedFile, ...]:
        there = {path: self.root / path for path in _walk(self.root)}
        ignored = await self.exec(
            ["git", "check-ignore", "-z", "--stdin"], stdin="\0".join(there).encode(), timeout_s=30
        )
        hidden = set(ignored.stdout.decode().split("\0")) - base.keys()
        found = [_exported(path, place, base.get(path)) for path, place in there.items() if path not in hidden]
        gone = [ExportedFile(path, None, None) for path in base if path not in there]
        changed = sorted([file for file in found if file] + gone, key=lambda file: file.path)
        if sum(len(file.content or b"") for file in changed) > max_bytes:
            raise LimitReached(f"The changes are larger than {max_bytes} bytes.")
        return tuple(changed)

    async def close(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    async def leave(self) -> None:
        await self.close()


def _walk(root: Path) -> list[str]:
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name != ".git"]
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in [*files, *links]]
    return found


def _exported(path: str, place: Path, base: BaseFile | None) -> ExportedFile | None:
    """None when the file is what it was."""
    link = place.is_symlink()
    content = os.readlink(place).encode() if link else place.read_bytes()
    mode = "120000" if link else "100755" if place.stat().st_mode & 0o100 else "100644"
    sha = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return None if base == BaseFile(mode, sha) else ExportedFile(path, mode, content)


# ---------------------------------------------------------------- workspace


class GitWorkspace:
    """A base tree and the difference to it, by real git in a store of its own that the sandbox cannot reach."""

    def __init__(self, store: Path, files: Mapping[str, bytes], *, executable: Sequence[str] = ()) -> None:
        self._store = store
        self._files = dict(files)
        self._executable = set(executable)
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            self._lay_out(Path(folder))
            self._git("init", "-q", tree=None)
            self._git("add", "-A", "-f", ".", tree=Path(folder))
            self.base_tree = self._git("write-tree", tree=None).decode().strip()
        self._sha = "0" * 39 + "1"

    def _git(self, *argv: str, tree: Path | None) -> bytes:
        where = ["--git-dir", str(self._store), *(["--work-tree", str(tree)] if tree else [])]
        git = ["git", "-c", "core.autocrlf=false", "-c", "core.quotepath=false", *where, *argv]
        return subprocess.run(git, env=GIT, cwd=tree, check=True, capture_output=True).stdout

    def _lay_out(self, root: Path) -> None:
        for path, content in self._files.items():
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            place.chmod(0o755 if path in self._executable else 0o644)

    @property
    def base_sha(self) -> str:
        return self._sha

    async def fill(self, sandbox: Sandbox) -> None:
        if not isinstance(sandbox, DirectorySandbox):
            raise TypeError("this workspace fills a DirectorySandbox")
        sandbox.root.mkdir(parents=True, exist_ok=True)
        self._lay_out(sandbox.root)
        who = ["-c", "user.name=base", "-c", "user.email=base@localhost"]
        for argv in (["init", "-q"], ["add", "-A", "-f"], [*who, "commit", "-q", "--allow-empty", "-m", "base"]):
            await sandbox.exec(["git", *argv], timeout_s=60)

    async def base_file(self, path: str) -> bytes | None:
        return self._files.get(path)

    async def base_paths(self) -> tuple[str, ...]:
        return tuple(sorted(self._files))

    async def changes(self, sandbox: Sandbox, *, max_bytes: int) -> tuple[ExportedFile, ...]:
        return await sandbox.export_changes(self._base(), max_bytes=max_bytes)

    async def put_changes(self, sandbox: Sandbox, files: Sequence[ExportedFile]) -> None:
        await put_changes(sandbox, files)

    def _base(self) -> dict[str, BaseFile]:
        return {
            path: BaseFile("100755" if path in self._executable else "100644", blob_sha(content))
            for path, content in self._files.items()
        }

    async def take_patch(self, sandbox: Sandbox) -> Patch:
        if not isinstance(sandbox, DirectorySandbox):
            raise TypeError("this workspace reads a DirectorySandbox")
        if not sandbox.root.is_dir():
            raise UserError("The work tree is gone.")
        self._git("add", "-A", ".", tree=sandbox.root)
        diff = self._git("diff", "--cached", "--no-color", "--no-renames", self.base_tree, tree=sandbox.root)
        raw = self._git("diff", "--cached", "--raw", "-z", "--no-renames", self.base_tree, tree=sandbox.root)
        fields = raw.decode().split("\0")
        changes = tuple(_change(sandbox.root, *pair) for pair in zip(fields[0::2], fields[1::2], strict=False))
        counted = self._git("diff", "--cached", "--numstat", "-z", "--no-renames", self.base_tree, tree=sandbox.root)
        tree_sha = self._git("write-tree", tree=sandbox.root).decode().strip()
        text = diff.decode("utf-8", "replace")
        return Patch(
            base_sha=self._sha,
            tree_sha=tree_sha,
            changes=changes,
            stats=tuple(_stat(line) for line in counted.decode().split("\0") if line),
            diff=text,
            diff_id=_short_hash(diff + tree_sha.encode()),
        )


def _change(root: Path, facts: str, path: str) -> Change:
    was, now = facts.lstrip(":").split(" ")[:2]
    modes: dict[str, Mode] = {"100644": "100644", "100755": "100755", "120000": "120000"}
    if now == "000000":
        return Change(path, None, None, was)
    place = root / path
    content = os.readlink(place).encode() if now == "120000" else place.read_bytes()
    return Change(path, modes[now], content, None if was == "000000" else was)


def _stat(line: str) -> FileStat:
    added, removed, path = line.split("\t", 2)
    return FileStat(path, None, None) if added == "-" else FileStat(path, int(added), int(removed))


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
