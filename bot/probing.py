"""What a worker tries now and then, so that /readyz knows before a job does."""

import asyncio
from collections.abc import Callable, Sequence
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
    models = [model_named(name) for name in config.models]
    if any(isinstance(model, Remote) for model in models):
        probes.append(Probe("model", MODEL_EVERY_S, lambda: problem_of(models)))
    return Prober(vitals, probes)


async def problem_of(models: Sequence[Model]) -> str | None:
    """Why no model of the chain can be asked; None when one can.

    Each is tried, since its answer says how much it reads and writes.
    """
    problems = [await model.problem() if isinstance(model, Remote) else None for model in models]
    return None if None in problems else " ".join(problem for problem in problems if problem)
