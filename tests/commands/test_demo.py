"""`backspace demo` is ended from outside while its job runs."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.repositories import python_bug

ROOT = Path(__file__).parent.parent.parent
PAGE = "Live page: "


@pytest.mark.slow
@pytest.mark.usefixtures("hangs_up")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_the_demo_ends_it_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    """Red with SIGTERM and SIGHUP when nobody listens to them: seen, the folder with the loopback GitHub stays."""
    (tmp_path / "source").mkdir()
    (tmp_path / "tmp").mkdir()
    source = python_bug(tmp_path / "source")
    with tempfile.TemporaryDirectory() as marked:  # seen on the command line of its sandboxes
        Path(marked).chmod(0o755)
        set_ = {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp"), "SANDBOX_READONLY_PATHS": marked}
        with subprocess.Popen(
            [sys.executable, "-m", "bot", "demo", "--repo", str(source)],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SANDBOX": "bubblewrap", **set_},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as demo:
            assert demo.stdout
            while PAGE not in (line := demo.stdout.readline()):
                assert line
            demo.send_signal(number)
            _, err = demo.communicate(timeout=60)
        assert (demo.returncode, err) == (130, "")
        assert list((tmp_path / "tmp").iterdir()) == []
        assert not [it for it in Path("/proc").glob("[0-9]*/environ") if str(tmp_path).encode() in _content(it)]
        assert not [it for it in Path("/proc").glob("[0-9]*/cmdline") if marked.encode() in _content(it)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
