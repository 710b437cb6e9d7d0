"""What a setting's text means: one reader a kind of value, each raising ValueError in words for the operator."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

Role = Literal["web", "worker", "both", "local", "tool"]
"""local: no GitHub at all, as `backspace run` works. tool: no model either, as `backspace jobs`."""

MIN_SECRET = 16  # characters; a webhook secret an attacker could guess is no secret
MIN_TOKEN = 24  # characters of the operator's token


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable; README's table is held against these by a test."""

    name: str
    field: str
    default: str
    meaning: str
    read: Callable[[str], object]
    role: Role = "worker"


def text(raw: str) -> str:
    return raw


def pem(raw: str) -> str:
    """PEM text; `\\n` written as two characters, as many secret stores do, is understood."""
    text = raw.replace("\\n", "\n").strip()
    if text and not (text.startswith("-----BEGIN") and "PRIVATE KEY-----" in text):
        raise ValueError("is not a PEM private key: it should begin with -----BEGIN RSA PRIVATE KEY-----.")
    return text and text + "\n"


def path(raw: str) -> Path | None:
    return _expanded(raw) if raw else None


def folder(raw: str) -> Path:
    return _expanded(raw).absolute()


def _expanded(raw: str) -> Path:
    try:
        return Path(raw).expanduser()
    except RuntimeError:
        raise ValueError(f"names the home of a user who has none: {raw}.") from None


def paths(raw: str) -> tuple[Path, ...]:
    paths = tuple(_expanded(part) for part in raw.split(":") if part)
    for path in paths:
        if not path.is_absolute() or not path.is_dir():
            raise ValueError(f"names {path}, which is not an absolute path of a directory here.")
    return paths


def secrets(raw: str) -> tuple[str, ...]:
    secrets = tuple(part.strip() for part in raw.split(",")) if raw else ()
    if len(secrets) > 2:
        raise ValueError("holds more than two secrets: give one, or the new and the old one while rotating.")
    if any(len(secret) < MIN_SECRET for secret in secrets):
        raise ValueError(f"is too short: at least {MIN_SECRET} characters (openssl rand -hex 32 makes one).")
    return secrets


def token(raw: str) -> str:
    if raw and (len(raw) < MIN_TOKEN or not raw.isascii() or not raw.isprintable() or " " in raw):
        raise ValueError(f"is too short or not plain: {MIN_TOKEN} ASCII characters (openssl rand -hex 32 makes one).")
    return raw


def api_key(raw: str) -> str:
    if not raw.isascii() or not raw.isprintable() or " " in raw:
        raise ValueError("holds characters no key has: copy it again.")
    return raw


def url(raw: str) -> str:
    if raw and not _is_address(raw):
        raise ValueError(f"is not an http(s) address: {raw}.")
    return raw.rstrip("/")


def _is_address(raw: str) -> bool:
    try:
        parts = urlsplit(raw)
        return bool(
            parts.scheme in ("http", "https")
            and parts.hostname
            and parts.port != 0
            and not (parts.query or parts.fragment)
        )
    except ValueError:  # a port or an IPv6 address that cannot be one
        return False


def optional_url(raw: str) -> str | None:
    return url(raw) or None


def database(raw: str) -> str:
    if raw and not raw.startswith(("sqlite:///", "postgresql://", "postgres://")):
        raise ValueError("is not a database address: sqlite:///FILE or postgresql://USER@HOST/NAME.")
    return raw


def number(low: float, high: float, unit: str) -> Callable[[str], float]:
    def read(raw: str) -> float:
        try:
            number = float(raw)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise ValueError(f"is not a {unit} from {low:g} to {high:g}: {raw}.")
        return number

    return read


def whole(low: int, high: int, unit: str = "whole number") -> Callable[[str], int]:
    def read(raw: str) -> int:
        if not raw.isascii() or not raw.isdigit() or not low <= int(raw[:20]) <= high:
            raise ValueError(f"is not a {unit} from {low} to {high}: {raw}.")
        return int(raw)

    return read


def one_of(*choices: str) -> Callable[[str], str]:
    def read(raw: str) -> str:
        if raw.lower() not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}: {raw}.")
        return raw.lower()

    return read


def names(raw: str) -> tuple[str, ...]:
    """Names in an order, each once, comma-separated."""
    found = tuple(dict.fromkeys(part.strip() for part in raw.split(",") if part.strip()))
    if not found:
        raise ValueError("names nothing: give one name, or several with commas between them.")
    return found
