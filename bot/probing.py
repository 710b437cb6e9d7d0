"""What a worker tries now and then, so that /readyz knows before a job does."""

import asyncio
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from bot.config import Config
from bot.ports import GitHubApp, Model, SandboxProvider
from bot.vitals import Probe, Prober, Vitals

GITHUB_EVERY_S = 60.0
MODEL_EVERY_S = 300.0
SANDBOX_EVERY_S = 300.0


@runtime_checkable
class Remote(Protocol):
    """A model that can be away. The rule agent cannot."""

    async def problem(self) -> str | None: ...


def prober(
    config: Config,
    vitals: Vitals,
    *,
    app: GitHubApp,
    model_named: Callable[[str], Model],
    sandboxes: SandboxProvider,
) -> Prober:
    """GitHub knows our App and the time; a sandbox starts; the model is there, where one is used."""

    async def github() -> str | None:
        await app.login()
        return None

    async def sandbox() -> str | None:
        return await asyncio.to_thread(sandboxes.problem)

    probes = [Probe("github", GITHUB_EVERY_S, github), Probe("sandbox", SANDBOX_EVERY_S, sandbox)]
    model = model_named(config.model)
    if isinstance(model, Remote):
        probes.append(Probe("model", MODEL_EVERY_S, model.problem))
    return Prober(vitals, probes)
