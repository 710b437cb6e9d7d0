"""Configuration: every fault at once, in plain words, before anything starts."""

from decimal import Decimal
from pathlib import Path

import pytest

from bot.config import SETTINGS, Config, ConfigFault, Role

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----"
SECRET = "0123456789abcdef0123"
WHOLE = {
    "GITHUB_APP_ID": "123",
    "GITHUB_PRIVATE_KEY": PEM,
    "GITHUB_WEBHOOK_SECRET": SECRET,
    "ANTHROPIC_API_KEY": "sk-ant-something-long",
    "BACKSPACE_HOME": "/srv/backspace",
}


def faults_of(env: dict[str, str], role: Role = "both") -> list[str]:
    with pytest.raises(ConfigFault) as caught:
        Config.from_env(env, role=role)
    return caught.value.faults


def test_four_settings_are_enough() -> None:
    config = Config.from_env(WHOLE)
    assert config.app_id == 123
    assert config.model == "claude-opus-5-5"
    assert config.database_url == "sqlite:////srv/backspace/backspace.db"
    assert config.public_url == "http://127.0.0.1:8000"
    assert config.webhook_secrets == (SECRET,)


def test_an_empty_environment_names_every_missing_setting_at_once() -> None:
    assert faults_of({}) == [
        "GITHUB_APP_ID is missing: it is the number on the App's settings page.",
        "GITHUB_PRIVATE_KEY is missing: give the PEM text, or its file's name as GITHUB_PRIVATE_KEY_PATH "
        "(the App's settings page makes one).",
        "ANTHROPIC_API_KEY is missing: set it, or set BACKSPACE_MODEL=rules to work without a model "
        "(it applies patches and recipes written in the request).",
        "GITHUB_WEBHOOK_SECRET is missing: give the secret of the App's webhook, at least 16 characters "
        "(openssl rand -hex 32 makes one).",
    ]


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        pytest.param(
            "GITHUB_APP_ID", "Iv1.abc", "is not a number from 0 to 9007199254740992: Iv1.abc.", id="client-id"
        ),
        pytest.param("GITHUB_WEBHOOK_SECRET", "short", "is too short: at least 16 characters", id="short-secret"),
        pytest.param("GITHUB_WEBHOOK_SECRET", f"{SECRET},", "is too short", id="empty-second-secret"),
        pytest.param("GITHUB_WEBHOOK_SECRET", f"{SECRET},{SECRET},{SECRET}", "holds more than two", id="three-secrets"),
        pytest.param("GITHUB_PRIVATE_KEY", "hello", "is not a PEM private key", id="not-pem"),
        pytest.param("GITHUB_API_URL", "api.github.com", "is not an http(s) address: api.github.com.", id="no-scheme"),
        pytest.param("GITHUB_API_URL", "http://[bad", "is not an http(s) address: http://[bad.", id="broken-host"),
        pytest.param("PUBLIC_URL", "http://h:99999", "is not an http(s) address: http://h:99999.", id="broken-port"),
        pytest.param("ANTHROPIC_API_KEY", "sk-\u00e4", "holds characters no key has: copy it again.", id="no-key"),
        pytest.param("BACKSPACE_HOME", "~nobody-of-this-name/x", "names the home of a user who has none", id="no-home"),
        pytest.param("DATABASE_URL", "mysql://x", "is not a database address", id="mysql"),
        pytest.param(
            "SANDBOX",
            "none",
            "is not one of auto, modal, docker, bubblewrap, e2b, daytona: none.",
            id="no-unsandboxed-mode",
        ),
        pytest.param("DOCKER_HOST", "ssh://me@host", "goes by SSH: forward the socket", id="docker-by-ssh"),
        pytest.param("DOCKER_HOST", "/run/docker.sock", "should be unix:///PATH or tcp://HOST:PORT", id="docker-path"),
        pytest.param("SANDBOX_READONLY_PATHS", "relative", "names relative, which is not", id="relative-path"),
        pytest.param("PORT", "99999", "is not a port from 0 to 65535: 99999.", id="port"),
        pytest.param("PORT", "٣", "is not a port", id="arabic-digit"),
        pytest.param("BACKSPACE_BUDGET_USD", "nan", "is not a number of dollars from 0.01 to 1000: nan.", id="nan"),
        pytest.param(
            "BACKSPACE_REPO_USD_PER_DAY", "0", "is not a number of dollars from 0.01 to 100000: 0.", id="no-day"
        ),
        pytest.param("BACKSPACE_OPERATOR_TOKEN", "x" * 23, "is too short or not plain: 24 ASCII", id="short-token"),
        pytest.param("BACKSPACE_OPERATOR_TOKEN", "\u00fc" * 30, "is too short or not plain", id="not-ascii-token"),
        pytest.param("LOG_LEVEL", "loud", "is not one of", id="log-level"),
        pytest.param("PUBLIC_URL", "https://x.test/?a=b", "is not an http(s) address", id="query"),
    ],
)
def test_a_wrong_value_is_named_with_what_to_do(name: str, value: str, fault: str) -> None:
    (said,) = faults_of({**WHOLE, name: value})
    assert said.startswith(f"{name} {fault}")


def test_what_is_wrong_leaves_the_rest_to_be_tried() -> None:
    config, faults = Config.read({**WHOLE, "PORT": "x", "GITHUB_PRIVATE_KEY": "x", "BACKSPACE_MODEL": "rules"})
    assert [fault.split(" ", 1)[0] for fault in faults] == ["GITHUB_PRIVATE_KEY", "PORT"]
    assert (config.port, config.private_key, config.model, config.app_id) == (8000, "", "rules", 123)


def test_two_secrets_are_taken_while_rotating() -> None:
    config = Config.from_env({**WHOLE, "GITHUB_WEBHOOK_SECRET": f"{SECRET}, {SECRET}new"})
    assert config.webhook_secrets == (SECRET, f"{SECRET}new")


def test_the_key_may_lie_in_a_file(tmp_path: Path) -> None:
    env = {k: v for k, v in WHOLE.items() if k != "GITHUB_PRIVATE_KEY"}
    key = tmp_path / "key.pem"
    key.write_text(PEM)
    assert Config.from_env({**env, "GITHUB_PRIVATE_KEY_PATH": str(key)}).private_key == PEM + "\n"
    missing = faults_of({**env, "GITHUB_PRIVATE_KEY_PATH": str(tmp_path / "none.pem")})
    assert missing == [f"GITHUB_PRIVATE_KEY_PATH cannot be read: {tmp_path}/none.pem: No such file or directory."]


def test_a_web_process_reads_neither_the_app_key_nor_the_model_key() -> None:
    """S9. Red when `from_env` reads settings of the other role (tried: drop the `wanted` test)."""
    config = Config.from_env(WHOLE, role="web")
    assert (config.private_key, config.anthropic_api_key, config.app_id) == ("", "", 0)
    assert config.webhook_secrets == (SECRET,)


def test_a_worker_process_does_not_hold_the_webhook_secret() -> None:
    assert Config.from_env(WHOLE, role="worker").webhook_secrets == ()


def test_no_secret_is_in_the_text_of_a_config() -> None:
    config = Config.from_env({**WHOLE, "BACKSPACE_OPERATOR_TOKEN": "o" * 24})
    assert "o" * 24 in config.secrets
    assert not any(secret in repr(config) or secret in str(config) for secret in config.secrets)


@pytest.mark.parametrize(
    ("address", "secrets"),
    [
        pytest.param("postgresql://bot:geheim%201wort@db/bot", {"geheim 1wort"}, id="quoted"),
        pytest.param("postgresql://bot:wort#1[gehe]im@db/bot", {"wort#1[gehe]im"}, id="as-it-is"),
        pytest.param("postgresql://db/bot?password=geheimwort12", {"geheimwort12"}, id="as-an-option"),
        pytest.param("postgresql://backspace:backspace@db/backspace", set(), id="a-word-of-every-branch"),
        pytest.param("postgresql://postgres:postgres@db/bot", set(), id="a-word-of-many-files"),
        pytest.param("sqlite:////srv/bot.db", set(), id="none"),
    ],
)
def test_the_databases_password_is_a_secret_where_it_is_no_word(address: str, secrets: set[str]) -> None:
    """S3. Red without it in `Config.secrets`, and where `backspace` counts as one, so that nothing can be published:
    seen."""
    known = set(Config.from_env({**WHOLE, "DATABASE_URL": address}).secrets)
    assert known - set(Config.from_env(WHOLE).secrets) == secrets


def test_rules_need_no_model_key() -> None:
    env = {k: v for k, v in WHOLE.items() if k != "ANTHROPIC_API_KEY"}
    assert Config.from_env({**env, "BACKSPACE_MODEL": "rules"}).anthropic_api_key == ""


def test_every_setting_has_one_name_and_a_meaning() -> None:
    assert len({s.name for s in SETTINGS}) == len(SETTINGS)
    assert all(s.meaning for s in SETTINGS)


def test_prices_are_read_by_model() -> None:
    config = Config.from_env({**WHOLE, "BACKSPACE_PRICES": "qwen3:32b=0/0, gemini-3-pro=1.25/0.3/10"})
    assert config.prices == {
        "qwen3:32b": (Decimal(0), Decimal(0), Decimal(0)),
        "gemini-3-pro": (Decimal("1.25"), Decimal("0.3"), Decimal(10)),
    }
    for wrong in ("qwen", "qwen=1", "qwen=a/b", "=1/2", "qwen=-1/2", "qwen=1/2/3/4", "qwen=nan/1"):
        (said,) = faults_of({**WHOLE, "BACKSPACE_PRICES": wrong})
        assert said.startswith("BACKSPACE_PRICES is not NAME=INPUT/OUTPUT"), wrong


def test_the_keys_of_every_provider_are_kept_from_leaving() -> None:
    names = ("OPENAI_API_KEY", "ANTHROPIC_FOUNDRY_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    keys = {name: f"a-secret-of-{name.lower()}" for name in (*names, "AWS_BEARER_TOKEN_BEDROCK")}
    config = Config.from_env({**WHOLE, **keys})
    assert set(keys.values()) < set(config.secrets)
    assert not any(key in repr(config) for key in keys.values())


def test_a_command_that_asks_no_model_needs_none() -> None:
    assert Config.from_env({"BACKSPACE_HOME": "/srv/backspace"}, role="tool").model == "claude-opus-5-5"
    assert [fault.split(" ")[0] for fault in faults_of({}, role="local")] == ["ANTHROPIC_API_KEY"]
