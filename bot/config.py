"""Every setting, read once from a mapping; all faults are named together, in words for the operator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

Role = Literal["web", "worker", "both", "local"]  # local: no GitHub at all, as `backspace run` works

MIN_SECRET = 16  # characters; a webhook secret an attacker could guess is no secret
RULES = "rules"  # BACKSPACE_MODEL=rules: the agent that needs no model


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
    model: str
    budget_usd: float
    database_url: str
    home: Path
    sandbox: str
    sandbox_readonly_paths: tuple[Path, ...]
    concurrency: int
    concurrency_per_installation: int
    jobs_per_hour: int
    public_url: str
    host: str
    port: int
    log_level: str
    log_format: str

    def __repr__(self) -> str:
        return f"Config(app_id={self.app_id}, model={self.model!r}, home={str(self.home)!r}, ...)"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must never leave this process."""
        return tuple(s for s in (self.private_key, self.anthropic_api_key, *self.webhook_secrets) if s)

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, role: Role = "both") -> "Config":
        """Raises ConfigFault with every fault at once. `role` decides which secrets are asked for, and read at all."""
        faults: list[str] = []
        values: dict[str, Any] = {}
        for setting in SETTINGS:
            wanted = setting.role in (role, "both") or role in ("both", "local")
            raw = env.get(setting.name, "").strip() if wanted else ""
            try:
                values[setting.field] = setting.read(raw or setting.default)
            except ValueError as error:
                faults.append(f"{setting.name} {error}")
                values[setting.field] = None
        if role in ("worker", "both"):
            faults += _worker_faults(env, values)
        if role in ("web", "both") and not env.get("GITHUB_WEBHOOK_SECRET", "").strip():
            faults.append(
                "GITHUB_WEBHOOK_SECRET is missing: give the secret of the App's webhook, "
                f"at least {MIN_SECRET} characters (openssl rand -hex 32 makes one)."
            )
        if faults:
            raise ConfigFault(faults)
        values.pop("private_key_path")
        values["database_url"] = values["database_url"] or f"sqlite:///{values['home'] / 'backspace.db'}"
        values["public_url"] = values["public_url"] or f"http://{_reachable(values['host'])}:{values['port']}"
        return cls(**values)


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
            values["private_key"] = _pem(path.read_text(encoding="ascii"))
        except OSError as error:
            faults.append(f"GITHUB_PRIVATE_KEY_PATH cannot be read: {path}: {error.strerror}.")
        except ValueError:
            faults.append(f"GITHUB_PRIVATE_KEY_PATH is not a PEM private key: {path}.")
    if values["model"] != RULES and not values["anthropic_api_key"]:
        faults.append(
            f"ANTHROPIC_API_KEY is missing: set it, or set BACKSPACE_MODEL={RULES} to work without a model "
            "(it applies patches and recipes written in the request)."
        )
    return faults


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host


def _text(raw: str) -> str:
    return raw


def _pem(raw: str) -> str:
    """PEM text; `\\n` written as two characters, as many secret stores do, is understood."""
    text = raw.replace("\\n", "\n").strip()
    if text and not (text.startswith("-----BEGIN") and "PRIVATE KEY-----" in text):
        raise ValueError("is not a PEM private key: it should begin with -----BEGIN RSA PRIVATE KEY-----.")
    return text and text + "\n"


def _path(raw: str) -> Path | None:
    return Path(raw).expanduser() if raw else None


def _paths(raw: str) -> tuple[Path, ...]:
    paths = tuple(Path(part).expanduser() for part in raw.split(":") if part)
    for path in paths:
        if not path.is_absolute() or not path.is_dir():
            raise ValueError(f"names {path}, which is not an absolute path of a directory here.")
    return paths


def _secrets(raw: str) -> tuple[str, ...]:
    secrets = tuple(part.strip() for part in raw.split(",")) if raw else ()
    if len(secrets) > 2:
        raise ValueError("holds more than two secrets: give one, or the new and the old one while rotating.")
    if any(len(secret) < MIN_SECRET for secret in secrets):
        raise ValueError(f"is too short: at least {MIN_SECRET} characters (openssl rand -hex 32 makes one).")
    return secrets


def _url(raw: str) -> str:
    parts = urlsplit(raw)
    if raw and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise ValueError(f"is not an http(s) address: {raw}.")
    return raw.rstrip("/")


def _optional_url(raw: str) -> str | None:
    return _url(raw) or None


def _database(raw: str) -> str:
    if raw and not raw.startswith(("sqlite:///", "postgresql://", "postgres://")):
        raise ValueError("is not a database address: sqlite:///FILE or postgresql://USER@HOST/NAME.")
    return raw


def _number(low: float, high: float, unit: str) -> Callable[[str], float]:
    def read(raw: str) -> float:
        try:
            number = float(raw)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise ValueError(f"is not a {unit} from {low:g} to {high:g}: {raw}.")
        return number

    return read


def _whole(low: int, high: int, unit: str) -> Callable[[str], int]:
    def read(raw: str) -> int:
        if not raw.isascii() or not raw.isdigit() or not low <= int(raw[:20]) <= high:
            raise ValueError(f"is not a {unit} from {low} to {high}: {raw}.")
        return int(raw)

    return read


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(raw: str) -> str:
        if raw.lower() not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}: {raw}.")
        return raw.lower()

    return read


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable; README's table is held against these by a test."""

    name: str
    field: str
    default: str
    meaning: str
    read: Callable[[str], object]
    role: Role = "both"


SETTINGS: tuple[Setting, ...] = (
    Setting("GITHUB_APP_ID", "app_id", "0", "The App's number", _whole(0, 2**53, "number"), "worker"),
    Setting("GITHUB_PRIVATE_KEY", "private_key", "", "The App's private key, PEM text", _pem, "worker"),
    Setting("GITHUB_PRIVATE_KEY_PATH", "private_key_path", "", "or the file that holds it", _path, "worker"),
    Setting(
        "GITHUB_WEBHOOK_SECRET",
        "webhook_secrets",
        "",
        "The webhook's secret; two, comma-separated, while rotating",
        _secrets,
        "web",
    ),
    Setting(
        "GITHUB_API_URL",
        "github_api_url",
        "https://api.github.com",
        "For GitHub Enterprise Server: https://HOST/api/v3",
        _url,
        "worker",
    ),
    Setting("ANTHROPIC_API_KEY", "anthropic_api_key", "", "The key for Claude", _text, "worker"),
    Setting(
        "ANTHROPIC_BASE_URL", "anthropic_base_url", "", "Another address for Claude's API", _optional_url, "worker"
    ),
    Setting(
        "BACKSPACE_MODEL",
        "model",
        "claude-opus-5-5",
        "The model; `rules` works without one, from patches and recipes in the request",
        _text,
        "worker",
    ),
    Setting(
        "BACKSPACE_BUDGET_USD",
        "budget_usd",
        "3.00",
        "Dollars one job may cost, at list price",
        _number(0.01, 1000, "number of dollars"),
        "worker",
    ),
    Setting(
        "BACKSPACE_CONCURRENCY",
        "concurrency",
        "2",
        "Jobs that run at once, in all processes that share the database",
        _whole(1, 64, "whole number"),
        "worker",
    ),
    Setting(
        "BACKSPACE_CONCURRENCY_PER_INSTALLATION",
        "concurrency_per_installation",
        "2",
        "and for one installation of the App",
        _whole(1, 64, "whole number"),
        "worker",
    ),
    Setting(
        "BACKSPACE_JOBS_PER_HOUR",
        "jobs_per_hour",
        "30",
        "Jobs an hour that one installation may ask for",
        _whole(1, 10_000, "whole number"),
        "worker",
    ),
    Setting(
        "BACKSPACE_HOME",
        "home",
        "~/.backspace",
        "Where the database and the repository mirrors are kept",
        lambda raw: Path(raw).expanduser().absolute(),
    ),
    Setting("DATABASE_URL", "database_url", "", "Default: an SQLite file in BACKSPACE_HOME", _database),
    Setting(
        "SANDBOX",
        "sandbox",
        "auto",
        "`bubblewrap`, or `auto`: the best one that works here",
        _one_of("auto", "bubblewrap"),
        "worker",
    ),
    Setting(
        "SANDBOX_READONLY_PATHS",
        "sandbox_readonly_paths",
        "",
        "Toolchains outside /usr the sandbox may read, colon-separated",
        _paths,
        "worker",
    ),
    Setting("PUBLIC_URL", "public_url", "", "Where people reach this bot; default http://HOST:PORT", _url),
    Setting("HOST", "host", "127.0.0.1", "The address to listen on", _text, "web"),
    Setting("PORT", "port", "8000", "The port to listen on", _whole(0, 65535, "port"), "web"),
    Setting(
        "LOG_LEVEL", "log_level", "info", "How much to log", _one_of("debug", "info", "warning", "error", "critical")
    ),
    Setting("LOG_FORMAT", "log_format", "console", "`console` or `json`", _one_of("console", "json")),
)
