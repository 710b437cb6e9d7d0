"""The operator's settings for the setup phase, as the parts that keep to them take them."""

from pathlib import Path
from typing import TYPE_CHECKING

from bot.config import Config

if TYPE_CHECKING:
    from bot.sandboxes.egress import WayOut
    from bot.sandboxes.shelf import Shelf
    from bot.setup.plan import SetupRules


def setup_rules(config: Config) -> "SetupRules":
    from bot.setup.plan import SetupRules

    return SetupRules(
        network=config.setup_network == "on",
        hosts=tuple(host for host in config.setup_hosts if ":" not in host),
        environment=config.setup_env,
        place=_toolchains(config),
    )


def _toolchains(config: Config) -> str:
    """Another text once programs are installed or removed; they are looked at when the bot starts."""
    folders = [Path(name) for name in ("/usr/bin", "/usr/local/bin")]
    folders += [path / "bin" for path in config.sandbox_readonly_paths]
    return ":".join(f"{path}@{path.stat().st_mtime_ns}" for path in folders if path.is_dir())


def way_out(config: Config) -> "WayOut | None":
    """None: the setup phase has no network either."""
    from bot.sandboxes.egress import WayOut

    own = (host.partition(":") for host in config.setup_hosts if ":" in host)
    hosts = tuple((name, int(port)) for name, _, port in own)
    return WayOut(own_hosts=hosts, proxy=config.setup_proxy) if config.setup_network == "on" else None


def shelf(config: Config) -> "Shelf":
    """What setup phases made, of all repositories; each finds its own only."""
    from bot.sandboxes.shelf import Shelf

    return Shelf(config.home / "warm")
