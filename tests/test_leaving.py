"""What becomes of a job's sandbox when the work in it is broken off: left for whoever goes on, or closed."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.domain.errors import LeaseLost, ProviderError
from bot.setup.plan import SetupPlan
from bot.setup.premises import Premises
from tests.fakes import DirectorySandbox, GitWorkspace, MemoryJournal

pytestmark = pytest.mark.anyio


class Told(DirectorySandbox):
    """Notes how it was parted with."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.parting = list[str]()

    async def close(self) -> None:
        self.parting.append("closed")

    async def leave(self) -> None:
        self.parting.append("left")


class One:
    """A provider of one sandbox."""

    name = "one"

    def __init__(self, sandbox: Told) -> None:
        self._sandbox = sandbox

    def problem(self) -> str | None:
        return None

    async def open(self, job_id: str, *, image: str = "", warm: str = "") -> Told:
        return self._sandbox


@pytest.mark.parametrize(
    ("end", "goes_on", "parting"),
    [
        pytest.param(asyncio.CancelledError, lambda: True, "left", id="the-process-goes-down"),
        pytest.param(asyncio.CancelledError, lambda: False, "closed", id="somebody-cancelled-the-job"),
        pytest.param(lambda: LeaseLost("another has it"), lambda: True, "left", id="another-worker-has-it"),
        pytest.param(
            lambda: ProviderError("one", "it is odd"), lambda: True, "closed", id="the-next-wants-a-fresh-one"
        ),
    ],
)
async def test_only_work_that_another_goes_on_with_leaves_its_sandbox(
    tmp_path: Path, end: Callable[[], BaseException], goes_on: Callable[[], bool], parting: str
) -> None:
    """Red when it is always closed, and when it is always left: seen."""
    sandbox, workspace = Told(tmp_path / "tree"), GitWorkspace(tmp_path / "store.git", {"a.txt": b"a"})
    premises = Premises(One(sandbox), workspace, SetupPlan())
    stopped = end()
    with pytest.raises(type(stopped)):
        async with premises.first("job", MemoryJournal(), goes_on=goes_on):
            raise stopped
    assert sandbox.parting == [parting]


async def test_a_sandbox_that_is_not_ready_is_closed(tmp_path: Path) -> None:
    """Its setup phase may have network, and whoever comes next sets up again. Red when it is left too: seen."""
    sandbox = Told(tmp_path / "tree")

    class Interrupted(GitWorkspace):
        async def fill(self, sandbox: object) -> None:
            raise asyncio.CancelledError

    premises = Premises(One(sandbox), Interrupted(tmp_path / "store.git", {"a.txt": b"a"}), SetupPlan())
    with pytest.raises(asyncio.CancelledError):
        async with premises.first("job", MemoryJournal(), goes_on=lambda: True):
            pass
    assert sandbox.parting == ["closed"]
