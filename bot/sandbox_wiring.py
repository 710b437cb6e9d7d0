"""The sandbox provider that the settings name; `auto` takes Modal with a token, else the first that works here."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from bot.config import Config
from bot.ports import ConnectedSandboxes, SandboxProvider
from bot.sandboxes.limits import GIB, SandboxLimits
from bot.setup_wiring import shelf, way_out


def sandbox_provider(config: Config) -> SandboxProvider:
    match config.sandbox:
        case "modal":
            return _modal(config)
        case "docker":
            return _docker(config)
        case "bubblewrap":
            return _bubblewrap(config)
        case "e2b":
            return _e2b(config)
        case "daytona":
            return _daytona(config)
        case _:
            if _modal_token(config):
                return _modal(config)
            docker = _docker(config)
            return docker if docker.problem() is None else _bubblewrap(config)


def sandbox_limits(config: Config) -> SandboxLimits:
    """Each file system is as large as all files together may be, so that packages find room wherever they go."""
    files = config.sandbox_disk_gb * GIB
    return SandboxLimits(
        memory_bytes=config.sandbox_memory_gb * GIB, disk_bytes=files, tmp_bytes=files, files_bytes=files
    )


@asynccontextmanager
async def connected(provider: SandboxProvider) -> AsyncIterator[SandboxProvider]:
    """Its connection, if it keeps one, is closed at the end."""
    try:
        yield provider
    finally:
        if isinstance(provider, ConnectedSandboxes):
            await provider.aclose()


def bot_id(config: Config) -> str:
    """Tells apart bots that share an engine or account: by App, of which GitHub, and by home where there is none."""
    if not config.app_id:
        return f"home-{_short(str(config.home))}"
    return f"app-{config.app_id}-{_short(config.github_api_url)}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _modal_token(config: Config) -> tuple[str, str] | None:
    token = (config.modal_token_id, config.modal_token_secret)
    return token if all(token) else None


def _modal(config: Config) -> SandboxProvider:
    from bot.sandboxes.modal import Modal

    return Modal(bot=bot_id(config), token=_modal_token(config), limits=sandbox_limits(config))


def _docker(config: Config) -> SandboxProvider:
    from bot.sandboxes.docker import Docker, SetupPhase

    out = way_out(config)
    return Docker(
        address=config.docker_host,
        bot=bot_id(config),
        image=config.docker_image,
        limits=sandbox_limits(config),
        setup=SetupPhase(way_out=out, folder=config.home / "sandboxes") if out else None,
        shelf=shelf(config),
    )


def _e2b(config: Config) -> SandboxProvider:
    from bot.sandboxes.e2b import E2B, LIFE_S

    return E2B(
        bot=bot_id(config),
        key=config.e2b_api_key,
        template=config.e2b_template,
        limits=replace(sandbox_limits(config), wall_clock_s=LIFE_S),
        shelf=shelf(config),
    )


def _daytona(config: Config) -> SandboxProvider:
    from bot.sandboxes.daytona import Daytona

    return Daytona(
        bot=bot_id(config),
        key=config.daytona_api_key,
        api_url=config.daytona_api_url,
        snapshot=config.daytona_snapshot,
        limits=sandbox_limits(config),
        shelf=shelf(config),
    )


def _bubblewrap(config: Config) -> SandboxProvider:
    from bot.sandboxes.bubblewrap import Bubblewrap

    return Bubblewrap(
        readonly_paths=config.sandbox_readonly_paths,
        rootfs=config.sandbox_rootfs,
        limits=sandbox_limits(config),
        way_out=way_out(config),
        shelf=shelf(config),
    )
