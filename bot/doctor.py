"""`backspace doctor`: tries each setting for real and says what to do about what fails."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import httpx
from rich.console import Console

from bot.config import RULES, Config
from bot.domain.errors import BotError

SLOW_CLOCK_S = 30.0  # GitHub refuses an App JWT whose clock is a minute off


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report; `remedy` is empty when all is well."""

    what: str
    found: str
    remedy: str = ""

    @property
    def well(self) -> bool:
        return not self.remedy


async def findings(config: Config) -> list[Finding]:
    """Every part tried on its own: one that fails hides no other."""
    probes: Mapping[str, Callable[[Config], Awaitable[Finding]]] = {
        "GitHub App": _github,
        "Model": _model,
        "Sandbox": _sandbox,
        "Store": _store,
        "Public address": _public,
    }
    found = []
    for what, probe in probes.items():
        try:
            found.append(await probe(config))
        except BotError as error:
            found.append(Finding(what, "failed", str(error)))
    return found


def show(found: list[Finding], console: Console) -> int:
    """Prints the report; 0 when all is well, else 1."""
    for finding in found:
        mark = "[green]ok[/]  " if finding.well else "[red]fix[/] "
        console.print(f"{mark} {finding.what}: {finding.found}", highlight=False)
        if not finding.well:
            console.print(f"     {finding.remedy}", style="yellow", highlight=False, markup=False)
    return 0 if all(finding.well for finding in found) else 1


async def _github(config: Config) -> Finding:
    from bot.github.installation import App

    started = time.monotonic()
    login = await App(config.app_id, config.private_key, api_url=config.github_api_url).login()
    return Finding("GitHub App", f"{login} at {config.github_api_url} ({time.monotonic() - started:.1f} s)")


async def _model(config: Config) -> Finding:
    if config.model == RULES:
        return Finding("Model", "none: the rule agent applies patches and recipes written in the request")
    from bot.models.anthropic import AnthropicModel

    model = AnthropicModel(config.anthropic_api_key, model=config.model, base_url=config.anthropic_base_url)
    try:
        problem = await model.problem()
    finally:
        await model.aclose()
    return Finding("Model", config.model, problem or "")


async def _sandbox(config: Config) -> Finding:
    from bot.wiring import sandbox_provider

    provider = sandbox_provider(config)
    problem = provider.problem()
    if problem:
        return Finding("Sandbox", provider.name, problem)
    sandbox = await provider.open("doctor")
    try:
        result = await sandbox.exec(["sh", "-c", "id -u"], timeout_s=10)
    finally:
        await sandbox.close()
    if result.exit_code != 0:
        return Finding("Sandbox", provider.name, f"A command inside ended with {result.exit_code}.")
    return Finding("Sandbox", f"{provider.name}, commands run as uid {result.stdout.decode().strip()}")


async def _store(config: Config) -> Finding:
    from bot.stores import open_store

    store = await open_store(config.database_url)
    await store.close()
    kind = config.database_url.split(":", 1)[0]
    return Finding("Store", f"{kind}, opens and is current")


async def _public(config: Config) -> Finding:
    """The live page's address answers, if the bot is running; GitHub must reach the same host."""
    async with httpx.AsyncClient(timeout=5, follow_redirects=False) as client:
        try:
            answer = await client.get(f"{config.public_url}/healthz")
        except httpx.HTTPError:
            remedy = f"Nothing answers at {config.public_url}: start `backspace serve`, or correct PUBLIC_URL."
            return Finding("Public address", config.public_url, remedy)
    if answer.status_code != 200:
        remedy = f"{config.public_url}/healthz answers {answer.status_code}: is that another program?"
        return Finding("Public address", config.public_url, remedy)
    return Finding("Public address", f"{config.public_url} answers; the App's webhook is {config.public_url}/webhook")
