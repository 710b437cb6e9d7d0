"""A loopback Modal to which the real `modal deploy` brought the bot, beside a loopback GitHub, a Claude, a Postgres."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.domain.events import ToolCalled
from bot.domain.job import Start
from bot.ports import JobRow
from bot.stage import hosted
from bot.standins.github import LoopbackGitHub
from bot.standins.github.state import Repository
from bot.standins.messages import LoopbackMessages, Script, by_turn, use
from bot.standins.serving import serve
from bot.stores import QueueLimits, Store, open_store
from tests.repositories import PYTHON, submit
from tests.standins.modal.apps import Apps
from tests.standins.modal.containers import Container, Containers
from tests.standins.modal.functions import SUCCESS, Call, Functions
from tests.standins.modal.images import Secrets
from tests.standins.modal.server import ModalStandIn, modal_standin

ROOT = Path(__file__).parents[2]
KEY = "test-key-that-is-long-enough"
WITHIN_S = 90.0
LONG_S = 600.0  # a lease the test holds need not be renewed
APP_SECRET = ("GITHUB_APP_ID", "GITHUB_PRIVATE_KEY")


SLOW = by_turn(
    use("bash", command="sleep 6"),
    use("edit", file_path="calc/mean.py", old_string="(len(numbers) - 1)", new_string="len(numbers)"),
    *submit(),
)


@dataclass(frozen=True, slots=True)
class Town:
    """`door` is where the web function answers; `source` a copy of what is deployed."""

    modal: ModalStandIn
    source: Path
    github: LoopbackGitHub
    repository: Repository
    messages: LoopbackMessages
    store: Store
    door: str

    def containers(self, function: str) -> list[Container]:
        """Those that run and ran, in the order they were started."""
        functions = self.modal.part(Functions)
        return [c for c in self.modal.part(Containers).all if functions.definitions[c.function_id].name == function]

    def comment(self, text: str, *, login: str = "alice", issue: int | None = None) -> int:
        """Answers the issue's number; without one a new one is opened."""
        if issue is None:
            issue = self.github.open_issue(self.repository, "alice", "It is broken", "Please see to it.").number
        self.github.comment(self.repository, issue, login, text)
        return issue

    async def jobs(self, issue: int) -> list[JobRow]:
        rows = await self.store.jobs_on(self.repository.id, issue)
        return [row for row in rows if isinstance(row.job.command, Start)]

    async def finished(self, issue: int, *, jobs: int = 1) -> list[JobRow]:
        """When so many jobs of the thread have ended, newest first."""
        return await self.until(lambda rows: len(rows) == jobs and all(row.finished_at for row in rows), issue)

    async def until(self, holds: Callable[[list[JobRow]], object], issue: int) -> list[JobRow]:
        """Looks at the thread's jobs again and again; the containers' logs are said when that takes too long."""
        began = time.monotonic()
        while not holds(rows := await self.jobs(issue)):
            assert time.monotonic() - began < WITHIN_S, self.logs()
            await asyncio.sleep(0.05)
        return rows

    async def in_the_middle(self) -> int:
        """A job of SLOW at its first command. The issue's number."""
        issue = self.comment(PYTHON.request)
        await self.github.deliver()
        (row,) = await self.until(lambda rows: rows, issue)
        began = time.monotonic()
        while not any(isinstance(one.event, ToolCalled) for one in await self.store.events(row.job.id)):
            assert time.monotonic() - began < WITHIN_S, self.logs()
            await asyncio.sleep(0.05)
        return issue

    def assert_opened(self, issue: int, row: JobRow) -> None:
        (opened,) = self.github.pull_requests(self.repository)
        assert opened.body is not None
        assert f"Fixes #{issue}" in opened.body
        (comment,) = [c for c in self.github.comments(self.repository, issue) if c.author.type == "Bot"]
        assert f"{self.door}/jobs/{row.job.id}?t=" in comment.body, "PUBLIC_URL is where Modal put the door"

    def logs(self) -> str:
        return "\n".join(f"== {c.task_id}\n{c.log[-3_000:]}" for c in self.modal.part(Containers).all)


def succeeded(call: Call) -> bool:
    return call.result is not None and call.result.status == SUCCESS


def cli(*arguments: str, standin: ModalStandIn, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The real `modal` command, with a token and nothing else of this process's environment."""
    return subprocess.run(
        [sys.executable, "-m", "modal", *arguments],
        cwd=cwd,
        env=account(standin),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def account(standin: ModalStandIn) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(standin.home),
        "COLUMNS": "200",
        "MODAL_SERVER_URL": standin.url,
        "MODAL_TOKEN_ID": "ak-1",
        "MODAL_TOKEN_SECRET": "as-1",
        "MODAL_CONFIG_PATH": os.devnull,
    }


def copied(folder: Path) -> Path:
    """What is deployed: nobody edits it meanwhile, and nothing else of the project can be reached from it."""
    folder.mkdir()
    for name in ("modal_app.py", "requirements.lock", "requirements-door.lock"):
        shutil.copy(ROOT / name, folder)
    for name in ("bot", "sandbox_images"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def secrets_of(host: Mapping[str, str], *, model_url: str, database_url: str) -> dict[str, dict[str, str]]:
    return {
        "backspace-settings": {
            "DATABASE_URL": database_url,
            "SANDBOX": "bubblewrap",
            "GITHUB_API_URL": host["GITHUB_API_URL"],
        },
        "backspace-webhook": {"GITHUB_WEBHOOK_SECRET": host["GITHUB_WEBHOOK_SECRET"]},
        "backspace-app": {name: host[name] for name in APP_SECRET},
        "backspace-model": {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": model_url},
    }


@asynccontextmanager
async def town(
    tmp_path: Path, *, make: Callable[[Path], Path], script: Script, database_url: str, **settings: str
) -> AsyncIterator[Town]:
    """`settings` go into the secret `backspace-settings`. A call the loopback Modal does not know fails the test."""
    (tmp_path / "repository").mkdir()
    repository = make(tmp_path / "repository")
    messages = LoopbackMessages(script, api_key=KEY)
    host_of = hosted(tmp_path / "github", source=repository, owner="acme", name="widget", maintainer="alice")
    (tmp_path / "modal").mkdir()
    with modal_standin(tmp_path / "modal") as standin:
        async with host_of as host, serve(messages.asgi()) as model_url:
            secrets = secrets_of(host.settings, model_url=model_url, database_url=database_url)
            secrets["backspace-settings"] |= settings
            standin.part(Secrets).values.update(secrets)
            source = copied(tmp_path / "source")
            store = await open_store(database_url, limits=QueueLimits(lease_s=LONG_S))
            try:
                door = await asyncio.to_thread(deployed, standin, source)
                (app,) = host.github.world.apps.values()
                app.webhook_url = f"{door}/webhook"
                host.github.world.hook_timeout_s = WITHIN_S  # the door's container may still be starting
                yield Town(standin, source, host.github, host.repository, messages, store, door)
            finally:
                await store.close()
        assert standin.unanswered == []
        assert standin.faults == []


def deployed(standin: ModalStandIn, source: Path) -> str:
    """The door's address."""
    done = cli("deploy", "modal_app.py", standin=standin, cwd=source)
    assert done.returncode == 0, done.stdout + done.stderr
    app_id = standin.part(Apps).ids[("", "tiny-backspace")]
    function_id = standin.part(Apps).layouts[app_id].function_ids["door"]
    return standin.part(Functions).definitions[function_id].handle.web_url
