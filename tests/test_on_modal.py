"""The bot's pieces as Modal starts them, without Modal: settings, the door, and hints that may be lost."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import structlog

from bot import on_modal
from bot.config import RULES, ConfigFault
from bot.domain.events import Conclusion, JobFinished
from bot.domain.job import Person
from bot.on_modal import NEEDS_POSTGRES, Hints
from bot.report.tracking import STUCK
from bot.sandbox_wiring import bot_id
from bot.sandboxes.images import DEFAULT, published_name
from bot.sandboxes.modal import Modal
from bot.settings.limits import MOST_MINUTES
from bot.standins.github import LoopbackGitHub
from bot.standins.serving import serve
from bot.stores import QueueLimits, open_store
from modal_app import JOB_S, WATCHED_S
from tests.github.wire import private_key
from tests.payloads.samples import body_of, headers_of, mention, signature_of
from tests.polling import WITHIN_S, until
from tests.standins.modal.published import Published
from tests.standins.modal.sandboxes import Sandboxes
from tests.standins.modal.server import ModalStandIn
from tests.stores.beside import pass_time
from tests.stores.postgres import Postgres
from tests.stores.samples import a_job, claimed, deliver

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent
SECRET = "the secret of this webhook"


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


async def nobody(job_id: str) -> None:
    """Takes a hint and does nothing about it."""


@pytest.mark.parametrize("url", ["", "sqlite:////tmp/backspace.db"])
async def test_sqlite_is_refused_in_one_sentence(url: str) -> None:
    env = {"DATABASE_URL": url, "GITHUB_WEBHOOK_SECRET": SECRET}
    with pytest.raises(ConfigFault) as fault:
        on_modal.door(env, spawn=nobody)
    assert fault.value.faults == [NEEDS_POSTGRES]
    assert "share no disk" in NEEDS_POSTGRES


def test_the_processes_of_an_installation_share_its_limits_at_github() -> None:
    """Red when each job believes that it is alone: seen."""
    env = {"DATABASE_URL": "postgresql://nobody@nowhere/none", "BACKSPACE_CONCURRENCY_PER_INSTALLATION": "3"}
    env |= {"BACKSPACE_MODEL": RULES, "SANDBOX": "bubblewrap"}
    assert on_modal.configured(env, "local").workers == 4
    assert on_modal.configured({**env, "BACKSPACE_WORKERS": "9"}, "local").workers == 9


async def test_the_door_answers_and_the_job_is_durable_whatever_becomes_of_the_hint(
    tmp_path: Path, postgres: Postgres
) -> None:
    """Red when giving a hint takes the door's time: seen."""
    url, hinted, modal_is_back = postgres.new_database(), list[str](), asyncio.Event()
    given_up: list[str] = []

    async def slow(job_id: str) -> None:
        hinted.append(job_id)
        try:
            await modal_is_back.wait()
        except asyncio.CancelledError:
            given_up.append(job_id)
            raise

    env = {"DATABASE_URL": url, "GITHUB_WEBHOOK_SECRET": SECRET, "BACKSPACE_HOME": str(tmp_path / "home")}
    body = body_of(mention())
    async with serve(on_modal.door(env, spawn=slow)) as door, httpx.AsyncClient(trust_env=False, timeout=60) as client:
        headers = {**headers_of(body, delivery="1-1"), "x-hub-signature-256": signature_of(body, SECRET)}
        answer = await client.post(f"{door}/webhook", content=body, headers=headers)
        assert (answer.status_code, [answer.json()["job"]]) == (202, hinted)
        assert given_up == [], "it is still being given"
        store = await open_store(url)
        assert await store.due() == tuple(hinted)
        await store.close()
        modal_is_back.set()


async def test_what_the_operator_cancels_is_hinted_at_and_ends_before_the_upkeep_comes(
    tmp_path: Path, postgres: Postgres
) -> None:
    """A job that waits had its end told up to a minute later. Red when the route is given nobody to tell: seen."""
    url, hinted = postgres.new_database(), list[str]()

    async def spawn(job_id: str) -> None:
        hinted.append(job_id)

    store = await open_store(url, limits=QueueLimits(running=1))
    assert await claimed(store, "runs")
    await deliver(store, a_job("waits"))
    env = {"DATABASE_URL": url, "GITHUB_WEBHOOK_SECRET": SECRET, "BACKSPACE_HOME": str(tmp_path / "home")}
    env |= {"BACKSPACE_OPERATOR_TOKEN": "operator-" + "t" * 24}
    operator = {"Authorization": f"Bearer {env['BACKSPACE_OPERATOR_TOKEN']}"}
    async with serve(on_modal.door(env, spawn=spawn)) as door, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.post(f"{door}/jobs/job-waits/cancel", headers=operator)).status_code == 200
    assert hinted == ["job-waits"]
    claim = await store.claim("the hint's", job_id="job-waits")
    assert claim is not None, "it need not wait for its turn to be told its end"
    await store.close()


async def test_a_hint_that_modal_does_not_take_is_logged_and_nothing_else() -> None:
    async def away(job_id: str) -> None:
        raise OSError("no route to Modal")

    hints = Hints(away)
    with structlog.testing.capture_logs() as logs:
        hints.give("job-1")
        await hints.settled()
    assert [(line["event"], line["job"]) for line in logs] == [("hint lost: the job starts within a minute", "job-1")]


async def test_every_job_that_may_run_gets_its_hint(postgres: Postgres) -> None:
    store, hinted = await open_store(postgres.new_database()), list[str]()

    async def spawn(job_id: str) -> None:
        hinted.append(job_id)

    for name in ("first", "second"):
        await deliver(store, a_job(name))
    await on_modal.hint_at_due(store, spawn)
    await store.close()
    assert hinted == ["job-first", "job-second"]


async def test_a_job_whose_turn_came_while_its_wait_was_told_is_hinted_at_before_the_upkeep_ends(
    tmp_path: Path, postgres: Postgres
) -> None:
    """Held back for its comment, it has no claim from the hint of the job before it. Red without the second look for
    hints: seen."""
    hinted: list[str] = []

    async def spawn(job_id: str) -> None:
        hinted.append(job_id)

    store = await open_store(url := postgres.new_database(), limits=QueueLimits(lease_s=600))
    before = await claimed(store, "before")
    await deliver(store, a_job("waits", issue=before.job.issue.number))
    await pass_time(url)

    async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Of GitHub: the App is installed nowhere."""
        await reader.readuntil(b"\r\n\r\n")
        if not hinted:
            await store.commit(before, finish="failed", reported=True)
        writer.write(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(asked, "127.0.0.1", 0) as github:
        env = {"DATABASE_URL": url, "GITHUB_APP_ID": "7", "GITHUB_PRIVATE_KEY": private_key(), "SANDBOX": "bubblewrap"}
        env |= {"GITHUB_API_URL": f"http://127.0.0.1:{github.sockets[0].getsockname()[1]}"}
        await on_modal.tend({**env, "BACKSPACE_HOME": str(tmp_path)}, spawn=spawn)
    await store.close()
    assert hinted == ["job-waits"]


async def test_where_no_job_can_begin_the_operator_finds_why_in_the_log_and_the_asker_in_the_thread(
    tmp_path: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a model's key. Each hint ended in four crashes, and nobody was told: seen."""
    github = LoopbackGitHub(tmp_path / "github")
    repository = github.add_repository("octo-org", "widgets")
    github.set_role(repository, "alice", "write")
    app = github.create_app("bot", webhook_url="http://127.0.0.1:1", webhook_secret=SECRET, owner="octo-org")
    issue, alice = github.open_issue(repository, "alice", "It breaks", "Always."), github.user("alice")
    asked = github.comment(repository, issue.number, "alice", "/backspace fix it")
    job = replace(
        a_job("a", repo=repository.id, issue=issue.number, installation=github.install(app.app, "octo-org").id),
        requested_by=Person(alice.id, "alice"),
        comment_id=asked.id,
    )
    store = await open_store(url := postgres.new_database())
    await deliver(store, job)
    await pass_time(url)
    async with github.serve() as address:
        env = {"DATABASE_URL": url, "GITHUB_APP_ID": str(app.app.id), "GITHUB_PRIVATE_KEY": app.private_key_pem}
        env |= {"GITHUB_API_URL": f"{address}/api/v3", "SANDBOX": "bubblewrap", "BACKSPACE_HOME": str(tmp_path)}
        await on_modal.work(env, job.id, spawn=nobody)
    assert "ANTHROPIC_API_KEY" in capsys.readouterr().out
    assert await store.due() == (job.id,), "it begins once that is mended"
    await store.close()
    said = [comment.body for comment in github.comments(repository, issue.number) if comment.author.type == "Bot"]
    assert len(said) == 1
    assert f"**Queued**{STUCK} · run {job.id}" in said[0]


async def test_the_upkeep_ends_sandboxes_also_while_github_does_not_answer(
    tmp_path: Path, postgres: Postgres, modal_server: ModalStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when ends are told first: seen."""
    monkeypatch.setenv("MODAL_TOKEN_ID", "ak-1")
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "as-1")
    modal_server.part(Published).publish(published_name(DEFAULT))
    store = await open_store(url := postgres.new_database())
    over = await claimed(store, "over")
    await store.commit(over, events=[JobFinished(Conclusion.FAILURE, "Broken.")], finish="failed")
    github = LoopbackGitHub(tmp_path / "github")
    github.add_user("acme", type="Organization")
    key = github.create_app(
        "bot", webhook_url="http://127.0.0.1:1", webhook_secret=SECRET, owner="acme"
    ).private_key_pem
    with socket.create_server(("127.0.0.1", 0)) as silent:
        env = {"DATABASE_URL": url, "GITHUB_APP_ID": "7", "GITHUB_PRIVATE_KEY": key, "BACKSPACE_HOME": str(tmp_path)}
        env |= {"GITHUB_API_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        provider = Modal(bot=bot_id(on_modal.without_model(env)), token=("ak-1", "as-1"))
        left = await provider.open("job-over")
        await pass_time(url)  # its end may be told now
        upkeep = asyncio.create_task(on_modal.tend(env, spawn=nobody))
        await until(lambda: upkeep.done() or not list(modal_server.part(Sandboxes).living()))
        assert not upkeep.done(), upkeep.result()
        silent.setblocking(False)
        asking = asyncio.create_task(asyncio.get_running_loop().sock_accept(silent))
        await asyncio.wait({asking, upkeep}, timeout=2 * WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        assert asking.done(), upkeep
        asking.result()[0].close()
        upkeep.cancel()
        await asyncio.wait({upkeep})
    await left.close()
    await provider.aclose()
    await store.close()


def test_the_doors_container_loads_no_sdk_but_modals() -> None:
    """It must answer GitHub within ten seconds of its start."""
    heavy = ["anthropic", "openai", "githubkit", "docker", "bot.agent", "bot.publish"]
    code = f"import sys, modal_app, bot.web.app, bot.web.live; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_modal_ends_nothing_that_the_bot_would_end_by_itself() -> None:
    assert JOB_S > 2 * MOST_MINUTES * 60
    assert WATCHED_S > 10 * 60
