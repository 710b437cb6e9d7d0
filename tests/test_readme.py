"""What the README promises is so."""

import asyncio
import configparser
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from bot import cli
from bot.config import SETTINGS, Config
from bot.github.tokens import JOB
from bot.intake.triggers import EVENTS
from bot.stage import Host, hosted
from bot.standins.messages import LoopbackMessages, by_turn, say
from bot.standins.serving import serve
from tests.repositories import python_bug

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {page.name: page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md"))}
ALL = "\n".join([README, *PAGES.values()])

SH = re.findall(r"^```sh\n(.*?)^```$", ALL, re.MULTILINE | re.DOTALL)
ENV_FILE = re.compile(r"cat > \.env <<'END'\n(.*?)^END\n", re.MULTILINE | re.DOTALL)
(ON_MODAL,) = [block for block in SH if "modal deploy" in block]
INSTALL = ".ci/install-system git:git bwrap:bubblewrap /usr/bin/python3:python3"
MAKE_DEMO = [INSTALL, ".venv/bin/backspace demo"]


def made(*arguments: str) -> list[str]:
    """The commands of a make target whose packages are there already, whatever make this test runs under."""
    command = ["make", "-n", "-o", ".venv/.runs", "-o", ".venv/.tests", *arguments]
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "ARGS")}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=env)
    return [line.strip() for line in done.stdout.splitlines() if not line.startswith("make")]


def started(*arguments: str, cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[str]:
    """A `backspace` command in a folder of its own, with nothing but `env` set."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
    return subprocess.Popen(
        [sys.executable, "-m", "bot", *arguments],
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_every_line_of_its_shell_blocks_is_run_by_a_test_here() -> None:
    """A new line turns this red until a test below runs it."""
    lines = [line for block in SH for line in ENV_FILE.sub("WRITE .env\n", block).splitlines()]
    assert lines == [
        *("make demo", "make test"),
        *("make install", "WRITE .env", ".venv/bin/backspace serve", ".venv/bin/backspace doctor"),
        *ON_MODAL.splitlines(),  # tests/test_modal_app.py
    ]


def test_make_demo_installs_nothing_that_is_there_and_hands_on_its_arguments() -> None:
    """The demo itself runs below and in tests/test_cli.py; `make install` is what it does before."""
    assert made("demo") == MAKE_DEMO
    assert made("install") == [INSTALL]
    assert made("demo", "ARGS=--keep") == [MAKE_DEMO[0], f"{MAKE_DEMO[1]} --keep"]
    assert made("demo", "ARGS=--repo PATH")[1] == f"{MAKE_DEMO[1]} --repo PATH"
    for command in re.findall(r"`(make demo [^`]+)`", README):
        assert len(made(*shlex.split(command)[1:])) == 2
    done = subprocess.run(shlex.split(INSTALL), cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_make_test_runs_the_fast_checks_and_make_test_all_the_slow_ones_too() -> None:
    bin = ".venv/bin"
    *commands, pytests = made("test")
    checks = [f"{bin}/ruff format --check .", f"{bin}/ruff check .", f"{bin}/mypy"]
    assert commands[:3] == checks
    assert pytests == f'{bin}/pytest -n 3 -m "not slow"'
    assert made("test-all")[:3] == checks
    assert made("test-all")[-1] == f"{bin}/pytest -n 2"
    assert made("lint") == checks


def test_the_demo_that_stays_up_ends_with_control_c(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    source = python_bug(tmp_path / "source")
    process = started("demo", "--keep", "--repo", str(source), cwd=tmp_path, env={})
    assert process.stdout is not None
    said = ""
    while "Act as alice" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    address = re.findall(r"watch at (http://\S+) ", said)[0]
    page = httpx.get(f"{address}/issues/1", timeout=60, trust_env=False).text
    offered = re.findall(r'<option value="(\w+)"', page)
    assert (offered[0], offered[-1]) == ("alice", "mallory")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.strip(), err) == (0, "Bye.", "")


def settings_of(host: Host, folder: Path) -> str:
    """Carries out the lines that write `.env`, with this App's values in place of those shown. The webhook's secret."""
    (line,) = re.findall(r"`(openssl rand [^`]+)`", README)
    secret = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True).stdout.strip()
    (folder / "key.pem").write_text(host.settings["GITHUB_PRIVATE_KEY"])
    (lines,) = [found[0] for block in SH if (found := ENV_FILE.search(block))]
    for shown, real in {
        "123456": host.settings["GITHUB_APP_ID"],
        "/path/to/your-app.private-key.pem": str(folder / "key.pem"),
        "the-secret-of-step-2": secret,
        "https://YOUR-HOST": host.settings["PUBLIC_URL"],
    }.items():
        assert lines.count(shown) == 1
        lines = lines.replace(shown, real)
    subprocess.run(["bash", "-c", lines], cwd=folder, check=True)
    return secret


@pytest.mark.anyio
async def test_the_settings_it_shows_make_a_bot_that_runs_and_a_doctor_that_finds_all_well(tmp_path: Path) -> None:
    """The lines of "Install the App", in a folder of their own: only the services are on this machine."""
    (tmp_path / "source").mkdir()
    source = python_bug(tmp_path / "source")
    model = LoopbackMessages(by_turn(say("Hello")), api_key="your-key")
    stage = hosted(tmp_path / "stage", source=source, owner="acme", name="widget", maintainer="alice")
    async with stage as host, serve(model.asgi()) as model_url:
        (app,) = host.github.world.apps.values()
        app.webhook_secret = await asyncio.to_thread(settings_of, host, tmp_path)
        env = {
            "GITHUB_API_URL": host.settings["GITHUB_API_URL"],
            "ANTHROPIC_BASE_URL": model_url,
            "BACKSPACE_HOME": str(tmp_path / "home"),
            "PORT": host.settings["PORT"],
        }
        bot = started("serve", cwd=tmp_path, env=env)
        try:
            await answering(f"{host.settings['PUBLIC_URL']}/healthz", bot)
            doctor = started("doctor", cwd=tmp_path, env=env)
            out, err = await asyncio.to_thread(doctor.communicate, timeout=90)
            assert (doctor.returncode, err) == (0, ""), out
            assert "fix" not in out
            assert "ok   Model: claude-opus-5-5\n" in out
        finally:
            bot.terminate()
            _, log = await asyncio.to_thread(bot.communicate, timeout=60)
        assert bot.returncode == 0, log
        assert "Traceback" not in log


async def answering(url: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    async with httpx.AsyncClient(trust_env=False) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if (await client.get(url)).is_success:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.1)
    process.kill()
    raise AssertionError(process.communicate())


def test_the_env_file_it_shows_names_settings_only() -> None:
    (written,) = [found[1] for block in SH if (found := ENV_FILE.search(block))]
    names = re.findall(r"^([A-Z_]+)=", written, re.MULTILINE)
    assert len(names) == len(written.splitlines())
    assert set(names) <= {setting.name for setting in SETTINGS}
    shown = dict(line.split("=", 1) for line in written.splitlines())
    config, faults = Config.read(shown)
    assert [fault.split(" ", 1)[0] for fault in faults] == ["GITHUB_PRIVATE_KEY_PATH"], "all but the file is as it is"
    assert config.app_id == 123456


def test_the_permissions_and_events_it_names_are_the_apps() -> None:
    manifest = yaml.safe_load((ROOT / "app.yml").read_text(encoding="utf-8"))
    assert manifest["default_permissions"] == JOB
    assert tuple(manifest["default_events"]) == EVENTS
    assert {name.replace("_", " ").capitalize() for name in EVENTS} == {"Issue comment", "Issues"}
    assert "*Issue comment* and *Issues*" in README
    for name in JOB:
        assert name.replace("_", " ").capitalize() in README


def settings_table() -> str:
    """The table as the code has it; paste it into the README when this test fails."""
    return "\n".join(f"| `{s.name}` | {f'`{s.default}`' if s.default else ''} | {s.meaning} |" for s in SETTINGS)


def test_the_table_of_settings_is_the_code() -> None:
    assert settings_table() in README


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", ALL))
    assert named
    assert named <= targets


@pytest.mark.parametrize("command", sorted(set(re.findall(r"(?<!/)backspace ([a-z]+)\b[^`\n]*`", ALL))))
def test_every_command_it_names_has_a_help_text(command: str) -> None:
    done = CliRunner().invoke(cli.app, [command, "--help"])
    assert done.exit_code == 0, done.output
    assert f"Usage: backspace {command}" in done.stdout


def test_every_file_and_page_it_names_exists() -> None:
    named = re.findall(r"`((?:bot|docs|tests|benchmarks)/[\w./-]+)`", ALL) + re.findall(r"\]\((docs/[^)#]+)", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert {f"docs/{page}" for page in PAGES} <= set(named), "the README leads to every page"
    beside = [link for page in PAGES.values() for link in re.findall(r"\]\(([\w-]+\.md)", page)]
    assert set(beside) <= PAGES.keys(), "and they lead to each other"
    for page, part in re.findall(r"\]\(docs/([\w-]+\.md)#([\w-]+)\)", README):
        assert part in [
            title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", PAGES[page], re.MULTILINE)
        ]


def test_the_extras_it_tells_to_install_are_in_the_project() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = set(re.findall(r"'\.\[(\w+)\]'", ALL))
    assert named == {"bedrock", "daytona", "e2b", "vertex"}
    assert named <= extras.keys()


def test_the_systemd_unit_starts_the_bot_that_make_install_made() -> None:
    (unit,) = re.findall(r"^```ini\n(.*?)^```$", ALL, re.MULTILINE | re.DOTALL)
    read = configparser.ConfigParser()
    read.read_string(unit)
    service = read["Service"]
    assert service["ExecStart"] == f"{service['WorkingDirectory']}/.venv/bin/backspace serve"
