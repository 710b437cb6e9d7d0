"""The world around a worker that is killed: loopback GitHub and model, the web door, and the people who ask."""

import asyncio
import json
import os
import random
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bot.config import Config
from bot.domain.job import Job
from bot.standins.github import LoopbackGitHub
from bot.standins.github.faults import DropReply
from bot.standins.github.state import Delivery, Issue, Repository
from bot.standins.messages import LoopbackMessages
from bot.standins.serving import reserved_port, serve
from bot.stores import Store, open_store
from bot.wiring import web_app
from tests.polling import until
from tests.stores.beside import pass_time, run
from tests.storm.effects import Kill, lines_of
from tests.storm.promises import BESIDES, Fault, broken
from tests.storm.scene import ASK, Claude, repository
from tests.storm.worker import Spec

KEY = "test-key-that-is-long-enough"
WITHIN_S = 120.0  # a whole job, on a machine that stands still now and then
RANDOM_KILLS_A_JOB = 12
STARTING = Kill("while starting #0", "before")
WRITES = (
    *(("POST", path) for path in ("/git/refs$", "/git/blobs$", "/git/trees$", "/git/commits$", "/pulls$")),
    *(("POST", path) for path in (r"/issues/\d+/comments$", "/reactions$", "/check-runs$")),
    *(("PATCH", path) for path in ("/git/refs/", "/issues/comments/", "/check-runs/")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one job came to. `deaths`: of its workers, where known the effect and the side of it that they died on;
    `faults`: everything that must not be."""

    deaths: tuple[Kill, ...]
    faults: tuple[Fault, ...]
    effects: tuple[str, ...] = field(repr=False)


class Workers:
    """The process that forks workers, spoken to one at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def start(self, spec: Spec) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(spec.line())
        return await self._heard("pid")

    async def status(self) -> int:
        return await self._heard("status")

    async def _heard(self, word: str) -> int:
        assert self._process.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            heard: dict[str, int] = json.loads(await self._process.stdout.readline())
        return heard[word]


@dataclass(slots=True)
class Storm:
    github: LoopbackGitHub
    repository: Repository
    claude: Claude
    store: Store
    config: Config
    settings: dict[str, str]
    workers: Workers
    root: Path
    drops: bool
    duplicates: bool
    jobs: int = 0
    job_s: float = 1.8  # about how long a worker lives that nobody kills; learned from what random kills hit and miss

    async def run(
        self,
        kills: Sequence[Kill] = (),
        *,
        chance: random.Random | None = None,
        between: Callable[[int], None] = lambda _: None,
        on: Issue | None = None,
        ask: str = ASK,
    ) -> Outcome:
        """One job from its comment to its end; each kill falls once. With `chance`, some fall at random instants.

        The comment stands `on` an issue of its own unless one is given.

        `between` is what happens while no worker lives; it is told how many have died.
        """
        self.jobs += 1
        job, issue = await self._asked(on, ask)
        log = self.root / f"effects-{self.jobs}"
        self.github.faults.clear()
        if self.drops:
            for method, path in WRITES:
                self.github.faults.add(DropReply(), method=method, path=path)
        deaths: list[Kill] = []
        while True:
            left = tuple(kill for kill in kills if kill not in deaths)
            seen = len(lines_of(log))
            pid = await self.workers.start(Spec(self.settings, job.id, str(log), left))
            is_hunted = chance is not None and len(deaths) < RANDOM_KILLS_A_JOB
            killing = self._killed_at_random(pid, chance, log, seen) if chance is not None and is_hunted else None
            status = await self._status(job, killing)
            if is_hunted:
                self.job_s *= 0.7 if status == 0 else 1.05
            await self._learn(job)
            if status == 0:
                break
            deaths.append(last_of(log, seen))
            if status != -signal.SIGKILL:
                fault = Fault(BESIDES, f"the worker ended with {status}")
                return Outcome(deaths=tuple(deaths), faults=(fault,), effects=())
            await self._say_again(issue)
            between(len(deaths))
            await pass_time(self.config.database_url)
        await self._say_again(issue)
        world = (self.github, self.repository, self.store, self.claude)
        faults = await broken(*world, job=job, issue=issue, killed=len(deaths))
        effects = tuple(line.effect for line in lines_of(log) if line.when == "before")
        return Outcome(deaths=tuple(deaths), faults=faults, effects=effects)

    def role(self, role: str) -> None:
        """What the person who asks may do from now on."""
        self.github.set_role(self.repository, "alice", role)

    async def _asked(self, on: Issue | None, ask: str) -> tuple[Job, Issue]:
        title = f"The value is broken {self.jobs}"
        issue = on or self.github.open_issue(self.repository, "alice", title, "Please fix.")
        self.github.comment(self.repository, issue.number, "alice", ask)
        await self.github.deliver()
        await self._say_again(issue)
        row, *_ = await self.store.jobs_on(self.repository.id, issue.number)
        return row.job, issue

    async def _killed_at_random(self, pid: int, chance: random.Random, log: Path, seen: int) -> None:
        """Somewhere between the first thing a worker does and the last; a worker that was faster goes free."""
        await until(lambda: len(lines_of(log)) > seen, within_s=WITHIN_S)
        await asyncio.sleep(chance.uniform(0.0, self.job_s))
        os.kill(pid, signal.SIGKILL)

    async def _status(self, job: Job, killing: Coroutine[None, None, None] | None) -> int:
        """Of the worker, at its end; a job that rests before another attempt does not rest here."""
        killer = asyncio.ensure_future(killing) if killing else None
        waiting = asyncio.ensure_future(self.workers.status())
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=0.5)
            if not waiting.done():
                resting = f"id = '{job.id}' AND state = 'queued' AND run_at > 0"
                await run(self.config.database_url, f"UPDATE jobs SET run_at = 0 WHERE {resting}")
        if killer:
            killer.cancel()
        return waiting.result()

    async def _learn(self, job: Job) -> None:
        replies = [entry for entry in await self.store.journal(job.id) if entry.key.startswith("reply")]
        self.claude.known[job.issue.number] = len(replies)

    async def _say_again(self, issue: Issue) -> None:
        """GitHub delivers once more, under the old id and under a new one."""
        if not self.duplicates:
            return
        for delivery in [d for d in self.github.deliveries if d.event == "issue_comment" and not d.redelivery]:
            if json.loads(delivery.payload)["issue"]["number"] == issue.number:
                self.github.redeliver(delivery)
                await self._replayed(delivery)
        await self.github.deliver()

    async def _replayed(self, delivery: Delivery) -> None:
        headers = {**delivery.request_headers, "X-GitHub-Delivery": secrets.token_hex(16)}
        async with httpx.AsyncClient() as client:
            url = f"{self.config.public_url}/webhook"
            answer = await client.post(url, content=delivery.payload, headers=headers)
        assert answer.status_code == 202, answer.text


def last_of(log: Path, since: int) -> Kill:
    """What a worker died in, of an attempt that found so many lines."""
    lines = lines_of(log)[since:]
    return lines[-1] if lines else STARTING


@asynccontextmanager
async def storm(
    root: Path,
    *,
    database_url: str = "",
    drops: bool = False,
    duplicates: bool = False,
    make: Callable[[Path], Path] = repository,
    claude: Claude | None = None,
) -> AsyncIterator[Storm]:
    """`drops`: of each kind of write the first answer in each job is lost. `duplicates`: GitHub delivers everything
    again and again. SQLite, unless a `database_url` is given. `make` lays out the repository."""
    source = root / "source"
    source.mkdir(parents=True)
    github, claude = LoopbackGitHub(root / "github"), claude or Claude()
    github.world.rate_limit = 1_000_000  # hundreds of jobs in a few minutes are no flood here
    repo = github.add_repository("acme", "widget", source=make(source))
    github.set_role(repo, "alice", "write")
    messages = LoopbackMessages(claude, api_key=KEY, largest_write=None)
    async with AsyncExitStack() as held:
        secret, port = secrets.token_hex(16), held.enter_context(reserved_port())
        hook = f"http://127.0.0.1:{port}/webhook"
        registered = github.create_app(webhook_url=hook, webhook_secret=secret, owner="acme")
        github.install(registered.app, "acme")
        github_url = await held.enter_async_context(github.serve())
        messages_url = await held.enter_async_context(serve(messages.asgi()))
        settings = {
            "GITHUB_APP_ID": str(registered.app.id),
            "GITHUB_PRIVATE_KEY": registered.private_key_pem,
            "GITHUB_WEBHOOK_SECRET": secret,
            "GITHUB_API_URL": f"{github_url}/api/v3",
            "BACKSPACE_HOME": str(root / "home"),
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "PORT": str(port),
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": messages_url,
            "BACKSPACE_MODEL": "claude-opus-5-5",
            "BACKSPACE_REPO_USD_PER_DAY": "9000",
            "BACKSPACE_INSTALLATION_USD_PER_DAY": "9000",
            "BACKSPACE_JOBS_PER_HOUR": "9000",
            **({"DATABASE_URL": database_url} if database_url else {}),
        }
        config = Config.from_env(settings)
        config.home.mkdir(parents=True, exist_ok=True)
        store = await open_store(config.database_url)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.storm.worker"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with serve(web_app(config, store), port=port):
                workers = Workers(process)
                yield Storm(github, repo, claude, store, config, settings, workers, root, drops, duplicates)
        finally:
            process.kill()
            await process.wait()
            await store.close()
