"""The operator's settings of the setup phase, and the parts made of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from bot.config import Config, ConfigFault
from bot.sandboxes.egress import WayOut
from bot.setup.plan import SetupRules
from bot.setup_wiring import setup_rules, way_out

BASE = {"BACKSPACE_MODEL": "rules"}


def config(**settings: str) -> Config:
    return Config.from_env({**BASE, **settings}, role="local")


def fault(**settings: str) -> str:
    with pytest.raises(ConfigFault) as caught:
        config(**settings)
    (said,) = caught.value.faults
    return said


def test_without_settings_there_is_network_for_the_public_registries() -> None:
    rules = setup_rules(config())
    assert (way_out(config()), replace(rules, place="")) == (WayOut(), SetupRules())


def test_another_toolchain_is_another_place(tmp_path: Path) -> None:
    """What was installed for one Python is of no use to the next."""
    (tmp_path / "bin").mkdir()
    before = setup_rules(config(SANDBOX_READONLY_PATHS=str(tmp_path))).place
    (tmp_path / "bin" / "python4").touch()
    assert setup_rules(config(SANDBOX_READONLY_PATHS=str(tmp_path))).place != before != setup_rules(config()).place


def test_off_means_no_network_for_anybody() -> None:
    off = config(SETUP_NETWORK="off", SETUP_HOSTS="index.corp:8081,files.example")
    assert way_out(off) is None
    assert setup_rules(off).network is False


def test_a_host_with_a_port_is_the_operators_own_and_one_without_is_on_the_list() -> None:
    both = config(SETUP_HOSTS="Index.corp:8081, *.files.example,localhost:3141")
    assert way_out(both) == WayOut(own_hosts=(("index.corp", 8081), ("localhost", 3141)))
    assert setup_rules(both).hosts == ("*.files.example",)


def test_environment_and_proxy_are_passed_on_and_the_proxys_password_is_a_secret() -> None:
    given = config(
        SETUP_ENV="PIP_INDEX_URL=http://index.corp:8081/simple MAKEFLAGS='-j 2'",
        SETUP_PROXY="http://bot:p%40ss-word-of-proxy@proxy.corp:3128",
    )
    assert setup_rules(given).environment == {
        "PIP_INDEX_URL": "http://index.corp:8081/simple",
        "MAKEFLAGS": "-j 2",
    }
    assert way_out(given) == WayOut(proxy="http://bot:p%40ss-word-of-proxy@proxy.corp:3128")
    assert given.secrets == ("p@ss-word-of-proxy",)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SETUP_NETWORK", "yes", "SETUP_NETWORK is not one of on, off: yes."),
        ("SETUP_HOSTS", "http://a.b", "SETUP_HOSTS names http://a.b, which is no host: "),
        ("SETUP_HOSTS", "a.b:0", "SETUP_HOSTS names a.b:0, which is no host: "),
        ("SETUP_HOSTS", "*.a.b:80", "SETUP_HOSTS names *.a.b:80, which is no host: "),
        ("SETUP_ENV", "A=1 B", "SETUP_ENV cannot be read: write NAME=value pairs, quoted as in a shell."),
        ("SETUP_ENV", "A='1", "SETUP_ENV cannot be read: write NAME=value pairs, quoted as in a shell."),
        ("SETUP_ENV", "NPM_TOKEN=x", "SETUP_ENV gives NPM_TOKEN a credential, which the code of every repository "),
        ("SETUP_ENV", "PIP_INDEX_URL=https://u:p@i.corp/s", "SETUP_ENV gives PIP_INDEX_URL a credential, which "),
        ("SETUP_PROXY", "socks5://a:1", "SETUP_PROXY is not the address of an HTTP proxy: http://HOST:PORT."),
    ],
)
def test_each_mistake_gets_one_sentence(name: str, value: str, said: str) -> None:
    assert fault(**{name: value}).startswith(said)
