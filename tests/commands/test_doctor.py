"""What the doctor makes of what it is told; tests/test_cli.py runs it against a bot and a loopback GitHub."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from bot.commands.doctor import (
    Finding,
    clock,
    delivery,
    events,
    findings,
    installations,
    memory,
    permissions,
    show,
    webhook,
)
from bot.config import Config
from bot.github.hooks import Registration, Webhook
from bot.github.tokens import JOB
from bot.intake.triggers import EVENTS
from bot.sandbox_wiring import bot_id
from bot.sandboxes.images import DEFAULT, published_name
from tests.github.wire import private_key
from tests.standins.modal.published import Published
from tests.standins.modal.sandboxes import Sandboxes
from tests.standins.modal.server import ModalStandIn

NOW = 1_800_000_000.0
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"  # NOW as GitHub writes it
PUBLIC = "https://bot.example"
HOOK = f"{PUBLIC}/webhook"


def registered(permissions: dict[str, str], *events: str, installations: int | None = 1) -> Registration:
    return Registration(slug="backspace", permissions=permissions, events=events, installations=installations)


@pytest.mark.parametrize(
    ("date", "now", "found"),
    [
        pytest.param(DATE, NOW + 29, "agrees with GitHub's", id="a-little"),
        pytest.param(DATE, NOW + 90, "90 s ahead of GitHub's", id="ahead"),
        pytest.param(DATE, NOW - 3600, "3600 s behind GitHub's", id="behind"),
        pytest.param("", NOW, "GitHub's answer has no date to compare with", id="no-date"),
        pytest.param("soon", NOW, "GitHub's answer has no date to compare with", id="junk"),
    ],
)
def test_a_clock_that_github_would_refuse_is_named(date: str, now: float, found: str) -> None:
    finding = clock(date, now=now)
    assert finding.found == found
    assert finding.well == ("ahead" not in found and "behind" not in found)


def test_jobs_that_may_take_more_memory_than_there_is_are_told(tmp_path: Path) -> None:
    env = {"BACKSPACE_HOME": str(tmp_path), "BACKSPACE_MODEL": "rules", "SANDBOX_DISK_GB": "12"}
    config = Config.from_env(env, role="local")
    assert memory(config, here_gb=32) == []
    (told,) = memory(config, here_gb=31)
    assert told.well
    assert told.found == (
        "2 at once may take 16 GiB each, and their checks twice that, of 31 GiB here: "
        "BACKSPACE_CONCURRENCY, SANDBOX_MEMORY_GB, SANDBOX_DISK_GB"
    )


@pytest.mark.parametrize(
    ("has", "found"),
    [
        pytest.param(JOB, "all that a job needs", id="what-app.yml-asks"),
        pytest.param({**JOB, "actions": "read"}, "all that a job needs", id="more"),
        pytest.param({**JOB, "issues": "read", "checks": ""}, "lacks issues: write, checks: write", id="less"),
        pytest.param({**JOB, "workflows": "write"}, "has workflows, which it must not have", id="workflows"),
    ],
)
def test_permissions_are_held_against_what_a_job_asks_for(has: dict[str, str], found: str) -> None:
    finding = permissions(registered(has))
    assert finding.found == found
    assert finding.well == found.startswith("all")


def test_an_app_that_is_installed_nowhere_is_no_app_that_is_well() -> None:
    nowhere = installations(registered(JOB, installations=0))
    assert (nowhere.found, "Install App" in nowhere.remedy) == ("none", True)
    assert installations(registered(JOB, installations=2)) == Finding("Installations", "2")
    assert installations(registered(JOB, installations=None)).well


@pytest.mark.anyio
async def test_a_github_that_does_not_answer_has_a_remedy(tmp_path: Path) -> None:
    """Red when it is left to the words of the client: seen."""
    nowhere = "http://127.0.0.1:9"
    settings = {"GITHUB_APP_ID": "5", "GITHUB_PRIVATE_KEY": private_key(), "GITHUB_API_URL": nowhere}
    config, _ = Config.read(settings | {"BACKSPACE_MODEL": "rules", "BACKSPACE_HOME": str(tmp_path)})
    found = {one.what: one for one in await findings(config)}
    assert found["GitHub App"].found == "no answer: ConnectError (GET /app)"
    for what in ("Clock", "GitHub App"):
        assert found[what].remedy.startswith(f"GitHub's API does not answer at {nowhere}: correct GITHUB_API_URL")


@pytest.mark.anyio
async def test_the_doctors_sandbox_is_none_of_the_running_bots(modal_server: ModalStandIn, tmp_path: Path) -> None:
    """Which ends those whose job it does not know. Red when it is opened in the bot's name: seen."""
    modal_server.part(Published).publish(published_name(DEFAULT))
    settings = {"GITHUB_APP_ID": "5", "GITHUB_API_URL": "http://127.0.0.1:9", "SANDBOX": "modal"}
    settings |= {"MODAL_TOKEN_ID": "ak-1", "MODAL_TOKEN_SECRET": "as-1"}
    config, _ = Config.read(settings | {"BACKSPACE_MODEL": "rules", "BACKSPACE_HOME": str(tmp_path)})
    found = {one.what: one for one in await findings(config)}
    assert found["Sandbox"].well, found["Sandbox"].remedy
    (opened,) = [one for one in modal_server.part(Sandboxes).all.values() if one.tags["job"] == "doctor"]
    assert opened.tags["bot"] != bot_id(config)


def test_events_are_held_against_those_that_start_something() -> None:
    assert events(registered(JOB, *EVENTS, "push")).well
    assert events(registered(JOB, "issues")).found == "issue_comment not subscribed to"


@pytest.mark.parametrize(
    ("url", "content_type", "checked", "found"),
    [
        pytest.param(HOOK, "json", True, HOOK, id="well"),
        pytest.param(
            "https://other.example/webhook", "json", True, "GitHub delivers to https://other.", id="elsewhere"
        ),
        pytest.param(PUBLIC, "json", True, f"GitHub delivers to {PUBLIC}", id="not-the-door"),
        pytest.param("", "json", True, "none is set", id="none"),
        pytest.param(HOOK, "form", True, "its content type is form", id="form"),
        pytest.param(HOOK, "json", False, "GitHub checks no certificate", id="unchecked"),
    ],
)
def test_the_webhook_must_lead_to_the_door(url: str, content_type: str, checked: bool, found: str) -> None:
    finding = webhook(Webhook(url=url, content_type=content_type, checks_certificate=checked), public_url=PUBLIC)
    assert finding.found.startswith(found)
    assert finding.well == (found == HOOK)


def test_the_last_delivery_tells_a_wrong_secret() -> None:
    assert delivery("issues", 202).well
    assert "GITHUB_WEBHOOK_SECRET is not the secret" in delivery("issues", 401).remedy
    assert "Advanced page" in delivery("issues", 502).remedy


def test_the_report_is_text_whatever_it_holds() -> None:
    printed = io.StringIO()
    code = show([Finding("A", "x[bot] [/]"), Finding("B", "failed", "Do [this].")], Console(file=printed))
    assert code == 1
    assert printed.getvalue() == "ok   A: x[bot] [/]\nfix  B: failed\n     Do [this].\n"
    assert show([Finding("A", "x")], Console(file=printed)) == 0
