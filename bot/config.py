"""Every setting, read once from a mapping; all faults are named together, in words for the operator."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bot.settings.limits import LIMIT_SETTINGS
from bot.settings.models import MODEL_SETTINGS, Platform, lacking
from bot.settings.models import RULES as RULES
from bot.settings.sandboxes import SANDBOX_SETTINGS
from bot.settings.setup import SETUP_SETTINGS
from bot.settings.values import (
    MIN_SECRET,
    Setting,
    database,
    folder,
    one_of,
    path,
    pem,
    secrets,
    text,
    token,
    url,
    whole,
)
from bot.settings.values import Role as Role

HOME = "~/.backspace"
_DATABASE_PASSWORD = re.compile(r"://[^:@/]*:([^@]*)@|[?&]password=([^&]*)")


class ConfigFault(Exception):
    """One sentence a setting, each saying what is wrong and what to do."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Immutable; a web-only process leaves the worker's secrets empty, a worker-only process the webhook's."""

    app_id: int
    private_key: str
    webhook_secrets: tuple[str, ...]
    github_api_url: str
    anthropic_api_key: str
    anthropic_base_url: str | None
    anthropic_platform: Platform
    aws_region: str
    aws_access_key_id: str
    aws_secret_access_key: str
    aws_session_token: str
    aws_bearer_token: str
    vertex_region: str
    vertex_project: str
    foundry_resource: str
    foundry_api_key: str
    openai_api_key: str
    openai_base_url: str | None
    models: tuple[str, ...]
    prices: Mapping[str, tuple[Decimal, Decimal, Decimal]]
    effort: str
    handoff_tokens: int
    budget_usd: float
    turns: int
    minutes: int
    repo_usd_per_day: float
    installation_usd_per_day: float
    database_url: str
    home: Path
    sandbox: str
    sandbox_memory_gb: int
    sandbox_disk_gb: int
    sandbox_readonly_paths: tuple[Path, ...]
    sandbox_rootfs: Path | None
    docker_host: str
    docker_image: str
    modal_token_id: str
    modal_token_secret: str
    e2b_api_key: str
    e2b_template: str
    daytona_api_key: str
    daytona_api_url: str
    daytona_snapshot: str
    setup_network: str
    setup_hosts: tuple[str, ...]
    setup_env: Mapping[str, str]
    setup_proxy: str
    concurrency: int
    concurrency_per_installation: int
    jobs_per_hour: int
    workers: int
    public_url: str
    operator_token: str
    host: str
    port: int
    health_port: int
    log_level: str
    log_format: str

    def __repr__(self) -> str:
        return f"Config(app_id={self.app_id}, model={self.model!r}, home={str(self.home)!r}, ...)"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must never leave this process."""
        keys = (
            self.private_key,
            self.anthropic_api_key,
            self.aws_secret_access_key,
            self.aws_session_token,
            self.aws_bearer_token,
            self.foundry_api_key,
            self.openai_api_key,
            self.operator_token,
            self.modal_token_secret,
            self.e2b_api_key,
            self.daytona_api_key,
            *self.webhook_secrets,
            *_password(self.setup_proxy),
            *_database_password(self.database_url),
        )
        return tuple(key for key in keys if key)

    @property
    def values(self) -> dict[str, Any]:
        """By field; holds the secrets."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def model(self) -> str:
        """The first of the chain."""
        return self.models[0]

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, role: Role = "both") -> "Config":
        """Raises ConfigFault with every fault at once. `role` decides which secrets are asked for, and read at all."""
        config, faults = cls.read(env, role=role)
        if faults:
            raise ConfigFault(faults)
        return config

    @classmethod
    def read(cls, env: Mapping[str, str], *, role: Role = "both") -> tuple["Config", list[str]]:
        """The faults, a sentence each that begins with the setting's name, and what there is without them.

        A setting at fault has its default, or nothing where it has none.
        """
        faults: list[str] = []
        values: dict[str, Any] = {}
        defaults: dict[str, Any] = {}
        for setting in SETTINGS:
            wanted = setting.role in (role, "both") or role in ("both", "local", "tool")
            raw = env.get(setting.name, "").strip() if wanted else ""
            try:
                values[setting.field] = setting.read(raw or setting.default)
            except ValueError as error:
                faults.append(f"{setting.name} {error}")
                values[setting.field], defaults[setting.field] = None, setting.read(setting.default)
        if role in ("worker", "both"):
            faults += _worker_faults(env, values)
        if role not in ("web", "tool"):
            faults += _model_faults(values)
        if role in ("web", "both") and not env.get("GITHUB_WEBHOOK_SECRET", "").strip():
            faults.append(
                "GITHUB_WEBHOOK_SECRET is missing: give the secret of the App's webhook, "
                f"at least {MIN_SECRET} characters (openssl rand -hex 32 makes one)."
            )
        values |= defaults
        values.pop("private_key_path")
        values["database_url"] = values["database_url"] or f"sqlite:///{values['home'] / 'backspace.db'}"
        values["public_url"] = values["public_url"] or f"http://{_reachable(values['host'])}:{values['port']}"
        return cls(**values), faults


def _worker_faults(env: Mapping[str, str], values: dict[str, Any]) -> list[str]:
    """What only the worker needs; fills in the private key from its file."""
    faults = []
    if not env.get("GITHUB_APP_ID", "").strip():
        faults.append("GITHUB_APP_ID is missing: it is the number on the App's settings page.")
    path: Path | None = values["private_key_path"]
    if values["private_key"] == "" and path is None:
        faults.append(
            "GITHUB_PRIVATE_KEY is missing: give the PEM text, or its file's name as GITHUB_PRIVATE_KEY_PATH "
            "(the App's settings page makes one)."
        )
    elif values["private_key"] == "" and path is not None:
        try:
            values["private_key"] = pem(path.read_text(encoding="ascii"))
        except OSError as error:
            faults.append(f"GITHUB_PRIVATE_KEY_PATH cannot be read: {path}: {error.strerror}.")
        except ValueError:
            faults.append(f"GITHUB_PRIVATE_KEY_PATH is not a PEM private key: {path}.")
    return faults


def _model_faults(values: Mapping[str, Any]) -> list[str]:
    """What the models of the chain need and lack, each once."""
    platform: Platform = values["anthropic_platform"] or "anthropic"
    chain = values["models"] or ()
    return list(dict.fromkeys(fault for name in chain if (fault := lacking(name, platform, values))))


def _password(address: str) -> tuple[str, ...]:
    """The one in an address; a very short one would be found in every text."""
    password = unquote(urlsplit(address).password or "")
    return (password,) if len(password) >= 8 else ()


def _database_password(address: str) -> tuple[str, ...]:
    """One that is long and mixed. Were `postgres` a secret, no text with that word could be published any more."""
    found = _DATABASE_PASSWORD.search(address)
    password = unquote(found[1] or found[2] or "") if found else ""
    is_mixed = any(map(str.isdigit, password)) and any(map(str.isalpha, password))
    return (password,) if len(password) >= 12 and is_mixed else ()


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host


SETTINGS: tuple[Setting, ...] = (
    Setting("GITHUB_APP_ID", "app_id", "0", "The App's number", whole(0, 2**53, "number")),
    Setting("GITHUB_PRIVATE_KEY", "private_key", "", "The App's private key, PEM text", pem),
    Setting("GITHUB_PRIVATE_KEY_PATH", "private_key_path", "", "or the file that holds it", path),
    Setting(
        "GITHUB_WEBHOOK_SECRET",
        "webhook_secrets",
        "",
        "The webhook's secret; two, comma-separated, while rotating",
        secrets,
        "web",
    ),
    Setting(
        "GITHUB_API_URL",
        "github_api_url",
        "https://api.github.com",
        "For GitHub Enterprise Server: https://HOST/api/v3",
        url,
        "both",
    ),
    *MODEL_SETTINGS,
    *LIMIT_SETTINGS,
    Setting(
        "BACKSPACE_HOME",
        "home",
        HOME,
        "Where the database, repository mirrors, kept setups, the records of `backspace run` and a `.env` of yours lie",
        folder,
        "both",
    ),
    Setting("DATABASE_URL", "database_url", "", "Default: an SQLite file in BACKSPACE_HOME", database, "both"),
    *SANDBOX_SETTINGS,
    *SETUP_SETTINGS,
    Setting("PUBLIC_URL", "public_url", "", "Where people reach this bot; default http://HOST:PORT", url, "both"),
    Setting(
        "BACKSPACE_OPERATOR_TOKEN",
        "operator_token",
        "",
        "Lets who has it cancel any job, and read `/metrics`; without it nobody cancels but in the thread",
        token,
        "both",
    ),
    Setting("HOST", "host", "127.0.0.1", "The address to listen on", text, "both"),
    Setting("PORT", "port", "8000", "The port to listen on", whole(0, 65535, "port"), "web"),
    Setting(
        "HEALTH_PORT",
        "health_port",
        "0",
        "With `--worker-only`: where `/healthz`, `/readyz` and `/metrics` answer; 0: nowhere",
        whole(0, 65535, "port"),
    ),
    Setting(
        "LOG_LEVEL",
        "log_level",
        "info",
        "How much to log",
        one_of("debug", "info", "warning", "error", "critical"),
        "both",
    ),
    Setting("LOG_FORMAT", "log_format", "console", "`console` or `json`", one_of("console", "json"), "both"),
)
