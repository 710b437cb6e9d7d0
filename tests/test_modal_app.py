"""The bot on Modal: the real `modal deploy` and Modal's own container runtime, on a Modal that is on this machine."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from modal_proto import api_pb2
from rich.console import Console

from bot.domain.events import JobStarted
from bot.watch import watch
from tests.modal.town import KEY, SLOW, WITHIN_S, account, cli, copied, succeeded, town
from tests.polling import until
from tests.repositories import PYTHON, python_bug
from tests.standins.modal.apps import Apps
from tests.standins.modal.containers import Containers
from tests.standins.modal.functions import Definition, Functions
from tests.standins.modal.gateway import Gateways
from tests.standins.modal.images import Images, Secrets
from tests.standins.modal.published import Published
from tests.standins.modal.server import ModalStandIn, modal_standin
from tests.stores.postgres import Postgres
from tests.test_readme import ON_MODAL

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]  # containers take their time on a busy machine

ROOT = Path(__file__).parent.parent
# Enough of Modal's own variables to run a container; everything else comes from the function's secrets.
MODALS = {"PATH", "HOME", "TMPDIR", "PYTHONPATH"}
APP = {"GITHUB_APP_ID", "GITHUB_PRIVATE_KEY"}
NEEDED = {
    "door": {"DATABASE_URL", "GITHUB_WEBHOOK_SECRET"},
    "work": {"DATABASE_URL", "ANTHROPIC_API_KEY"} | APP,
    "tend": {"DATABASE_URL"} | APP,
    "sweep": {"DATABASE_URL"} | APP,
    "survey": {"DATABASE_URL"} | APP,
}
LOOPBACK = {"SANDBOX", "GITHUB_API_URL", "ANTHROPIC_BASE_URL"}  # what the town sets besides
PEM = "-----BEGIN RSA PRIVATE KEY-----\nof two\nlines\n-----END RSA PRIVATE KEY-----\n"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[ModalStandIn]:
    """An empty account to which the README's lines brought the bot, with this App's values in place of those shown."""
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "key.pem").write_text(PEM)
    lines = ON_MODAL.replace(".venv/bin/modal", f"{sys.executable} -m modal")
    lines = lines.replace(".venv/bin/backspace", f"{sys.executable} -m bot")
    for shown, real in {
        "postgresql://USER:PASSWORD@HOST/NAME": postgres.new_database(),
        "/path/to/your-app.private-key.pem": str(folder / "key.pem"),
    }.items():
        assert lines.count(shown) == 1
        lines = lines.replace(shown, real)
    with modal_standin(folder) as standin:
        done = subprocess.run(
            ["bash", "-euc", lines], cwd=copied(folder / "source"), env=account(standin), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        yield standin


def functions_of(standin: ModalStandIn) -> dict[str, Definition]:
    app_id = standin.part(Apps).ids[("", "tiny-backspace")]
    ids = standin.part(Apps).layouts[app_id].function_ids
    return {name: standin.part(Functions).definitions[id] for name, id in ids.items()}


# ------------------------------------------------------------ what is deployed


def test_the_readmes_lines_bring_up_a_door_that_answers(shelf: ModalStandIn) -> None:
    assert shelf.part(Secrets).values["backspace-app"] == {"GITHUB_APP_ID": "123456", "GITHUB_PRIVATE_KEY": PEM.strip()}
    assert "tiny-backspace:default" in shelf.part(Published).names
    door = functions_of(shelf)["door"].handle.web_url
    answer = httpx.get(f"{door}/readyz", trust_env=False, timeout=60)
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")


def test_each_function_gets_only_the_secrets_it_needs(shelf: ModalStandIn) -> None:
    """Red when the door is given the App's key, or anybody but `work` the model's: seen."""
    got = {
        name: set(shelf.part(Secrets).environment(definition.function.secret_ids))
        for name, definition in functions_of(shelf).items()
    }
    assert got == NEEDED


def test_the_upkeep_has_its_schedules(shelf: ModalStandIn) -> None:
    periods = {
        name: (p.hours, p.minutes, p.seconds)
        for name, definition in functions_of(shelf).items()
        if (p := definition.function.schedule.period) and definition.function.HasField("schedule")
    }
    assert periods == {"tend": (0, 1, 0), "sweep": (0, 10, 0), "survey": (1, 0, 0)}
    idle_s = {name: functions_of(shelf)[name].function.autoscaler_settings.scaledown_window for name in periods}
    assert set(idle_s.values()) == {2}, "idle, until the next look, they would cost as much as the door"


def test_a_job_outlives_its_container_and_the_door_is_always_open(shelf: ModalStandIn) -> None:
    work, door = functions_of(shelf)["work"].function, functions_of(shelf)["door"].function
    assert work.retry_policy.retries == 3
    assert work.autoscaler_settings.max_containers > 64 + 8, "the most BACKSPACE_CONCURRENCY may say, and answers"
    assert work.timeout_secs > 60 * 60, "longer than a job's own limits"
    assert door.autoscaler_settings.min_containers == 1
    assert door.max_concurrent_inputs > 100, "with one input at a time, nothing runs beside the requests"
    assert door.webhook_config.type == api_pb2.WEBHOOK_TYPE_ASGI_APP


def test_the_images_are_made_from_the_lock_files_and_only_work_has_git(shelf: ModalStandIn) -> None:
    """A container of the loopback Modal has the packages of its image alone: what the door imports is in its lock file.

    Red, here and wherever a door answers, when the door imports what only `work` has: seen.
    """
    images = shelf.part(Images)
    lines = {name: images.commands[one.function.image_id] for name, one in functions_of(shelf).items()}
    locks = {name: images.requirements[one.function.image_id].strip() for name, one in functions_of(shelf).items()}
    light, whole = ((ROOT / f"requirements{kind}.lock").read_text().strip() for kind in ("-door", ""))
    assert locks == {name: light if name == "door" else whole for name in locks}
    pins = [{line.split()[0] for line in lock.splitlines() if "==" in line} for lock in (light, whole)]
    assert pins[0] < pins[1], "the same versions"
    assert all(line[0].startswith("FROM python:3.11") for line in lines.values())
    installed = [line for line in lines["door"] if "/.requirements.txt" in line]
    assert installed == ["COPY /.requirements.txt /.requirements.txt", installed[1]]
    assert "pip install -r /.requirements.txt" in installed[1]
    assert {name for name, line in lines.items() if any("apt-get install -y git" in one for one in line)} == {
        *("work", "tend", "sweep", "survey")
    }


def test_a_secret_without_its_key_is_named_by_modal_deploy(tmp_path: Path) -> None:
    with modal_standin(tmp_path) as standin:
        values = {"backspace-settings": {"LOG_LEVEL": "info"}, "backspace-webhook": {"GITHUB_WEBHOOK_SECRET": "x"}}
        standin.part(Secrets).values.update(values)
        done = cli("deploy", "modal_app.py", standin=standin, cwd=copied(tmp_path / "source"))
        assert done.returncode != 0
        assert "DATABASE_URL" in done.stdout + done.stderr


# ------------------------------------------------------------ what runs


async def test_a_signed_delivery_becomes_a_pull_request(tmp_path: Path, postgres: Postgres) -> None:
    """Door and job each in a container of their own, made of nothing but what was deployed."""
    there_is = town(tmp_path, make=python_bug, script=PYTHON.script, database_url=postgres.new_database())
    async with there_is as there:
        issue = there.comment(PYTHON.request)
        await there.github.deliver()
        (row,) = await there.finished(issue)
        assert row.state == "succeeded", there.logs()
        there.assert_opened(issue, row)
        for name in ("door", "work"):
            (container,) = there.containers(name)
            own = {key for key in container.environment if not key.startswith("MODAL_")} - MODALS
            assert own - LOOPBACK == NEEDED[name]
            assert "Traceback" not in container.log
        assert KEY not in there.logs()


@pytest.mark.slow
async def test_a_job_whose_container_is_killed_goes_on_in_another(tmp_path: Path, postgres: Postgres) -> None:
    """Modal starts the same input again; the lease of the dead one runs out; the work goes on where it was."""
    there_is = town(tmp_path, make=python_bug, script=SLOW, database_url=postgres.new_database())
    async with there_is as there:
        issue = await there.in_the_middle()
        (first,) = there.containers("work")
        await there.modal.part(Containers).kill(first)
        (row,) = await there.finished(issue)
        assert row.state == "succeeded", there.logs()
        assert row.attempts == 2
        _, second = there.containers("work")
        (call,) = [call for call in there.modal.part(Functions).calls.values() if first.task_id in call.takers]
        assert call.takers == [first.task_id, second.task_id], "the same input"
        there.assert_opened(issue, row)
        assert len(there.messages.requests) == 4, "no answer of the model was paid for twice"


@pytest.mark.slow
async def test_a_job_whose_container_is_taken_away_goes_on_at_once(tmp_path: Path, postgres: Postgres) -> None:
    """It is asked to leave and puts the job back: nobody waits for a lease to end."""
    there_is = town(tmp_path, make=python_bug, script=SLOW, database_url=postgres.new_database())
    async with there_is as there:
        issue = await there.in_the_middle()
        (first,) = there.containers("work")
        left_at = time.time()
        await there.modal.part(Containers).take_away(first)
        (row,) = await there.finished(issue)
        assert row.state == "succeeded", there.logs()
        events = await there.store.events(row.job.id)
        _, again_at = [one.at for one in events if isinstance(one.event, JobStarted)]
        assert again_at - left_at < 25, "less than a lease"
        assert "job interrupted: the process goes down" in first.log


@pytest.mark.slow
async def test_with_modal_away_a_delivery_is_answered_and_its_job_is_started_later(
    tmp_path: Path, postgres: Postgres
) -> None:
    """The door in its own container, and a Modal that takes no call."""
    there_is = town(tmp_path, make=python_bug, script=PYTHON.script, database_url=postgres.new_database())
    async with there_is as there:
        functions = there.modal.part(Functions)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            assert (await client.get(f"{there.door}/healthz")).status_code == 200
        functions.away = True
        issue = there.comment(PYTHON.request)
        there.github.world.hook_timeout_s = 10  # as GitHub's
        await there.github.deliver()
        assert [delivery.status_code for delivery in there.github.deliveries] == [202, 202]
        (row,) = await there.jobs(issue)
        assert row.state == "queued"
        functions.away = False
        assert succeeded(await functions.ran("tend")), there.logs()
        (row,) = await there.finished(issue)
        assert row.state == "succeeded", there.logs()


@pytest.mark.slow
async def test_the_upkeep_asks_again_for_what_did_not_arrive(tmp_path: Path, postgres: Postgres) -> None:
    there_is = town(tmp_path, make=python_bug, script=PYTHON.script, database_url=postgres.new_database())
    async with there_is as there:
        (app,) = there.github.world.apps.values()
        app.webhook_url = "http://127.0.0.1:1/webhook"
        issue = there.comment(PYTHON.request)
        await there.github.deliver()
        app.webhook_url = f"{there.door}/webhook"
        assert await there.jobs(issue) == []
        for name in ("sweep", "survey", "tend"):
            assert succeeded(await there.modal.part(Functions).ran(name)), there.logs()
        await there.github.deliver()
        (row,) = await there.finished(issue)
        assert row.state == "succeeded", there.logs()
        (upkeep,) = there.containers("sweep")
        assert "deliveries asked for again" in upkeep.log


@pytest.mark.slow
async def test_a_job_that_waits_starts_when_the_one_before_ends_and_two_hints_start_it_once(
    tmp_path: Path, postgres: Postgres
) -> None:
    """One job at a time; the first is held by the test until the second has been refused twice."""
    one_at_a_time = {"BACKSPACE_CONCURRENCY": "1"}
    there_is = town(
        tmp_path, make=python_bug, script=PYTHON.script, database_url=postgres.new_database(), **one_at_a_time
    )
    async with there_is as there:
        first = there.comment(PYTHON.request)
        await there.github.deliver()
        (held,) = await there.until(lambda rows: rows, first)
        claim = await there.store.claim("the test", job_id=held.job.id)
        assert claim is not None
        second = there.comment(PYTHON.request)
        await there.github.deliver()
        (waiting,) = await there.until(lambda rows: rows, second)
        await there.modal.part(Functions).ran("work", waiting.job.id)
        assert [row.state for row in await there.jobs(second)] == ["queued"], "its turn has not come"
        await there.store.release(claim)
        (before,) = await there.finished(first)
        (after,) = await there.finished(second)
        assert (before.state, after.state) == ("succeeded", "succeeded"), there.logs()
        assert (before.attempts, after.attempts) == (2, 1)
        assert "hint lost" not in there.logs()


@pytest.mark.slow
async def test_a_stream_that_modal_cuts_off_goes_on_where_it_was(tmp_path: Path, postgres: Postgres) -> None:
    there_is = town(tmp_path, make=python_bug, script=SLOW, database_url=postgres.new_database())
    async with there_is as there:
        there.modal.part(Gateways).cut_after_s = 1.0
        issue = await there.in_the_middle()
        (row,) = await there.jobs(issue)
        console = Console(record=True, width=200)
        code = await watch(f"{there.door}/jobs/{row.job.id}?t={row.job.watch_key}", console=console)
        said = console.export_text()
        assert code == 0, said
        assert "reconnecting" in said
        assert said.count("Sandbox ready") == 1
        assert said.count("Pull request 2:") == 1


@pytest.mark.slow
async def test_modal_serve_starts_the_bot_and_takes_it_along_when_it_ends(tmp_path: Path, postgres: Postgres) -> None:
    there_is = town(tmp_path, make=python_bug, script=PYTHON.script, database_url=postgres.new_database())
    async with there_is as there:
        (deployed_door,) = there.modal.part(Containers).all
        serving = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "modal", "serve", "modal_app.py"),
            cwd=there.source,
            env=account(there.modal),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            await until(lambda: there.modal.part(Containers).all != [deployed_door], within_s=WITHIN_S)
            doors = [one for one in there.modal.part(Functions).definitions.values() if one.name == "door"]
            door = doors[-1].handle.web_url
            assert door != there.door
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                assert (await client.get(f"{door}/healthz")).status_code == 200
        finally:
            serving.send_signal(signal.SIGINT)
            out, _ = await asyncio.wait_for(serving.communicate(), 60)
        assert serving.returncode == 0, out.decode()
        assert [c for c in there.modal.part(Containers).all if c.lives] == [deployed_door]
