"""The rules of the house: floors, sizes, doors, and what the papers promise."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BOT = ROOT / "bot"

# A room may import the rooms on its floor's list, and itself. Longest prefix wins.
PURE = {"bot.domain", "bot.ports"}
FLOORS: dict[str, set[str]] = {
    "bot.domain": set(),
    "bot.config": {"bot.settings"},
    "bot.settings": set(),
    "bot.ports": {"bot.domain"},
    "bot.intake": PURE,
    "bot.event_adapter": {"bot.domain"},
    "bot.report": PURE | {"bot.intake", "bot.event_adapter"},
    "bot.agent": PURE | {"bot.intake", "bot.report"},
    "bot.publish": PURE | {"bot.intake", "bot.report"},
    "bot.repo_config": PURE | {"bot.intake.patterns"},
    "bot.setup": PURE | {"bot.agent.ground", "bot.agent.output", "bot.report"},
    "bot.recorder": PURE | {"bot.report"},
    "bot.reporter": PURE | {"bot.report", "bot.recorder"},
    "bot.github.pictures": PURE | {"bot.intake.pictures"},
    "bot.github": PURE,
    "bot.sandboxes": PURE,
    "bot.sandboxes.images": set(),
    "bot.models": PURE,
    "bot.stores": PURE | {"bot.event_adapter"},
    "bot.lease": PURE,
    "bot.log_stream": set(),
    "bot.upkeep": set(),
    "bot.stopping": set(),
    "bot.interrupting": set(),
    "bot.upkeep.orphans": PURE | {"bot.stopping"},
    "bot.purse": PURE,
    "bot.vitals": PURE,
    "bot.upkeep.reaper": PURE
    | {"bot.lease", "bot.publish", "bot.report", "bot.reporter", "bot.stopping", "bot.vitals"},
    "bot.upkeep.found": PURE | {"bot.intake"},
    "bot.upkeep.sweeper": PURE | {"bot.intake", "bot.stopping", "bot.upkeep.found", "bot.vitals"},
    "bot.waiting": PURE | {"bot.intake", "bot.report", "bot.stopping"},
    "bot.runner": PURE | {"bot.lease", "bot.vitals"},
    "bot.listening": PURE | {"bot.intake", "bot.report", "bot.agent", "bot.recorder"},
    "bot.ending": PURE | {"bot.report", "bot.agent"},
    "bot.facts": PURE | {"bot.intake"},
    "bot.thread": PURE | {"bot.intake", "bot.facts"},
    "bot.repo_wishes": PURE | {"bot.intake", "bot.publish", "bot.repo_config", "bot.report"},
    "bot.continuing": PURE | {"bot.publish", "bot.report"},
    "bot.publication": PURE
    | {"bot.intake", "bot.report", "bot.agent", "bot.publish", "bot.repo_config", "bot.repo_wishes"}
    | {"bot.ending", "bot.listening", "bot.continuing"},
    "bot.journey": PURE
    | {
        "bot.facts",
        "bot.publication",
        "bot.intake",
        "bot.report",
        "bot.agent",
        "bot.publish",
        "bot.repo_config",
        "bot.repo_wishes",
        "bot.setup",
        "bot.sandboxes.images",
        "bot.ending",
        "bot.listening",
        "bot.thread",
        "bot.continuing",
    },
    "bot.last_word": PURE | {"bot.report", "bot.agent"},
    "bot.resting": PURE | {"bot.last_word", "bot.recorder", "bot.report"},
    "bot.saying": PURE | {"bot.report"},
    "bot.worker": PURE
    | {
        "bot.resting",
        "bot.saying",
        "bot.intake",
        "bot.report",
        "bot.publish",
        "bot.facts",
        "bot.journey",
        "bot.last_word",
        "bot.recorder",
        "bot.reporter",
        "bot.listening",
        "bot.thread",
        "bot.continuing",
    },
    "bot.web": PURE | {"bot.intake", "bot.report", "bot.vitals"},
    "bot.standins": set(),
    "bot.evaluation": PURE
    | {"bot.agent", "bot.publish.mirror", "bot.standins", "bot.stage", "bot.config", "bot.wiring"}
    | {"bot.settings", "bot.interrupting", "bot.publish.leftovers"},
    "bot.commands.operating": PURE | {"bot.report"},
    "bot.recordings.run": PURE | {"bot.report", "bot.event_adapter"},
    "bot.local.done": PURE | {"bot.agent.outcome", "bot.report"},
    "bot.local.record": PURE | {"bot.recordings.run", "bot.report", "bot.watch"},
    "bot.recordings.playback": PURE | {"bot.recordings.run", "bot.report", "bot.watch", "bot.web"},
    "bot.commands.replay": PURE,
    "bot.watch": PURE | {"bot.report"},
}
TOP = {
    "bot.wiring",
    "bot.model_wiring",
    "bot.on_modal",
    "bot.probing",
    "bot.cli",
    "bot.commands",
    "bot.commands.demo",
    "bot.stage",
    "bot.commands.doctor",
    "bot.local",
    "bot.local.ready",
    "bot.local.run",
    "bot.setup_wiring",
    "bot.sandbox_wiring",
    "bot.commands.images",
    "bot.recordings",
    "bot.recordings.commands",
    "bot.local.command",
    "bot.local.git",
    "bot.__main__",
}

DOORS = {  # vendor: the rooms that may meet it
    "starlette": {"bot.web", "bot.standins"},
    "githubkit": {"bot.github"},
    "anthropic": {"bot.models"},
    "openai": {"bot.models"},
    "modal": {"bot.sandboxes.modal", "bot.sandboxes.modal_machine"},
    "e2b": {"bot.sandboxes.e2b"},
    "daytona": {"bot.sandboxes.daytona"},
    "sqlalchemy": {"bot.stores"},
    "psycopg": {"bot.stores"},
}
LONGEST = 300  # lines


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(BOT.rglob("*.py")):
        if path.is_relative_to(BOT / "evaluation" / "tasks"):
            continue  # programs to work on, no part of this one
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield name, path


def imports(path: Path, *, everywhere: bool = True) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else iter(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(room + ".")


def room_of(name: str) -> str | None:
    rooms = [room for room in FLOORS if within(name, room)]
    return max(rooms, key=len) if rooms else None


MODULES = list(modules())


@pytest.mark.parametrize(("name", "path"), [pytest.param(n, p, id=n) for n, p in MODULES])
def test_a_room_imports_only_downward(name: str, path: Path) -> None:
    if name == "bot" or name in TOP:
        return
    room = room_of(name)
    assert room is not None, f"{name} has no floor: add it to FLOORS"
    allowed = FLOORS[room] | {room, "bot.__version__"}
    wrong = {i for i in imports(path) if within(i, "bot") and i != "bot" and not any(within(i, a) for a in allowed)}
    assert not wrong


@pytest.mark.parametrize(("name", "path"), [pytest.param(n, p, id=n) for n, p in MODULES])
def test_a_vendor_is_met_at_its_door(name: str, path: Path) -> None:
    if name in TOP:
        return
    for vendor, rooms in DOORS.items():
        met = any(within(i, vendor) for i in imports(path))
        assert not met or any(within(name, room) for room in rooms), f"{name} imports {vendor}"


@pytest.mark.parametrize(("name", "path"), [pytest.param(n, p, id=n) for n, p in MODULES])
def test_a_module_can_be_read_in_one_sitting(name: str, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST, f"{name}: split it"
    assert ast.get_docstring(ast.parse(text)), f"{name}: its first line should say what is in it"


def test_domain_and_config_need_only_the_standard_library() -> None:
    for name, path in MODULES:
        if within(name, "bot.domain") or name in ("bot.config", "bot.settings.values"):
            foreign = {i.split(".")[0] for i in imports(path)} - set(sys.stdlib_module_names) - {"bot"}
            assert not foreign, name


def test_the_web_door_starts_light() -> None:
    """The door must answer GitHub within 10 s, cold start included: no SDK, no agent."""
    heavy = ["anthropic", "openai", "modal", "githubkit", "bot.agent", "bot.github.rest", "bot.models", "bot.publish"]
    heavy += ["jinja2", "markdown_it", "bot.recordings.run", "sqlalchemy.dialects.postgresql"]
    parts = "bot.cli, bot.wiring, bot.stores.sqlite"
    parts += "".join(f", bot.web.{part}" for part in ("app", "live", "health", "operator", "server"))
    code = f"import sys, {parts}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_only_the_entrance_touches_the_environment() -> None:
    for name, path in MODULES:
        if name in TOP or name == "bot.sandboxes.inside.observing":  # which runs in a sandbox: nothing there is ours
            continue
        text = path.read_text(encoding="utf-8")
        assert "os.environ" not in text, name
        assert "os.getenv" not in text, name


def test_broad_excepts_stand_only_at_the_outermost_lines() -> None:
    for name, path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or (
                    isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
                )
                reraises = any(isinstance(n, ast.Raise) and n.exc is None for n in ast.walk(node))
                assert not broad or reraises or name == "bot.worker", f"{name}:{node.lineno}"


def test_no_file_names_a_registry_host() -> None:
    """But the list of the public ones, which the setup phase of a sandbox may reach."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split() or ["requirements.lock", "pyproject.toml", "Makefile", "README.md"]
    hosts = [".".join(h) for h in (("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs"), ("deb", "debian"))]
    for name in names:
        path = ROOT / name
        if path.suffix in (".gz", ".png") or not path.is_file() or name == "bot/setup/registries.py":
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not [host for host in hosts if host in text], name
