"""A bot wired to a loopback GitHub, all in this process: what the demo and the journey tests stand on."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.config import Config
from bot.domain.errors import UserError
from bot.domain.job import Continue, Start
from bot.ports import JobRow
from bot.standins.github import LoopbackGitHub
from bot.standins.github.git import GitFailed
from bot.standins.github.state import Repository
from bot.standins.serving import reserved_port, serve
from bot.stores import Store
from bot.wiring import opened_store, web_app, working

SLUG = "tiny-backspace"
HOOK_S = 60.0  # GitHub waits ten; here it shares a process with the bot, whose first imports may take as long


@dataclass(frozen=True, slots=True)
class Stage:
    """`github` is the loopback GitHub at its `base_url`; `repository` the one the App is installed on."""

    github: LoopbackGitHub
    repository: Repository
    store: Store
    config: Config

    async def jobs(self, issue: int) -> tuple[JobRow, ...]:
        """The jobs of a thread that do work, newest first."""
        rows = await self.store.jobs_on(self.repository.id, issue)
        return tuple(row for row in rows if isinstance(row.job.command, Start | Continue))

    def page(self, row: JobRow) -> str:
        return f"{self.config.public_url}/jobs/{row.job.id}?t={row.job.watch_key}"


@asynccontextmanager
async def staged(
    root: Path,
    *,
    source: Path,
    settings: Mapping[str, str],
    owner: str = "acme",
    name: str = "widget",
    maintainer: str = "alice",
) -> AsyncIterator[Stage]:
    """`source`: a git repository or a folder. `settings`: the model's and others, over the stage's own.

    `maintainer` has write access; everything lives below `root`. Raises ConfigFault, UserError.
    """
    front = front_door(root, source=source, settings=settings, owner=owner, name=name, maintainer=maintainer)
    async with front as stage, working(stage.config, stage.store):
        yield stage


@asynccontextmanager
async def front_door(
    root: Path, *, source: Path, settings: Mapping[str, str], owner: str, name: str, maintainer: str
) -> AsyncIterator[Stage]:
    """The stage without its worker: jobs are taken in, and stay where they are."""
    async with hosted(root, source=source, owner=owner, name=name, maintainer=maintainer) as host:
        config = Config.from_env({**host.settings, **settings})
        config.home.mkdir(parents=True, exist_ok=True)
        store = await opened_store(config)
        try:
            async with serve(web_app(config, store), port=config.port):
                yield Stage(host.github, host.repository, store, config)
        finally:
            await store.close()


@dataclass(frozen=True, slots=True)
class Host:
    """A GitHub without its bot. `settings` are for a bot at the address the App's webhook names."""

    github: LoopbackGitHub
    repository: Repository
    settings: Mapping[str, str]


@asynccontextmanager
async def hosted(root: Path, *, source: Path, owner: str, name: str, maintainer: str) -> AsyncIterator[Host]:
    """Raises UserError for a source that cannot be imported."""
    github = LoopbackGitHub(root / "github")
    github.world.hook_timeout_s = HOOK_S
    try:
        github.add_user(owner, type="Organization")
        repository = github.add_repository(owner, name, source=source)
    except GitFailed:
        raise UserError(f"{source} has no commit to work on: make one first, or name another repository.") from None
    except OSError as error:
        raise UserError(f"{source} cannot be imported: {error.filename or source}: {error.strerror}.") from None
    github.set_role(repository, maintainer, "write")
    async with AsyncExitStack() as held:
        secret, port = secrets.token_hex(16), held.enter_context(reserved_port())
        bot_url = f"http://127.0.0.1:{port}"
        registered = github.create_app(SLUG, webhook_url=f"{bot_url}/webhook", webhook_secret=secret, owner=owner)
        github.install(registered.app, owner)
        github_url = await held.enter_async_context(github.serve())
        settings = {
            "GITHUB_APP_ID": str(registered.app.id),
            "GITHUB_PRIVATE_KEY": registered.private_key_pem,
            "GITHUB_WEBHOOK_SECRET": secret,
            "GITHUB_API_URL": f"{github_url}/api/v3",
            "BACKSPACE_HOME": str(root / "home"),
            "PUBLIC_URL": bot_url,
            "PORT": str(port),
            "SETUP_NETWORK": "off",  # a stage needs no internet
        }
        yield Host(github, repository, settings)
