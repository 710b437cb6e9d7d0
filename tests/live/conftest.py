"""Which provider, with whose token: from the environment, as the bot itself reads it."""

import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from bot.config import Config
from bot.ports import LastingSandboxes, SandboxProvider
from bot.sandbox_wiring import sandbox_provider
from bot.settings.sandboxes import SANDBOX_SETTINGS
from tests.sandboxes.reaping import all_but

PROVIDERS = ("modal", "e2b", "daytona", "docker")
TIME = "time"  # how a test hands a measured time over


def chosen(environment: Mapping[str, str]) -> dict[str, str]:
    """The bot's settings for it. Raises UsageError."""
    provider = environment.get("PROVIDER", "")
    if provider not in PROVIDERS:
        raise pytest.UsageError(f"PROVIDER should be one of {', '.join(PROVIDERS)}: make test-live PROVIDER=docker")
    names = {setting.name for setting in SANDBOX_SETTINGS} & environment.keys()
    return {name: environment[name] for name in names} | {"SANDBOX": provider, "BACKSPACE_MODEL": "rules"}


def pytest_sessionstart(session: pytest.Session) -> None:
    config = Config.from_env(chosen(os.environ), role="local")
    provider = sandbox_provider(config)
    if problem := provider.problem():
        raise pytest.UsageError(f"Nothing was tried at {provider.name}. {problem}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get("passed", ()):
        for name, value in report.user_properties:
            if name == TIME:
                what, milliseconds = value
                terminalreporter.write_line(f"{what:<44}{milliseconds:>10.1f} ms")


@pytest.fixture(scope="session")
def settings() -> dict[str, str]:
    return chosen(os.environ)


@pytest.fixture(scope="session")
def config(settings: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A home of its own: this run finds no other bot's sandboxes, and ends none."""
    home: Path = tmp_path_factory.mktemp("home")
    return Config.from_env({**settings, "BACKSPACE_HOME": str(home)}, role="local")


@pytest.fixture
async def provider(config: Config) -> AsyncIterator[SandboxProvider]:
    """What a test leaves at the provider is ended."""
    provider = sandbox_provider(config)
    yield provider
    if isinstance(provider, LastingSandboxes):
        await provider.reap(all_but())
    if hasattr(provider, "aclose"):
        await provider.aclose()
