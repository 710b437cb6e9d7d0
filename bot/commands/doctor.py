"""`backspace doctor`: tries each setting for real and says what to do about what fails."""

import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime

import httpx
from rich.console import Console
from rich.markup import escape

from bot.config import RULES, Config
from bot.domain.errors import BotError, ProviderError
from bot.github.hooks import Registration, Webhook
from bot.probing import Remote
from bot.settings.models import lacking

MOST_SKEW_S = 30.0  # GitHub refuses an App's signature dated a minute ahead, or ten behind
LEVELS = {"read": 1, "write": 2, "admin": 3}
LATELY_S = 3_600.0
SEE_ABOVE = "Its settings come first, see above."


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report; `remedy` is empty when all is well."""

    what: str
    found: str
    remedy: str = ""

    @property
    def well(self) -> bool:
        return not self.remedy


async def findings(config: Config, *, faults: Sequence[str] = ()) -> list[Finding]:
    """Every part tried on its own: one that fails hides no other. `faults`: sentences that begin with a setting."""
    probes: Mapping[str, Callable[[Config], Awaitable[Sequence[Finding]]]] = {
        "Clock": _clock,
        "GitHub App": _github,
        "Model": _model,
        "Sandbox": _sandbox,
        "Store": _store,
        "Public address": _public,
    }
    found = [Finding("Setting", fault.split(" ", 1)[0], fault) for fault in faults]
    for what, probe in probes.items():
        try:
            found += await probe(config)
        except BotError as error:
            found.append(Finding(what, "failed", str(error)))
    return found


def show(found: list[Finding], console: Console) -> int:
    """Prints the report; 0 when all is well, else 1."""
    for finding in found:
        mark = "[green]ok[/]  " if finding.well else "[red]fix[/] "
        console.print(f"{mark} {escape(f'{finding.what}: {finding.found}')}", highlight=False, soft_wrap=True)
        if not finding.well:
            console.print(f"     {finding.remedy}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    return 0 if all(finding.well for finding in found) else 1


async def _clock(config: Config) -> Sequence[Finding]:
    """By the date of any answer GitHub gives, refusals included."""
    async with httpx.AsyncClient(timeout=10, follow_redirects=False) as client:
        try:
            answer = await client.head(config.github_api_url)
        except (httpx.HTTPError, httpx.InvalidURL):
            return [Finding("Clock", "not compared with GitHub's", unreached(config))]
    return [clock(answer.headers.get("date", ""), now=time.time())]


def unreached(config: Config) -> str:
    where = config.github_api_url
    return f"GitHub's API does not answer at {where}: correct GITHUB_API_URL, or let this machine go there."


def clock(date: str, *, now: float) -> Finding:
    """`date`: a header's; `now`: this machine's time, Unix time in seconds."""
    try:
        skew_s = now - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return Finding("Clock", "GitHub's answer has no date to compare with")
    if abs(skew_s) <= MOST_SKEW_S:
        return Finding("Clock", "agrees with GitHub's")
    apart = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} GitHub's"
    return Finding("Clock", apart, "GitHub refuses an App whose clock is wrong: set this machine's, with NTP.")


async def _github(config: Config) -> Sequence[Finding]:
    from bot.github.installation import App

    if not config.app_id or not config.private_key:
        return [Finding("GitHub App", "not tried", SEE_ABOVE)]
    app = App(config.app_id, config.private_key, api_url=config.github_api_url)
    started = time.monotonic()
    try:
        registration = await app.registration()
    except ProviderError as error:
        if error.status is None:
            return [Finding("GitHub App", error.message, unreached(config))]
        if error.status not in (401, 404):
            raise
        remedy = f"GITHUB_APP_ID and the private key must be of one App, and the clock right ({error.message})."
        return [Finding("GitHub App", f"{config.github_api_url} does not know the App by this key", remedy)]
    took_s = time.monotonic() - started
    name = f"{registration.slug}[bot] at {config.github_api_url} ({took_s:.1f} s)"
    found = [Finding("GitHub App", name), installations(registration), permissions(registration), events(registration)]
    try:
        found.append(webhook(await app.webhook(), public_url=config.public_url))
        lately = [one async for one in app.deliveries(since=time.time() - LATELY_S)]
    except ProviderError as error:
        return [*found, Finding("Webhook", "failed", str(error))]
    return [*found, delivery(lately[0].event, lately[0].status_code)] if lately else found


def installations(registration: Registration) -> Finding:
    """Nowhere is the commonest cause of nothing happening at all."""
    if registration.installations == 0:
        remedy = "No repository is the App's yet, so nothing happens anywhere: Install App, on the App's page."
        return Finding("Installations", "none", remedy)
    return Finding(
        "Installations", "not told" if registration.installations is None else str(registration.installations)
    )


def permissions(registration: Registration) -> Finding:
    """Against what a job asks its token for, which app.yml lists too; more is only refused where it is dangerous."""
    from bot.github.tokens import JOB

    has = registration.permissions
    lacks = [f"{name}: {level}" for name, level in JOB.items() if LEVELS.get(has.get(name, ""), 0) < LEVELS[level]]
    if lacks:
        remedy = "Grant them on the App's Permissions page, then accept them where it is installed."
        return Finding("Permissions", f"lacks {', '.join(lacks)}", remedy)
    if "workflows" in has:
        remedy = "Take it away on the App's Permissions page: nothing the bot does needs it, and a leaked token would."
        return Finding("Permissions", "has workflows, which it must not have", remedy)
    return Finding("Permissions", "all that a job needs")


def events(registration: Registration) -> Finding:
    from bot.intake.triggers import EVENTS

    lacks = [name for name in EVENTS if name not in registration.events]
    if lacks:
        remedy = "Subscribe to them on the App's Permissions page."
        return Finding("Events", f"{', '.join(lacks)} not subscribed to", remedy)
    return Finding("Events", ", ".join(EVENTS))


def webhook(hook: Webhook, *, public_url: str) -> Finding:
    wanted, where = f"{public_url}/webhook", "on the App's General page"
    if hook.url.rstrip("/") != wanted:
        remedy = f"Set the webhook URL to {wanted} {where}, or correct PUBLIC_URL."
        return Finding("Webhook", f"GitHub delivers to {hook.url}" if hook.url else "none is set", remedy)
    if hook.content_type != "json":
        return Finding("Webhook", f"its content type is {hook.content_type}", f"Choose application/json {where}.")
    if not hook.checks_certificate:
        return Finding("Webhook", "GitHub checks no certificate", f"Switch SSL verification on {where}.")
    return Finding("Webhook", wanted)


def delivery(event: str, status: int) -> Finding:
    """The newest one: its answer tells whether the secret is right, which nobody can look up."""
    if status == 401:
        remedy = "GITHUB_WEBHOOK_SECRET is not the secret of the App's webhook: set the same in both places."
        return Finding("Last delivery", f"{event}, answered 401", remedy)
    if not 200 <= status < 300:
        remedy = "The App's Advanced page has the answer; what failed is asked for again by itself while the bot runs."
        return Finding("Last delivery", f"{event}, answered {status}", remedy)
    return Finding("Last delivery", f"{event}, answered {status}")


async def _model(config: Config) -> Sequence[Finding]:
    """Each of the chain: one that cannot be asked is found before a job needs it."""
    from bot.wiring import models

    found = []
    async with models(config) as model_named:
        for name in config.models:
            if name == RULES:
                found.append(
                    Finding("Model", "none: the rule agent applies patches and recipes written in the request")
                )
            elif lacking(name, config.anthropic_platform, config.values):
                found.append(Finding("Model", f"{name} not tried", SEE_ABOVE))
            else:
                model = model_named(name)
                problem = await model.problem() if isinstance(model, Remote) else None
                found.append(Finding("Model", name, problem or ""))
    return found


async def _sandbox(config: Config) -> Sequence[Finding]:
    from bot.wiring import connected, sandbox_provider

    own = replace(config, app_id=0)  # another name than the running bot's, which ends what it knows no job of
    async with connected(sandbox_provider(own)) as provider:
        problem = provider.problem()
        if problem:
            return [Finding("Sandbox", provider.name, problem)]
        sandbox = await provider.open("doctor")
        try:
            result = await sandbox.exec(["sh", "-c", "id -u"], timeout_s=10)
        finally:
            await sandbox.close()
    if result.exit_code != 0:
        return [Finding("Sandbox", provider.name, f"A command inside ended with {result.exit_code}.")]
    found = [Finding("Sandbox", f"{provider.name}, commands run as uid {result.stdout.decode().strip()}")]
    if provider.name == "bubblewrap" or (provider.name == "docker" and config.docker_host.startswith("unix:")):
        found += memory(config, here_gb=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30)
    return found


def memory(config: Config, *, here_gb: int) -> Sequence[Finding]:
    """Told where jobs together may take more than the machine has, in GiB; most never take what they may."""
    each = config.sandbox_memory_gb + config.sandbox_disk_gb
    if config.concurrency * each <= here_gb:
        return []
    most = f"{config.concurrency} at once may take {each} GiB each, and their checks twice that, of {here_gb} GiB here"
    return [Finding("Memory of jobs", f"{most}: BACKSPACE_CONCURRENCY, SANDBOX_MEMORY_GB, SANDBOX_DISK_GB")]


async def _store(config: Config) -> Sequence[Finding]:
    from bot.stores import open_store

    store = await open_store(config.database_url)
    await store.close()
    kind = config.database_url.split(":", 1)[0]
    return [Finding("Store", f"{kind}, opens and is current")]


async def _public(config: Config) -> Sequence[Finding]:
    """The live page's address answers, if the bot is running; GitHub must reach the same host."""
    async with httpx.AsyncClient(timeout=10, follow_redirects=False) as client:
        try:
            answer = await client.get(f"{config.public_url}/healthz")
        except (httpx.HTTPError, httpx.InvalidURL):
            remedy = f"Nothing answers at {config.public_url}: start `backspace serve`, or correct PUBLIC_URL."
            return [Finding("Public address", config.public_url, remedy)]
    if answer.status_code != 200:
        remedy = f"{config.public_url}/healthz answers {answer.status_code}: is that another program?"
        return [Finding("Public address", config.public_url, remedy)]
    return [Finding("Public address", f"{config.public_url} answers")]
