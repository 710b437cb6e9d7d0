"""The journal of a run at the terminal: it tells each step as it happens, and a file keeps it to be played back."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from bot.domain.errors import UserError
from bot.domain.events import JobEvent, Recorded
from bot.ports import Entry
from bot.recordings.run import Heading, event_line, heading_line
from bot.report.amounts import cost, counted, duration
from bot.report.leaks import Leaks
from bot.report.progress import Progress, after
from bot.report.steps import current_step
from bot.watch import lines

KEPT = 100  # records of runs; older ones go when a new one begins
LOOKS_A_SECOND = 4


class View:
    """Each event as `backspace watch` shows it; on a terminal, below them, what is being done and what it has cost."""

    def __init__(self, console: Console, *, now: Callable[[], float] = time.time) -> None:
        self.so_far = Progress()
        self._console, self._now = console, now
        self._live = Live(
            console=console, get_renderable=self._status, refresh_per_second=LOOKS_A_SECOND, transient=True
        )

    def tell(self, recorded: Recorded) -> None:
        self.so_far = after(self.so_far, recorded)
        for line in lines(recorded, self.so_far):
            self._console.print(line, highlight=False, soft_wrap=True)

    def _status(self) -> RenderableType:
        so_far = self.so_far
        spent = (
            cost(so_far.usd, so_far.budget_usd),
            counted(so_far.turns, "turn"),
            duration(so_far.seconds(self._now())),
        )
        words = Text(f"{current_step(so_far).plain} ", style="bold", no_wrap=True, overflow="ellipsis")
        return Spinner("dots", words.append(" · ".join(("", *spent)).strip(), style="dim"))

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()


class LocalRecord:
    """`ports.Journal` that lives as long as the command. Each event is in the file before it is told."""

    def __init__(
        self,
        file: Path,
        heading: Heading,
        *,
        leaks: Leaks,
        tell: Callable[[Recorded], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """Raises UserError when the file cannot be made."""
        self.file = file
        self._leaks, self._tell, self._now = leaks, tell, now
        self._entries: list[Entry] = []
        self._contents: dict[str, bytes] = {}
        self._events = 0
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            forget_old(file.parent)
            file.touch(mode=0o600)
        except OSError as error:
            raise UserError(f"{file} cannot be written: {error.strerror}.") from None
        self._write(heading_line(heading, leaks))

    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entries)

    async def content(self, sha256: str) -> bytes | None:
        return self._contents.get(sha256)

    async def record(self, *events: JobEvent, entry: Entry | None = None, before: Sequence[Entry] = ()) -> None:
        """Raises LeakFound, and UserError when the disk is full."""
        for new in (*before, *(() if entry is None else (entry,))):
            self._contents |= new.contents
            self._entries.append(replace(new, contents={}))
        for event in events:
            recorded = Recorded(self._events + 1, self._now(), event)
            self._write(event_line(recorded, self._leaks))
            self._events += 1
            self._tell(recorded)

    def _write(self, line: str) -> None:
        try:
            with self.file.open("a", encoding="ascii") as out:
                out.write(line)
        except OSError as error:
            raise UserError(f"{self.file} cannot be written: {error.strerror}.") from None


def forget_old(folder: Path) -> None:
    """Leaves room for one more."""
    made: list[tuple[float, Path]] = []
    for path in folder.glob("*.jsonl"):
        with suppress(FileNotFoundError):  # another run forgets too
            made.append((path.stat().st_mtime, path))
    for _, path in sorted(made, reverse=True)[KEPT - 1 :]:
        path.unlink(missing_ok=True)
        path.with_suffix(".patch").unlink(missing_ok=True)
