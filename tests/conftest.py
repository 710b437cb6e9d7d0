"""Fixtures every test may use."""

import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import structlog

from tests.sandboxes import tables

if TYPE_CHECKING:
    from tests.standins.modal.server import ModalStandIn
    from tests.stores.postgres import Postgres

os.environ["MODAL_CONFIG_PATH"] = os.devnull  # modal reads it when it is imported: nobody's account is used by a test

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as a script's `make test &` has it: nothing started here heard it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tables.marked(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    finished = terminalreporter.stats
    reports = [report for outcome in ("passed", "failed", "error") for report in finished.get(outcome, ())]
    reports = [report for report in reports if isinstance(report, pytest.TestReport)]
    for line in tables.written(reports):
        terminalreporter.write_line(line)
    for text in sorted(str(value) for report in reports for name, value in report.user_properties if name == "table"):
        terminalreporter.write_line(text)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _its_own_log() -> Iterator[None]:
    """What a test says of the log, such as that only what is critical is written, holds for no other."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def hangs_up() -> Iterator[None]:
    """As from a terminal: under nohup nothing that the tests start hears SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[str]:
    """The address of one that runs here, or of our own."""
    from tests.sandboxes.engine import running_engine

    with running_engine() as address:
        yield address


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Postgres]":
    """One server for all tests of a process."""
    from tests.stores.postgres import running_postgres

    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def _modal_session(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[ModalStandIn]":
    """One for all tests, since the SDK keeps one client a process."""
    from tests.standins.modal.server import modal_standin

    with modal_standin(tmp_path_factory.mktemp("modal")) as standin:
        yield standin


@pytest.fixture
def modal_server(_modal_session: "ModalStandIn", monkeypatch: pytest.MonkeyPatch) -> "Iterator[ModalStandIn]":
    """The loopback Modal, its address in the environment; a call it does not know fails the test."""
    monkeypatch.setenv("MODAL_SERVER_URL", _modal_session.url)
    yield _modal_session
    unanswered, faults = [*_modal_session.unanswered], [*_modal_session.faults]
    _modal_session.unanswered.clear()
    _modal_session.faults.clear()
    assert not unanswered, f"the stand-in does not know {unanswered}"
    assert not faults, "\n".join(faults)
