"""The setup phase: what is detected, what it leaves, what is kept of it and for whom, and how a job tells of it."""

import asyncio
import base64
import hashlib
import io
import itertools
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot.domain.errors import LimitReached, ProviderError, UserError
from bot.domain.events import Noted, ToolCalled, ToolReturned
from bot.domain.setup import SetupReport, SetupRun
from bot.ports import Over, Remote, Sandbox, SandboxProvider, Workspace
from bot.publish.mirror import Mirror
from bot.report.setup import setup_note, setup_section
from bot.sandboxes.bubblewrap import Bubblewrap
from bot.sandboxes.egress import WayOut
from bot.sandboxes.shelf import DAY_S, Shelf
from bot.setup.commands import Way, detected, manifests
from bot.setup.phase import OFFLINE
from bot.setup.plan import SetupPlan, SetupRules, SetupWish, files_named, setup_plan
from bot.setup.premises import MARK, Premises
from bot.stage import staged
from tests.fakes import Crash, MemoryJournal
from tests.publish.repositories import commit, repository
from tests.sandboxes.contract import SetupContract, sh
from tests.test_journey import asked

# ------------------------------------------------------------------ what is detected

PROJECT = b'[project]\nname = "x"\n[project.optional-dependencies]\ndocs = []\ntest = []\n'


@pytest.mark.parametrize(
    ("files", "commands"),
    [
        pytest.param({"README.md": b""}, [], id="nothing"),
        pytest.param({"pyproject.toml": b"[tool.ruff]\n"}, [], id="only-settings-of-tools"),
        pytest.param({"pyproject.toml": PROJECT}, [["python3 -m pip install -e '.[test]'"]], id="project"),
        pytest.param({"setup.py": b""}, [["python3 -m pip install -e ."]], id="setup.py"),
        pytest.param({"setup.cfg": b"[metadata]\n"}, [["python3 -m pip install -e ."]], id="setup.cfg"),
        pytest.param(
            {"requirements.txt": b"", "requirements-dev.txt": b"", "requirements$(id).txt": b""},
            [["python3 -m pip install -r requirements-dev.txt -r requirements.txt"]],
            id="requirements-and-a-name-that-is-no-word",
        ),
        pytest.param(
            {"uv.lock": b"", "pyproject.toml": PROJECT},
            [["uv sync --locked --all-extras", "python3 -m pip install -e '.[test]'"]],
            id="uv-else-pip",
        ),
        pytest.param({"pyproject.toml": b"[[["}, [], id="broken-toml"),
        pytest.param({"package.json": b"{}"}, [], id="package-without-dependencies"),
        pytest.param({"package.json": b"[1]"}, [], id="odd-package"),
        pytest.param({"package.json": b"{}", "package-lock.json": b""}, [["npm ci --no-audit --no-fund"]], id="npm"),
        pytest.param({"package.json": b"{}", "pnpm-lock.yaml": b""}, [["pnpm install --frozen-lockfile"]], id="pnpm"),
        pytest.param({"package.json": b"{}", "yarn.lock": b""}, [["yarn install --frozen-lockfile"]], id="yarn"),
        pytest.param(
            {"package.json": b"{}", "yarn.lock": b"", ".yarnrc.yml": b""}, [["yarn install --immutable"]], id="berry"
        ),
        pytest.param(
            {"package.json": b'{"devDependencies": {"a": "1"}}'},
            [["npm install --no-package-lock --no-audit --no-fund"]],
            id="npm-without-a-lock",
        ),
        pytest.param({"go.mod": b"", "Cargo.toml": b""}, [["go mod download"], ["cargo fetch"]], id="two-languages"),
        pytest.param(
            {
                "web/package-lock.json": b"",
                "web/package.json": b"{}",
                "api/pyproject.toml": PROJECT,
                "docs/x/go.mod": b"",
            },
            [["cd api && python3 -m pip install -e '.[test]'"], ["cd web && npm ci --no-audit --no-fund"]],
            id="one-folder-down",
        ),
        pytest.param({"a b/go.mod": b"", "$(id)/go.mod": b"", "-x/go.mod": b""}, [], id="odd-folders"),
        pytest.param(
            {"go.mod": b"", "web/package-lock.json": b"", "web/package.json": b"{}"},
            [["go mod download"]],
            id="below-another",
        ),
        pytest.param(
            {"pyproject.toml": b"[project]\nname='x'\n[dependency-groups]\ndev = ['pytest']\ndocs = []\n"},
            [
                [
                    "if python3 -m pip install --help | grep -q -e --group; "
                    "then python3 -m pip install -e . --group dev; else python3 -m pip install -e .; fi"
                ]
            ],
            id="groups",
        ),
        pytest.param(
            {"build.gradle": b"", "gradlew": b""},
            [["sh ./gradlew --quiet --console=plain dependencies"]],
            id="gradle-wrapper",
        ),
        pytest.param({"build.gradle.kts": b""}, [["gradle --quiet --console=plain dependencies"]], id="gradle"),
    ],
)
def test_what_installs_the_dependencies_is_seen(files: dict[str, bytes], commands: list[list[str]]) -> None:
    assert [[way.command for way in ways] for ways in detected(tuple(files), files)] == commands


def test_what_says_the_dependencies_is_found_at_any_depth() -> None:
    paths = ("a/b/package.json", "src/x.py", "uv.lock", "requirements/dev.txt", "docs/requirements.txt", "lib.gemspec")
    assert set(manifests(paths)) == set(paths) - {"src/x.py"}


def test_files_that_commands_name_count_too() -> None:
    steps = ((Way("", "./scripts/setup.sh && make deps; cat 'data/x.txt' nowhere"),),)
    paths = ("scripts/setup.sh", "Makefile", "data/x.txt", "other")
    assert files_named(steps, paths) == ("Makefile", "data/x.txt", "scripts/setup.sh")


# ------------------------------------------------------------------ the place

FILES = {
    "tool.py": b"print('one')\n",
    "run.sh": b"#!/bin/sh\n",
    ".gitignore": b"*.log\n",
    "requirements.txt": b"",
    "sub/kept.txt": b"kept\n",
}


@dataclass(frozen=True)
class Place:
    """A repository's base in a mirror, and bubblewrap with a shelf."""

    workspace: Workspace
    sandboxes: Bubblewrap
    root: Path

    async def premises(self, *commands: str, repo_id: int = 1, names: tuple[str, ...] = (), **more: object) -> Premises:
        wish = SetupWish(commands=commands, network=names, required=bool(more.get("required")))
        rules = SetupRules(network=bool(names), seconds=float(str(more.get("seconds", 60))))
        plan = await setup_plan(self.workspace, wish, rules, repo_id=repo_id, provider="bubblewrap")
        return Premises(self.sandboxes, self.workspace, plan)


def committed(root: Path, files: Mapping[str, bytes]) -> tuple[Path, str]:
    root.mkdir(exist_ok=True)
    source = repository(root / "source")
    return source, commit(source, dict(files))


async def pinned(root: Path, files: Mapping[str, bytes]) -> Workspace:
    source, sha = committed(root, files)
    return await Mirror(root / "mirror").pin(Remote(str(source), ""), repo_id=1, sha=sha)


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    workspace = await pinned(tmp_path, FILES)
    sandboxes = Bubblewrap(way_out=WayOut(), shelf=Shelf(tmp_path / "warm"))
    return Place(workspace, sandboxes, tmp_path)


async def report_of(premises: Premises, journal: MemoryJournal | None = None) -> SetupReport:
    async with premises.first("job", journal or MemoryJournal()) as (_, report):
        return report


async def changes(place: Place, sandbox: Sandbox) -> list[str]:
    return [change.path for change in (await place.workspace.take_patch(sandbox)).changes]


# ------------------------------------------------------------------ what a setup leaves


async def test_its_commands_run_before_the_agent_and_are_told(place: Place) -> None:
    journal = MemoryJournal()
    premises = await place.premises("echo made > made.log; echo said", "test -f made.log")
    async with premises.first("job", journal) as (sandbox, report):
        assert await sh(sandbox, "cat made.log") == "made\n"
    assert [(run.exit_code, run.tail) for run in report.ran] == [(0, "said"), (0, "")]
    assert [event.title for event in journal.of(ToolCalled)] == [
        "run echo made > made.log; echo said",
        "run test -f made.log",
    ]
    assert [event.ok for event in journal.of(ToolReturned)] == [True, True]
    assert journal.of(Noted) == []
    assert setup_section(report) == ""


async def test_what_it_does_to_the_repositorys_files_is_not_the_agents_change(place: Place) -> None:
    """Red when the tree is not put back: the first diff of the agent then holds all of it (seen)."""
    premises = await place.premises(
        "echo bad >> tool.py; chmod +x tool.py; rm -r sub; ln -s /etc/passwd link; echo x > new.txt; "
        "mkdir -p made/deep sub2 && touch made/deep/a made/b; rm run.sh && mkdir run.sh && touch run.sh/x; "
        "printf '!*.log\\n' > .gitignore; touch a.log"
    )
    async with premises.first("job", MemoryJournal()) as (sandbox, report):
        assert await changes(place, sandbox) == []
        assert await sh(sandbox, "cat tool.py; stat -c %a tool.py run.sh; cat sub/kept.txt; ls made/deep") == (
            "print('one')\n644\n644\nkept\na\n"
        )
        assert await sh(sandbox, "ls link new.txt 2>&1 | grep -c 'No such'") == "2\n"
        await sandbox.write_file("tool.py", b"mine\n")
        assert await changes(place, sandbox) == ["tool.py"]
    assert report.aside == ("made/",)
    assert set(report.put_back) >= {".gitignore", "tool.py", "sub/kept.txt", "link", "new.txt", "run.sh"}
    assert setup_section(report).startswith("### Setup\nFiles it changed are not part of this pull request: ")


async def test_thirty_thousand_new_files_do_not_end_the_job(place: Place) -> None:
    """`node_modules` in a repository that does not ignore it. Red when new folders are not set aside: seen."""
    many = "mkdir -p node_modules/p && cd node_modules/p && seq 30000 | xargs touch"
    premises = await place.premises(many)
    async with premises.first("job", MemoryJournal()) as (sandbox, report):
        assert await changes(place, sandbox) == []
        assert await sh(sandbox, "ls node_modules/p | wc -l") == "30000\n"
    assert (report.aside, report.problem) == (("node_modules/",), "")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("rm -rf .git", id="no-git"),
        pytest.param("rm sub/kept.txt && mkfifo sub/kept.txt", id="a-pipe-in-place-of-a-file"),
        pytest.param("touch sub/a && ln sub/a sub/b", id="hard-links"),
        pytest.param("mkdir $(seq -f 'sub/%g' 1100) && touch $(seq -f 'sub/%g/x' 1100)", id="too-many-folders"),
    ],
)
async def test_a_tree_that_cannot_be_put_right_is_thrown_away(place: Place, command: str) -> None:
    journal = MemoryJournal()
    premises = await place.premises(command)
    async with premises.first("job", journal) as (sandbox, report):
        assert await changes(place, sandbox) == []
        assert await sh(sandbox, "cat sub/kept.txt; ls sub; git status --short") == "kept\nkept.txt\n"
    assert report.problem.startswith("The setup was taken back: ")
    assert setup_section(report) == f"### Setup\n{report.problem.rstrip('.')}."


async def test_a_clone_stays_as_plain_files(place: Place) -> None:
    """Red when its `.git` stays: the agent's diff cannot be made."""
    clone = "git init -q {0} && touch {0}/x && git -C {0} add x"
    premises = await place.premises(clone.format("sub/other"), clone.format("deps"))
    async with premises.first("job", MemoryJournal()) as (sandbox, report):
        assert await changes(place, sandbox) == []
        assert await sh(sandbox, "ls deps sub/other; git status --short") == "deps:\nx\n\nsub/other:\nx\n"
    assert (report.aside, report.problem) == (("deps/", "sub/other/"), "")


async def test_a_hostile_git_configuration_of_the_setup_decides_nothing(place: Place) -> None:
    """It hides its new file from the look at the tree inside; the look from outside still takes it away."""
    hide = "echo evil.py >> .git/info/exclude; echo x > evil.py; git config core.fsmonitor 'touch /tmp/ran; false'"
    premises = await place.premises(f"{hide}; git update-index --assume-unchanged tool.py; echo bad > tool.py")
    async with premises.first("job", MemoryJournal()) as (sandbox, report):
        assert await changes(place, sandbox) == []
        assert (await sandbox.exec(["ls", "evil.py"], timeout_s=20)).exit_code != 0
    assert report.put_back == ("evil.py", "tool.py")


# ------------------------------------------------------------------ when it fails


async def test_a_failing_command_ends_the_setup_and_not_the_job(place: Place) -> None:
    journal = MemoryJournal()
    report = await report_of(await place.premises("echo why; exit 3", "touch never.log"), journal)
    (run,) = report.ran
    assert (run.exit_code, run.tail, report.failed) == (3, "why", run)
    assert [event.text for event in journal.of(Noted)] == [setup_note(report)]
    assert setup_note(report).startswith(f"{OFFLINE} Setup: echo why; exit 3 failed (exit 3, ")
    assert "the agent worked without.\n\n<details><summary>Its last lines</summary>" in setup_section(report)


async def test_a_required_setup_that_fails_ends_the_job_with_one_sentence(place: Place) -> None:
    with pytest.raises(UserError, match=r"`false` of `setup` in `.github/backspace.yml` failed \(exit 1, ") as error:
        await report_of(await place.premises("false", required=True))
    assert str(error.value).endswith("Mend it, or remove `setup_required`.")


async def test_it_has_a_time_and_what_it_prints_a_size(place: Place) -> None:
    report = await report_of(await place.premises("seq 100000; sleep 600", seconds=1))
    (run,) = report.ran
    assert (run.exit_code, run.timed_out) == (None, True)
    assert len(run.tail) < 10_000
    assert run.seconds < 60
    assert " was stopped after " in setup_note(report)


async def test_a_program_that_is_not_there_is_named_and_nothing_runs(place: Place) -> None:
    plan = SetupPlan(steps=((Way("no-such-program", "no-such-program install"),),), key="k")
    report = await report_of(Premises(place.sandboxes, place.workspace, plan))
    assert report == SetupReport(skipped=("no-such-program install",))
    assert setup_note(report) == "Setup was skipped, its programs are not there: no-such-program install."


async def test_without_network_the_commands_still_run_and_it_is_said(place: Place) -> None:
    plan = SetupPlan(steps=((Way("", "true"),),), names=("index.example",), key="k")
    report = await report_of(Premises(Bubblewrap(), place.workspace, plan))
    assert report.problem.startswith("There was no network: ")
    assert report.ran[0].ok


# ------------------------------------------------------------------ resume


async def test_a_setup_that_is_recorded_done_in_the_same_sandbox_does_not_run_again(place: Place) -> None:
    """Red when the mark in the sandbox is not asked: the second run writes another line (seen)."""
    journal = MemoryJournal()
    premises = await place.premises("echo once >> ran.log")
    lasting = Lasting(place.sandboxes)
    async with replace(premises, sandboxes=lasting).first("job", journal) as (sandbox, first):
        await sandbox.write_file("tool.py", b"the agent's\n")
        lasting.killed = True
    async with replace(premises, sandboxes=lasting).first("job", journal) as (sandbox, second):
        assert await sh(sandbox, "cat ran.log tool.py") == "once\nthe agent's\n"
    assert first == second
    assert [entry.key for entry in journal.entries()] == ["setup 1"]
    await lasting.end()


async def test_a_mark_that_the_journal_does_not_know_counts_for_nothing(place: Place) -> None:
    """The process died between mark and journal: the setup runs again, over the base."""
    journal = MemoryJournal()
    premises = await place.premises("echo once >> ran.log")
    lasting = Lasting(place.sandboxes)
    sandbox = await lasting.open("job")
    await sandbox.write_file(MARK, b"forged")
    async with replace(premises, sandboxes=lasting).first("job", journal) as (sandbox, report):
        assert await sh(sandbox, "cat ran.log") == "once\n"
    assert len(report.ran) == 1
    assert [entry.key for entry in journal.entries()] == ["setup 1"]
    await lasting.end()


async def test_no_setup_gives_network_to_a_sandbox_in_which_an_agent_may_have_worked(place: Place) -> None:
    """It removed the mark, left a program where the setup looks for its own, and then the bot was killed.

    Red when the sandbox that is found is set up as it is: seen.
    """
    journal, premises = MemoryJournal(), await place.premises("tool", names=("index.example",))
    lasting = Lasting(place.sandboxes)
    program = (
        "mkdir -p ~/.local/bin && printf '#!/bin/sh\necho leaving' > ~/.local/bin/tool && chmod +x ~/.local/bin/tool"
    )
    hostile = replace(premises, sandboxes=lasting)
    async with hostile.first("job", journal) as (sandbox, first):
        await sh(sandbox, f"{program}; rm .git/backspace/ready")
        lasting.killed = True
    async with hostile.first("job", journal) as (again, second):
        assert again is not sandbox
    assert [run.exit_code for report in (first, second) for run in report.ran] == [127, 127]
    await lasting.end()


async def test_a_base_sandbox_is_none_that_an_earlier_attempt_left(place: Place) -> None:
    """The tests of the change ran there. Red when its name is the same each time: seen."""
    premises, lasting = await place.premises("true"), Lasting(place.sandboxes)
    async with replace(premises, sandboxes=lasting).another("job-base") as left:
        lasting.killed = True
    async with replace(premises, sandboxes=lasting).another("job-base") as fresh:
        assert fresh is not left
    assert [name[:9] for name in lasting.left] == ["job-base-"], "it ends with the job's"
    await lasting.end()


async def test_two_sandboxes_that_are_open_at_once_are_two_also_where_a_setup_was_taken_back(place: Place) -> None:
    """Base and head are checked side by side. Red when the fresh one is opened under a name they share: seen."""
    premises, lasting = await place.premises("rm -rf .git"), Lasting(place.sandboxes)
    beside = replace(premises, sandboxes=lasting)
    async with beside.another("job-base") as base, beside.another("job-base") as head:
        assert base is not head
        assert len(lasting.left) == 2
    await lasting.end()


@pytest.mark.parametrize("records", range(1, 6))
async def test_wherever_the_process_dies_the_next_attempt_has_a_whole_setup(place: Place, records: int) -> None:
    """Two commands make five records: two of each command, one of the result."""
    premises = replace(await place.premises("echo a >> ran.log", "echo b >> ran.log"), sandboxes=Bubblewrap())
    journal = MemoryJournal(crash_after=records)
    with pytest.raises(Crash):
        async with premises.first("job", journal):
            pass
    later = MemoryJournal(journal.entries())
    async with premises.first("job", later) as (sandbox, report):
        assert await sh(sandbox, "cat ran.log") == "a\nb\n"
    assert [run.ok for run in report.ran] == [True, True]
    assert [entry.key for entry in later.entries()] == ["setup 1", "setup 2"][: 1 + (records == 5)]


def test_a_host_on_the_list_that_leads_nowhere_public_is_the_operators_to_name() -> None:
    told = setup_section(SetupReport(blocked=("a.example", "index.example at no public address")))
    assert told == (
        "### Setup\nIts network, which is for the hosts on a list, refused: `a.example`. "
        "`network` in `.github/backspace.yml` can name more hosts. "
        "Of the hosts on its list these lead to no public address: `index.example`. "
        "Who runs the bot can name them, with their ports, in `SETUP_HOSTS`."
    )


def test_the_report_survives_the_journal() -> None:
    report = SetupReport(
        ran=(SetupRun(command="a", exit_code=None, seconds=1.5, tail="x", timed_out=True),),
        warm=True, skipped=("b",), blocked=("c",), put_back=("d",), aside=("e/",), problem="f",
    )  # fmt: skip
    assert SetupReport.of_data(json.loads(json.dumps(report.as_data()))) == report


class Lasting:
    """A provider whose sandboxes stay when the process that opened them is gone: the same one for the same job.

    `killed`: set by a test, and until the next `open` the process closes nothing any more.
    """

    def __init__(self, inner: Bubblewrap) -> None:
        self._inner, self._opened = inner, dict[str, Sandbox]()
        self._closes: list[Callable[[], Awaitable[None]]] = []
        self.killed = False

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def left(self) -> list[str]:
        return list(self._opened)

    def problem(self) -> str | None:
        return None

    async def reap(self, over: Over) -> int:
        return 0

    async def open(self, job_id: str, *, image: str = "", warm: str = "") -> Sandbox:
        self.killed = False
        if job_id not in self._opened:
            sandbox = await self._inner.open(job_id, image=image, warm=warm)
            really = sandbox.close

            async def close() -> None:
                if not self.killed:
                    self._opened.pop(job_id, None)
                    await really()

            self._closes.append(really)
            sandbox.close = close  # type: ignore[method-assign]  # its bot is dead
            self._opened[job_id] = sandbox
        return self._opened[job_id]

    async def end(self) -> None:
        for close in self._closes:
            await close()


# ------------------------------------------------------------------ kept for the next job


async def test_the_next_job_and_the_base_sandbox_begin_with_what_was_made(place: Place) -> None:
    premises = await place.premises(
        "echo made > made.log; mkdir -p deps ~/.local/bin; echo a > deps/a; echo b > ~/.local/bin/b"
    )
    first = await report_of(premises)
    async with premises.first("next", MemoryJournal()) as (sandbox, second), premises.another("base") as base:
        for one in (sandbox, base):
            assert await sh(one, "cat made.log deps/a ~/.local/bin/b; git status --short") == "made\na\nb\n"
            assert await changes(place, one) == []
    assert (first.warm, len(first.ran)) == (False, 1)
    assert second == SetupReport(warm=True)


async def test_what_the_agent_does_is_not_in_what_is_kept(place: Place) -> None:
    """Red when it is kept after the work instead of before: tried by hand."""
    premises = await place.premises("echo made > made.log")
    async with premises.first("job", MemoryJournal()) as (sandbox, _):
        await sh(sandbox, "echo poison > made.log; echo poison > ~/poison; mkdir -p evil; echo '*' > evil/.gitignore")
    async with premises.first("next", MemoryJournal()) as (sandbox, report):
        assert report.warm
        assert await sh(sandbox, "cat made.log; ls ~ evil 2>/dev/null || true") == "made\n/home/sandbox:\n"


async def test_it_is_kept_for_one_repository_one_list_and_one_state_of_its_manifests(place: Place) -> None:
    """Red when the repository is left out of the key: the second premises are warm (seen)."""
    keys = {
        "same": (await place.premises("make deps")).plan.key,
        "again": (await place.premises("make deps")).plan.key,
        "another repository": (await place.premises("make deps", repo_id=2)).plan.key,
        "another command": (await place.premises("make all")).plan.key,
        "a host more": (await place.premises("make deps", names=("index.example",))).plan.key,
    }
    other = replace(place, workspace=await pinned(place.root / "other", FILES | {"requirements.txt": b"more\n"}))
    keys["other requirements"] = (await other.premises("make deps")).plan.key
    beside = replace(place, workspace=await pinned(place.root / "beside", FILES | {"tool.py": b"other\n"}))
    keys["other code"] = (await beside.premises("make deps")).plan.key
    assert keys["same"] == keys["again"]
    assert len(set(keys.values())) == 6
    await report_of(await place.premises("true"))
    assert (await report_of(await place.premises("true"))).warm
    assert not (await report_of(await place.premises("true", repo_id=2))).warm


ONLY_LOCKED = {"package.json": b'{"scripts": {"test": "x", "prepare": "husky"}}', "package-lock.json": b"{}"}


@pytest.mark.parametrize(
    ("files", "is_for_one_commit"),
    [
        pytest.param(ONLY_LOCKED, False, id="packages-alone"),
        pytest.param(
            ONLY_LOCKED | {"web/package.json": b'{"scripts": {"postinstall": "prisma generate"}}'}, True, id="hook"
        ),
        pytest.param(
            {"composer.lock": b"", "composer.json": b'{"autoload": {"classmap": ["src"]}}'}, True, id="classmap"
        ),
        pytest.param({"requirements.txt": b"-e .\nx==1 # .\n"}, False, id="editable"),
        pytest.param({"requirements.txt": b"./lib\n"}, True, id="a-copy-of-the-sources"),
        pytest.param({"requirements.txt": b"lib @ file:lib\n"}, True, id="a-copy-by-its-address"),
        pytest.param({"requirements.txt": b"x\nlibs/lib[all]\n"}, True, id="a-copy-by-its-path"),
        pytest.param(
            {"requirements.txt": b"# a/b\n-r more/x.txt\nx @ https://a.test/x\ngit+https://a.test/y\nz # a/b\n"},
            False,
            id="addresses-elsewhere",
        ),
        pytest.param(
            {"uv.lock": b"", "pyproject.toml": b'[tool.uv.sources]\nlib = { path = "libs/lib" }\n'}, True, id="uv-path"
        ),
        pytest.param(
            {"pyproject.toml": b'[project]\nname = "x"\ndependencies = ["lib @ file:./libs/lib"]\n'}, True, id="file"
        ),
        pytest.param(
            {"uv.lock": b"", "pyproject.toml": b'[tool.pytest]\ntestpaths = ["a"]\n[x]\nfile = "a"\n'},
            False,
            id="other-paths",
        ),
        pytest.param({"Pipfile.lock": b"", "Pipfile": b'[packages]\nlib = {path="./lib"}\n'}, True, id="pipenv-path"),
        pytest.param(
            {"yarn.lock": b"", "package.json": b'{"dependencies": {"lib": "file:./libs/lib"}}'}, True, id="yarn-file"
        ),
        pytest.param(
            {"package-lock.json": b"", "package.json": b'{"devDependencies": {"a": "1", "lib": "../lib"}}'},
            True,
            id="npm-folder",
        ),
        pytest.param(
            {"package-lock.json": b"", "package.json": b'{"main": "./a", "scripts": {"profile:x": "a/b"}}'},
            False,
            id="npm-other-paths",
        ),
    ],
)
async def test_what_a_setup_makes_of_the_sources_is_kept_for_one_commit(
    tmp_path: Path, files: dict[str, bytes], is_for_one_commit: bool
) -> None:
    """Wherever it puts it: in `node_modules` or `$HOME` none can tell later. Red when the tree alone is asked: seen."""
    keys = [(await detected_in(tmp_path / code, files | {"code": code.encode()})).key for code in ("one", "two")]
    assert (keys[0] != keys[1]) == is_for_one_commit


async def test_requirements_that_others_take_in_count_too(tmp_path: Path) -> None:
    """Also one that names itself, and one outside. Red when lines with -r and -c are not followed: seen."""
    files = {
        "requirements.txt": b"-r deps/common.txt\n-r ../../etc/passwd\n-c https://example.org/c.txt\n",
        "deps/common.txt": b"--constraint=pins.txt\n-r ../requirements.txt\n",
        "deps/pins.txt": b"x==1\n",
    }
    first = await detected_in(tmp_path / "one", files)
    assert first.reads([*files, "other.txt"]) == tuple(sorted(files))
    assert first.key != (await detected_in(tmp_path / "two", files | {"deps/pins.txt": b"x==2\n"})).key


async def detected_in(root: Path, files: Mapping[str, bytes]) -> SetupPlan:
    return await setup_plan(await pinned(root, files), SetupWish(), SetupRules(), repo_id=1, provider="bubblewrap")


async def test_an_older_state_of_the_tree_does_not_come_back_with_it(place: Place) -> None:
    """The warm start of a commit in which a file is gone, another is a folder, and one has changed."""
    premises = await place.premises("mkdir -p deps sub/venv; touch deps/a; echo x > sub/venv/junk.log")
    await report_of(premises)
    files = {path: content for path, content in FILES.items() if path not in ("sub/kept.txt", "run.sh")}
    later = await pinned(place.root / "later", files | {"tool.py": b"two\n", "run.sh/inside": b"now a folder\n"})
    moved = replace(place, workspace=later)
    async with replace(premises, workspace=later).first("next", MemoryJournal()) as (sandbox, report):
        assert report.warm
        assert await changes(moved, sandbox) == []
        assert (
            await sh(sandbox, "cat tool.py run.sh/inside; ls deps; ls sub/venv") == "two\nnow a folder\na\njunk.log\n"
        )


async def test_what_was_built_of_older_sources_does_not_come_back_with_it(place: Place) -> None:
    """Red when what is kept is taken whatever the base: `one` is there (seen)."""
    premises = await place.premises("cp tool.py built.log; mkdir .venv")
    await report_of(premises)
    assert (await report_of(premises)).warm
    other = replace(premises, workspace=await pinned(place.root / "later", FILES | {"tool.py": b"two\n"}))
    for warm in (False, True):
        async with other.first("next", MemoryJournal()) as (sandbox, report):
            assert (report.warm, await sh(sandbox, "cat built.log")) == (warm, "two\n")


async def test_what_is_broken_on_the_shelf_means_a_cold_start(place: Place) -> None:
    premises = await place.premises("echo made > made.log")
    await report_of(premises)
    (kept,) = (place.root / "warm").iterdir()
    (kept / "tree").write_bytes(b"no archive")
    assert not (await report_of(premises)).warm
    assert (await report_of(premises)).warm


async def test_a_failed_setup_is_not_kept(place: Place) -> None:
    premises = await place.premises("echo half > made.log; false")
    await report_of(premises)
    assert not (await report_of(premises)).warm


def entry(shelf: Shelf, key: str, size: int) -> None:
    made = shelf.begin(key)
    made.count(size)
    with made.open("tree") as file:
        file.write(b"x" * size)
    made.squeezed["tree"] = ""
    shelf.put(made)


def test_each_image_has_its_own_on_the_shelf(tmp_path: Path) -> None:
    """A new image must not be shadowed by what an older one's setup made. Red when the shelf has no images: seen."""
    shelf = Shelf(tmp_path)
    entry(shelf.of("sha256:old"), "a", 10)
    entry(shelf, "b", 10)
    assert shelf.of("sha256:old").find("a")
    assert shelf.find("b")
    assert [shelf.of("sha256:new").find("a"), shelf.find("a"), shelf.of("sha256:old").find("b")] == [None] * 3
    shelf.of("sha256:new").forget("a")
    assert shelf.of("sha256:old").find("a")


def test_the_shelf_forgets_the_old_and_makes_room_by_use(tmp_path: Path) -> None:
    now = [1_000_000.0]
    shelf = Shelf(tmp_path, max_bytes=2_500, lifetime_s=100, clock=lambda: now[0])

    def there() -> str:
        return "".join(key for key in "abc" if (tmp_path / hashlib.sha256(key.encode()).hexdigest()).exists())

    for key in "ab":
        entry(shelf, key, 1_000)
        now[0] += 1
    assert shelf.find("a")
    now[0] += 1
    entry(shelf, "c", 1_000)
    assert there() == "ac"
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
    left = tmp_path / "unfinished-by-a-bot-that-was-killed"
    left.mkdir()
    os.utime(left, (now[0] - 2 * DAY_S,) * 2)
    now[0] += 98
    assert (shelf.find("a"), shelf.find("b")) == (None, None)
    assert shelf.find("c")
    now[0] += 3
    entry(shelf, "b", 10)
    assert there() == "bc"
    assert not left.exists()


def test_the_shelf_leaves_its_disk_a_reserve(tmp_path: Path) -> None:
    """A full disk takes the database's last bytes. Red when the shelf asks only how large it is itself: seen.

    What is kept goes only where that helps: red where it goes for others too, seen.
    """
    disk = [4_000]

    def free(folder: Path) -> int:
        return disk[0] - sum(file.stat().st_size for file in folder.glob("*/*"))

    shelf = Shelf(tmp_path, reserve_bytes=1_000, free=free, clock=itertools.count(1_000_000.0).__next__)
    for key in "abc":
        entry(shelf, key, 1_000)
    assert [bool(shelf.find(key)) for key in "abc"] == [False, True, True]
    disk[0] = 1_500  # others have taken the rest
    unkept = shelf.begin("d")
    with pytest.raises(LimitReached, match="no room to keep"):
        unkept.count(1_000)
    unkept.drop()
    assert [bool(shelf.find(key)) for key in "bc"] == [True, True]
    disk[0] = 3_300
    entry(shelf, "d", 1_000)
    assert [bool(shelf.find(key)) for key in "bcd"] == [False, True, True]


class TestBubblewrapSetup(SetupContract):
    @pytest.fixture
    def provider(self, tmp_path: Path) -> SandboxProvider:
        return Bubblewrap(way_out=WayOut(), shelf=Shelf(tmp_path / "warm"))


async def test_what_finds_no_room_on_the_shelfs_disk_is_refused_once(place: Place) -> None:
    """The disk is asked no more after the refusal. Red when each piece of the rest is counted too: seen."""
    asked: list[Path] = []

    def free(folder: Path) -> int:
        asked.append(folder)
        return 0

    provider = Bubblewrap(shelf=Shelf(place.root / "small", free=free))
    sandbox = await provider.open("job")
    await place.workspace.fill(sandbox)
    await sh(sandbox, "head -c 9000000 /dev/urandom > big.log")
    with pytest.raises(ProviderError, match="no room to keep"):
        await sandbox.keep("key")
    await sandbox.close()
    assert len(asked) == 3, "before, for the entry that was begun, and after"


async def test_more_than_an_entry_may_have_is_not_kept_and_the_sandbox_goes_on(place: Place) -> None:
    provider = Bubblewrap(shelf=Shelf(place.root / "small", max_entry_bytes=100_000))
    sandbox = await provider.open("job")
    await place.workspace.fill(sandbox)
    await sh(sandbox, "head -c 1000000 /dev/urandom > big.log")
    with pytest.raises(ProviderError, match="too large"):
        await sandbox.keep("key")
    assert await sh(sandbox, "echo still here") == "still here\n"
    await sandbox.close()
    assert list((place.root / "small").iterdir()) == []


# ------------------------------------------------------------------ a real package manager and an index on loopback


def wheel(name: str) -> bytes:
    """The smallest wheel pip installs: one module that says its name."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(f"{name}.py", f"def hello():\n    return 'hello from {name}'\n")
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return content.getvalue()


def tarball(name: str) -> bytes:
    """The smallest npm package: one module that says its name."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for path, text in (
            ("package/package.json", f'{{"name": "{name}", "version": "1.0.0", "main": "index.js"}}'),
            ("package/index.js", f"module.exports = () => 'hello from {name}';\n"),
        ):
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return content.getvalue()


@asynccontextmanager
async def index(asked: list[str], files: Mapping[str, bytes]) -> AsyncIterator[int]:
    """The operator's proxy and the index behind it in one: answers `GET http://index.example/...`. Its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode()
        asked.append(line)
        path = line.split(" ")[1].removeprefix("http://index.example")
        body = files.get(path, b"")
        kind = b"text/html" if path.endswith("/") else b"application/octet-stream"
        status = b"200 OK" if body else b"404 Not Found"
        head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(body))
        writer.write(head + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


INDEX = {"PIP_INDEX_URL": "http://index.example/simple", "PIP_TRUSTED_HOST": "index.example"}


async def test_a_real_pip_installs_from_the_list_and_what_is_not_on_it_is_named(tmp_path: Path) -> None:
    """Out of a real sandbox through the proxy; the agent's phase has the package and no network."""
    asked: list[str] = []
    workspace = await pinned(tmp_path, {"requirements.txt": b"greeting==1.0\n"})
    name = "greeting-1.0-py3-none-any.whl"
    files = {"/simple/greeting/": f'<a href="/files/{name}">{name}</a>'.encode(), f"/files/{name}": wheel("greeting")}
    async with index(asked, files) as port:
        sandboxes = Bubblewrap(way_out=WayOut(proxy=f"http://127.0.0.1:{port}"), shelf=Shelf(tmp_path / "warm"))
        rules = SetupRules(hosts=("index.example",), environment=INDEX)
        plan = await setup_plan(workspace, SetupWish(), rules, repo_id=1, provider="bubblewrap")
        tracker = (Way("", "curl -s https://tracker.example/ || python3 -c \"import urllib.request as r; "
                   "r.urlopen('https://tracker.example/')\" 2>/dev/null || true"),)  # fmt: skip
        premises = Premises(sandboxes, workspace, replace(plan, steps=(*plan.steps, tracker)))
        async with premises.first("job", MemoryJournal()) as (sandbox, report):
            assert [run.exit_code for run in report.ran] == [0, 0], report.ran[0].tail
            assert await sh(sandbox, "python3 -c 'import greeting; print(greeting.hello())'") == "hello from greeting\n"
            assert (
                await sandbox.exec(
                    ["python3", "-m", "pip", "download", "greeting"], env=INDEX | {"PIP_RETRIES": "0"}, timeout_s=90
                )
            ).exit_code != 0
        before = len(asked)
        async with premises.another("base") as base:
            assert await sh(base, "python3 -c 'import greeting; print(greeting.hello())'") == "hello from greeting\n"
    assert report.ran[0].command == "python3 -m pip install -r requirements.txt"
    assert report.blocked == ("tracker.example",)
    assert "Its network, which is for the hosts on a list, refused: `tracker.example`." in setup_section(report)
    assert len(asked) == before == 2


@pytest.mark.skipif(shutil.which("npm", path="/usr/bin") is None, reason="there is no npm for the sandbox")
async def test_a_real_npm_installs_what_the_lock_file_says(tmp_path: Path) -> None:
    content = tarball("greet")
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    package = {"name": "app", "version": "1.0.0", "dependencies": {"greet": "1.0.0"}}
    greet = {"version": "1.0.0", "resolved": "http://index.example/greet/-/greet-1.0.0.tgz", "integrity": integrity}
    lock = {**package, "lockfileVersion": 3, "packages": {"": package, "node_modules/greet": greet}}
    files = {"package.json": json.dumps(package).encode(), "package-lock.json": json.dumps(lock).encode()}
    workspace = await pinned(tmp_path, files)
    asked: list[str] = []
    async with index(asked, {"/greet/-/greet-1.0.0.tgz": content}) as port:
        sandboxes = Bubblewrap(way_out=WayOut(proxy=f"http://127.0.0.1:{port}"))
        rules = SetupRules(hosts=("index.example",))
        plan = await setup_plan(workspace, SetupWish(), rules, repo_id=1, provider="bubblewrap")
        async with Premises(sandboxes, workspace, plan).first("job", MemoryJournal()) as (sandbox, report):
            assert report.ran[0].ok, report.ran[0].tail
            assert await sh(sandbox, "node -e \"console.log(require('greet')())\"") == "hello from greet\n"
            assert (await workspace.take_patch(sandbox)).changes == ()
    assert (report.aside, len(asked)) == (("node_modules/",), 1)


# ------------------------------------------------------------------ seen from the thread

WISHES = b"""model: rules
setup: [echo bad >> hello.txt; touch ok.log, "echo see here; exit 3"]
test: test -f ok.log
"""


async def test_a_reviewer_reads_what_went_wrong_and_gets_the_agents_change_only(tmp_path: Path) -> None:
    files = {".github/backspace.yml": WISHES, "hello.txt": b"hullo\n", ".gitignore": b"*.log\n"}
    source, _ = committed(tmp_path / "work", files)
    async with staged(tmp_path / "stage", source=source, settings={"BACKSPACE_MODEL": "rules"}) as stage:
        issue = await asked(stage, "/backspace replace `hullo` with `hello` in `hello.txt`")
        (opened,) = stage.github.pull_requests(stage.repository)
        (row,) = await stage.jobs(issue)
        events = [recorded.event for recorded in await stage.store.events(row.job.id)]
    assert opened.body is not None
    section = opened.body.split("### Setup\n")[1].split("\n\n")[0]
    assert section.startswith(f"{OFFLINE} `echo see here; exit 3` failed (exit 3, ")
    assert section.endswith(
        "the agent worked without. Files it changed are not part of this pull request: `hello.txt`."
    )
    assert "see here" in opened.body
    assert "| `test -f ok.log` | result | exit code | time |" in opened.body
    assert opened.body.count("| passed | 0 |") == 2  # on base and head: both sandboxes were set up
    titles = [event.title for event in events if isinstance(event, ToolCalled) and event.tool == "setup"]
    assert titles == ["run echo bad >> hello.txt; touch ok.log", "run echo see here; exit 3"]
