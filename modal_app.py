"""The bot on Modal: `modal deploy modal_app.py`. What each function does stands in bot/on_modal.py.

Four secrets, each only where it is needed: `backspace-settings` (everywhere) has DATABASE_URL and whatever else the
README's table of settings has that is no secret, `backspace-webhook` the webhook's secret, `backspace-app` the App's
number and key, `backspace-model` the model's key.
"""

import os
from pathlib import Path

import modal
from starlette.applications import Starlette

from bot import on_modal

HERE = Path(__file__).parent
NO_SOURCE = ["**/__pycache__", "**/*.pyc"]
WATCHED_S = 60 * 60  # a live page is cut off then and comes back by itself
JOB_S = 4 * 60 * 60  # a job ends by its own limits long before
UPKEEP_S = 10 * 60
IDLE_S = 2  # the least Modal allows: a container of the upkeep that waits for the next minute costs as if it worked
MOST_JOBS = 100  # the bot's own limits, in the database, come first

app = modal.App("tiny-backspace")

system = modal.Image.debian_slim("3.11")
for_the_door = system.pip_install_from_requirements(str(HERE / "requirements-door.lock"))
at_the_door = for_the_door.add_local_dir(HERE / "bot", "/root/bot", ignore=NO_SOURCE)
for_work = system.pip_install_from_requirements(str(HERE / "requirements.lock")).apt_install("git")
at_work = for_work.add_local_dir(HERE / "bot", "/root/bot", ignore=NO_SOURCE)

settings = modal.Secret.from_name("backspace-settings", required_keys=["DATABASE_URL"])
webhook = modal.Secret.from_name("backspace-webhook", required_keys=["GITHUB_WEBHOOK_SECRET"])
github = modal.Secret.from_name("backspace-app", required_keys=["GITHUB_APP_ID", "GITHUB_PRIVATE_KEY"])
model = modal.Secret.from_name("backspace-model")


@app.function(image=at_the_door, secrets=[settings, webhook], min_containers=1, timeout=WATCHED_S)
@modal.concurrent(max_inputs=200)
@modal.asgi_app(label="tiny-backspace")
def door() -> Starlette:
    """Webhook and live pages."""
    return on_modal.door(os.environ, spawn=hint)


@app.function(
    image=at_work,
    secrets=[settings, github, model],
    max_containers=MOST_JOBS,
    timeout=JOB_S,
    retries=modal.Retries(max_retries=3, initial_delay=5.0),
)
async def work(job_id: str) -> None:
    """A container that is taken away or dies is started again with the same job, and goes on where it stopped."""
    await on_modal.work(await at_its_address(), job_id, spawn=hint)


@app.function(
    image=at_work,
    secrets=[settings, github],
    schedule=modal.Period(minutes=1),
    max_containers=1,
    timeout=UPKEEP_S,
    scaledown_window=IDLE_S,
)
async def tend() -> None:
    await on_modal.tend(await at_its_address(), spawn=hint)


@app.function(
    image=at_work,
    secrets=[settings, github],
    schedule=modal.Period(minutes=10),
    max_containers=1,
    timeout=UPKEEP_S,
    scaledown_window=IDLE_S,
)
async def sweep() -> None:
    await on_modal.sweep(await at_its_address(), spawn=hint)


@app.function(
    image=at_work,
    secrets=[settings, github],
    schedule=modal.Period(hours=1),
    max_containers=1,
    timeout=UPKEEP_S,
    scaledown_window=IDLE_S,
)
async def survey() -> None:
    await on_modal.survey(await at_its_address(), spawn=hint)


async def hint(job_id: str) -> None:
    await work.spawn.aio(job_id)


async def at_its_address() -> dict[str, str]:
    """The environment. Unless PUBLIC_URL says otherwise, people reach the bot where Modal put its door."""
    return {"PUBLIC_URL": await door.get_web_url.aio() or "", **os.environ}
