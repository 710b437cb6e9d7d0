"""Each benchmark measures, with sizes that say nothing and without peers; the table says where a goal is missed."""

import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import agent, door, journey, sandbox, stream, tree
from benchmarks.__main__ import NAMES, as_json, table
from benchmarks.measuring import Goal, Row, alternate
from benchmarks.peers import NotHad, Peers
from tests.sandboxes.engine import small_image

pytestmark = pytest.mark.anyio


@pytest.fixture
def nobody(tmp_path: Path) -> Peers:
    return Peers(tmp_path / "peers", allowed=False)


def measured(rows: list[Row]) -> None:
    assert rows
    assert all(row.our_median >= 0 for row in rows)
    json.dumps(as_json({"all": rows}, quick=True))


@pytest.mark.slow
async def test_the_door_acknowledges_what_is_ignored_and_what_is_stored(tmp_path: Path, nobody: Peers) -> None:
    rows = await door.rows(door.Size(count=20, seconds=10.0, connections=2, rounds=1), tmp_path, nobody)
    measured(rows)
    assert all(row.note == "peers are switched off" and row.verdict == "" for row in rows)


async def test_a_warm_tree_is_filled_and_cloned(tmp_path: Path, nobody: Peers) -> None:
    (row,) = await tree.rows(tree.Size(files=(60,), rounds=1), tmp_path, nobody)
    assert row.ratio is not None


async def test_a_sandbox_is_started_and_runs_commands(tmp_path: Path, nobody: Peers) -> None:
    rows = await sandbox.rows(sandbox.Size(commands=2, starts=1, rounds=1, kept=3), tmp_path, nobody)
    assert all(row.ratio is not None for row in rows)


@pytest.mark.slow  # starts an engine where none runs
async def test_docker_is_measured_where_there_is_an_engine(
    tmp_path: Path, nobody: Peers, docker_engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    monkeypatch.setenv("DOCKER_IMAGE", small_image(docker_engine))
    rows = await sandbox.rows(sandbox.Size(commands=2, starts=1, rounds=1, kept=3), tmp_path, nobody)
    assert [row.peer for row in rows if row.what.startswith("docker: ")] == ["docker run true"] * 2
    assert all(row.ratio is not None for row in rows)


async def test_watchers_get_every_event(tmp_path: Path, nobody: Peers) -> None:
    measured(await stream.rows(stream.Size(watchers=3, events=4, per_second=50.0, rounds=1), tmp_path, nobody))


async def test_a_journey_is_split_into_its_stages_and_calls(tmp_path: Path, nobody: Peers) -> None:
    rows = await journey.rows(journey.Size(files=20, delay_ms=10.0, slow_ms=50.0, rounds=1), tmp_path, nobody)
    assert [row.what for row in rows if "calls in a row" in row.what] == [
        "cold: calls in a row",
        "warm: calls in a row",
    ]
    assert any(row.what == "warm, until pull request opened" for row in rows)


@pytest.mark.slow
async def test_the_harness_is_timed_turn_by_turn(tmp_path: Path, nobody: Peers) -> None:
    measured(await agent.rows(agent.Size(turns=12, files=2, early=3, late=6, rounds=1), tmp_path, nobody))


async def test_contenders_take_turns() -> None:
    order: list[str] = []

    async def a() -> None:
        order.append("a")

    async def b() -> None:
        order.append("b")

    await alternate({"a": a, "b": b}, 3)
    assert order == ["a", "b", "a", "b", "a", "b"]


@pytest.mark.parametrize(
    ("goal", "value", "verdict"),
    [
        pytest.param(Goal("at most", 0.6, 0.4), 0.4, "stretch", id="low-enough"),
        pytest.param(Goal("at most", 0.6, 0.4), 0.6, "met", id="just-low-enough"),
        pytest.param(Goal("at most", 0.6, 0.4), 0.61, "missed", id="too-high"),
        pytest.param(Goal("at least", 1.4, 2.0), 2.0, "stretch", id="high-enough"),
        pytest.param(Goal("at least", 1.4, 2.0), 1.39, "missed", id="too-low"),
    ],
)
def test_a_goal_says_how_a_value_stands(goal: Goal, value: float, verdict: str) -> None:
    assert goal.verdict(value) == verdict


def test_the_table_shows_medians_ratio_and_goal_and_says_which_peer_is_missing() -> None:
    rows = [
        Row(what="a way", unit="ms", ours=[9, 1, 2], peer="another", theirs=[4, 4, 5], goal=Goal("at most", 0.4, 0.1)),
        Row(
            what="a turn",
            unit="ms",
            ours=[9],
            peer="none",
            note="not installed",
            goal=Goal("at most", 12, 8, of="ours"),
        ),
    ]
    console = Console(width=200, record=True, file=sys.stderr)
    console.print(table({"door": rows}))
    shown = " ".join(console.export_text().split())
    assert "door: a way │ 2.00 ms │ another │ 4.00 ms │ 0.50x │ at most 0.4x (0.1x): missed" in shown
    assert "door: a turn │ 9.00 ms │ none (not installed) │ │ │ at most 12 ms (8 ms): met" in shown


async def test_a_peer_that_cannot_be_had_is_said_to_be_missing(nobody: Peers) -> None:
    with pytest.raises(NotHad, match="switched off"):
        await nobody.python("aiohttp")


def test_every_benchmark_is_described_in_one_sitting() -> None:
    for path in Path(door.__file__).parent.rglob("*.py"):
        assert len(path.read_text().split("\n")) <= 151, path
    assert set(NAMES) <= {path.stem for path in Path(door.__file__).parent.glob("*.py")}
