"""The operator's rules for the setup phase: whether it has network, whom it may reach, by which way and with what."""

import re
import shlex
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from bot.settings.values import Setting, one_of, url

_HOST = re.compile(r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|AUTH", re.IGNORECASE)


def hosts(raw: str) -> tuple[str, ...]:
    """`host`, `*.host` or `host:port`, comma-separated."""
    found = tuple(part.strip().lower() for part in raw.split(",") if part.strip())
    for one in found:
        name, colon, port = one.partition(":")
        if not _HOST.fullmatch(name) or (colon and (name.startswith("*") or not _is_port(port))):
            raise ValueError(f"names {one}, which is no host: write packages.example.org, or host:port for one inside.")
    return found


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536


def variables(raw: str) -> Mapping[str, str]:
    """NAME=value pairs as a shell reads them; none of them may hold a credential, for everybody's code sees them."""
    try:
        pairs = [word.partition("=") for word in shlex.split(raw)]
    except ValueError:
        raise ValueError("cannot be read: write NAME=value pairs, quoted as in a shell.") from None
    for name, equals, value in pairs:
        if not equals or not _NAME.fullmatch(name):
            raise ValueError("cannot be read: write NAME=value pairs, quoted as in a shell.")
        if _SECRET.search(name) or _holds_password(value):
            raise ValueError(f"gives {name} a credential, which the code of every repository could read: leave it out.")
    return MappingProxyType({name: value for name, _, value in pairs})


def _holds_password(value: str) -> bool:
    return any("@" in word.split("://", 1)[-1].split("/", 1)[0] for word in value.split() if "://" in word)


def proxy(raw: str) -> str:
    if raw and urlsplit(raw).scheme != "http":
        raise ValueError("is not the address of an HTTP proxy: http://HOST:PORT.")
    return url(raw)


SETUP_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "SETUP_NETWORK",
        "setup_network",
        "on",
        "Whether dependencies are installed with network before the agent works: `on` or `off`",
        one_of("on", "off"),
    ),
    Setting(
        "SETUP_HOSTS",
        "setup_hosts",
        "",
        "More hosts for it, comma-separated; `host:port` for one of your own, which may have a private address",
        hosts,
    ),
    Setting(
        "SETUP_ENV",
        "setup_env",
        "",
        "NAME=value pairs for its commands, such as PIP_INDEX_URL=http://index.corp:8081/simple; no credentials",
        variables,
    ),
    Setting("SETUP_PROXY", "setup_proxy", "", "The HTTP proxy it goes out through, where there is no other way", proxy),
)
