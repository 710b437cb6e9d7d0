"""Counts what a worker does to the world, and kills its process before or after one of those effects."""

import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from bot.ports import GitHub, GitHubApp, Model, Sandbox, SandboxProvider
from bot.stores import Store

When = Literal["before", "after"]
READS = {"events", "journal", "content", "job", "jobs_on", "watch", "shut_out"}
READS |= {"started_this_hour", "seconds_since_entry"}
BESIDE = {"wait_for_work", "cancelled", "close", "renew"}  # how often they happen is chance
WRITES_ON_GITHUB = ("create_", "update_", "advance_", "delete_", "mark_", "react_", "request_")
IN_A_SANDBOX = {"exec", "write_file", "put_archive"}


@dataclass(frozen=True, slots=True)
class Kill:
    """`effect` is a name with its number, such as `store commit #3`."""

    effect: str
    when: When


class Effects:
    """Each effect has a name and a number of its own; the file gets a line before it begins and one after its end.

    The numbers go on from those in the file: they count in all attempts at a job.
    """

    def __init__(self, log: Path, kills: Collection[Kill]) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._kills = frozenset(kills)
        self._seen = Counter(kill.effect.rpartition(" #")[0] for kill in lines_of(log) if kill.when == "before")

    async def around(self, name: str, act: Callable[[], Awaitable[Any]]) -> Any:
        self._seen[name] += 1
        effect = f"{name} #{self._seen[name]}"
        self._at(effect, "before")
        try:
            return await act()
        finally:
            self._at(effect, "after")

    def _at(self, effect: str, when: When) -> None:
        os.write(self._log, f"{when} {effect}\n".encode())
        if Kill(effect, when) in self._kills:
            os.kill(os.getpid(), signal.SIGKILL)


def lines_of(log: Path) -> list[Kill]:
    """What happened so far, in order, each as a kill that would have fallen there."""
    return [Kill(effect, "before" if when == "before" else "after") for when, _, effect in map(_parts, _lines(log))]


def _lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def _parts(line: str) -> tuple[str, str, str]:
    return line.partition(" ")


class _Watched:
    """A port whose effects are counted; everything else goes straight through."""

    def __init__(self, port: Any, family: str, effects: Effects, is_effect: Callable[[str], bool]) -> None:
        self._port, self._family, self._effects, self._is_effect = port, family, effects, is_effect

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        if not callable(attribute) or not self._is_effect(name):
            return attribute

        async def act(*args: Any, **named: Any) -> Any:
            return await self._effects.around(f"{self._family} {name}", lambda: attribute(*args, **named))

        return act


def watched_store(store: Store, effects: Effects) -> Store:
    """Claims count only when they give a job: how often a worker looks is chance."""

    class Watched(_Watched):
        async def claim(self, *args: Any, **named: Any) -> Any:
            claim = await store.claim(*args, **named)

            async def given() -> Any:
                return claim

            return claim if claim is None else await effects.around("store claim", given)

    return cast(Store, Watched(store, "store", effects, lambda name: name not in READS | BESIDE))


def watched_model(model: Model, effects: Effects) -> Model:
    return cast(Model, _Watched(model, "model", effects, lambda name: name == "ask"))


class _Repository(_Watched):
    def progress(self) -> GitHub:
        return cast(GitHub, _Repository(self._port.progress(), self._family, self._effects, self._is_effect))


class _App:
    def __init__(self, app: GitHubApp, effects: Effects) -> None:
        self._app, self._effects = app, effects

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app, name)

    @asynccontextmanager
    async def repository(self, *args: Any, **named: Any) -> AsyncIterator[GitHub]:
        async with self._app.repository(*args, **named) as github:
            port = _Repository(github, "github", self._effects, lambda name: name.startswith(WRITES_ON_GITHUB))
            yield cast(GitHub, port)


def watched_app(app: GitHubApp, effects: Effects) -> GitHubApp:
    return cast(GitHubApp, _App(app, effects))


class _Provider(_Watched):
    async def open(self, job_id: str, **given: str) -> Sandbox:
        sandbox = await self._effects.around("sandbox open", lambda: self._port.open(job_id, **given))
        return cast(Sandbox, _Watched(sandbox, "sandbox", self._effects, IN_A_SANDBOX.__contains__))


def watched_provider(provider: SandboxProvider, effects: Effects) -> SandboxProvider:
    return cast(SandboxProvider, _Provider(provider, "sandbox", effects, IN_A_SANDBOX.__contains__))
