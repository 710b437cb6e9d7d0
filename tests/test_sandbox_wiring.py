"""Which sandboxes a setting, or the lack of one, takes."""

from pathlib import Path

import pytest

from bot.config import Config
from bot.ports import LastingSandboxes
from bot.sandbox_wiring import bot_id, sandbox_provider
from bot.sandboxes.limits import GIB, SandboxLimits
from tests.sandboxes.engine import small_image

TOKEN = {"MODAL_TOKEN_ID": "ak-1", "MODAL_TOKEN_SECRET": "as-1-secret"}
NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


def configured(home: Path, **env: str) -> Config:
    return Config.from_env({"BACKSPACE_HOME": str(home), "BACKSPACE_MODEL": "rules", **env}, role="local")


@pytest.mark.parametrize(
    ("env", "name"),
    [
        pytest.param({"SANDBOX": "modal"}, "modal", id="modal"),
        pytest.param({"SANDBOX": "docker", **NO_ENGINE}, "docker", id="docker-that-is-not-there"),
        pytest.param({"SANDBOX": "bubblewrap", **TOKEN}, "bubblewrap", id="bubblewrap-with-a-token"),
        pytest.param({**TOKEN, **NO_ENGINE}, "modal", id="auto-with-a-token"),
        pytest.param({"MODAL_TOKEN_ID": "ak-1", **NO_ENGINE}, "bubblewrap", id="auto-with-half-a-token"),
        pytest.param(NO_ENGINE, "bubblewrap", id="auto-with-nothing"),
        pytest.param({"SANDBOX": "e2b"}, "e2b", id="e2b"),
        pytest.param({"SANDBOX": "daytona"}, "daytona", id="daytona"),
        pytest.param({"E2B_API_KEY": "e2b_0123456789", **NO_ENGINE}, "bubblewrap", id="never-e2b-unasked"),
    ],
)
def test_the_setting_or_the_best_that_works_is_taken(tmp_path: Path, env: dict[str, str], name: str) -> None:
    assert sandbox_provider(configured(tmp_path, **env)).name == name


def test_docker_is_taken_where_an_engine_has_the_image(tmp_path: Path, docker_engine: str) -> None:
    for image, name in ((small_image(docker_engine), "docker"), ("no-such-image:1", "bubblewrap")):
        config = configured(tmp_path, DOCKER_HOST=docker_engine, DOCKER_IMAGE=image)
        assert sandbox_provider(config).name == name


@pytest.mark.parametrize("name", ["modal", "docker", "bubblewrap", "e2b", "daytona"])
def test_the_operators_limits_reach_every_provider(tmp_path: Path, name: str) -> None:
    config = configured(tmp_path, SANDBOX=name, SANDBOX_MEMORY_GB="16", SANDBOX_DISK_GB="12")
    limits: SandboxLimits = vars(sandbox_provider(config))["_limits"]
    assert (limits.memory_bytes, limits.together()) == (16 * GIB, 28 * GIB)
    assert limits.disk_bytes == limits.tmp_bytes == limits.files_bytes
    apart = limits.apart()
    assert 11 * GIB < apart.disk_bytes + 3 * apart.tmp_bytes <= 12 * GIB, "where no cgroup holds them together"
    assert limits.wall_clock_s == (3_600 if name == "e2b" else 7_200)


def test_sandboxes_that_outlive_the_bot_are_known_as_such(tmp_path: Path) -> None:
    lasting = {
        name: isinstance(sandbox_provider(configured(tmp_path, SANDBOX=name)), LastingSandboxes)
        for name in ("modal", "docker", "e2b", "daytona", "bubblewrap")
    }
    assert lasting == {"modal": True, "docker": True, "e2b": True, "daytona": True, "bubblewrap": False}


def test_providers_keys_are_among_the_secrets_that_leave_in_no_text(tmp_path: Path) -> None:
    keys = {"E2B_API_KEY": "e2b_0123456789", "DAYTONA_API_KEY": "dtn_0123456789"}
    secrets = configured(tmp_path, **TOKEN, **keys).secrets
    assert {TOKEN["MODAL_TOKEN_SECRET"], *keys.values()} <= set(secrets)


def test_bots_that_share_an_account_are_told_apart_and_replicas_are_one(tmp_path: Path) -> None:
    """Otherwise one would end the other's sandboxes as orphans, or not find its own again on another machine."""

    def of(home: str, **env: str) -> str:
        return bot_id(configured(tmp_path / home, **env))

    enterprise = "https://github.example.org/api/v3"
    assert of("a", GITHUB_APP_ID="7") == of("b", GITHUB_APP_ID="7")
    assert of("a", GITHUB_APP_ID="7") != of("a", GITHUB_APP_ID="8")
    assert of("a", GITHUB_APP_ID="7") != of("a", GITHUB_APP_ID="7", GITHUB_API_URL=enterprise)
    assert of("a") == of("a") != of("b")
