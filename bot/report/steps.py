"""Where a job stands -> the checklist that comment, check run, page and terminal show."""

from dataclasses import dataclass
from typing import Final, Literal

from bot.report.amounts import counted, duration
from bot.report.characters import visible
from bot.report.progress import Progress
from bot.report.receipts import passed, verdict
from bot.report.restricted_markdown import words
from bot.report.safe_text import code

NAMES_SHOWN = 3
End = Literal["yes", "failed", "skipped"]  # how a step that is over went
Mark = End | Literal["no"]
_BOXES: Final[dict[Mark, str]] = {"yes": "[x]", "no": "[ ]", "failed": "[ ] \u2717", "skipped": "[ ]"}
_ENDS: Final[dict[bool | None, End]] = {True: "yes", False: "failed", None: "skipped"}
LONGEST_PART = 160  # characters of a step's words or code


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line: `words`, then `code` (text of others: a path, a command), then `tail`. All three are plain text.

    `end` counts where it is `done`: only what went well has a tick.
    """

    done: bool
    words: str
    code: str = ""
    tail: str = ""
    end: End = "yes"

    @classmethod
    def of(cls, done: bool, words: str, code: str = "", tail: str = "", *, end: End = "yes") -> "Step":
        """Long names and commands are cut: a step is one line."""
        return cls(done=done, words=_brief(words), code=_brief(code), tail=tail, end=end)

    @property
    def mark(self) -> Mark:
        return self.end if self.done else "no"

    @property
    def plain(self) -> str:
        return " ".join(part for part in (self.words, self.code) if part) + self.tail

    @property
    def markdown(self) -> str:
        parts = [words(self.words), code(self.code)] if self.code else [words(self.words)]
        return " ".join(part for part in parts if part) + words(self.tail)


def steps(so_far: Progress) -> tuple[Step, ...]:
    """A run at the terminal starts from HEAD, which is no branch, and opens nothing."""
    work = (_sandbox(so_far), _context(so_far), _implement(so_far), _verify(so_far))
    at_a_terminal = so_far.base is not None and so_far.base.branch == "HEAD"
    return work if at_a_terminal else (*work, _open(so_far))


def current_step(so_far: Progress) -> Step:
    """The first one that is not done; the last when all are."""
    every = steps(so_far)
    return next((step for step in every if not step.done), every[-1])


def checklist(so_far: Progress) -> str:
    return "\n".join(f"- {_BOXES[step.mark]} {step.markdown}" for step in steps(so_far))


def _sandbox(so_far: Progress) -> Step:
    if so_far.sandbox is None:
        setup = so_far.actions[-1] if so_far.actions else None
        if setup is not None and setup.ok is None:
            return Step.of(done=False, words="Set up:", code=setup.doing[1])
        return Step.of(done=False, words="Start the sandbox")
    return Step.of(done=True, words=f"Sandbox ready ({duration(so_far.sandbox.seconds)})")


def _context(so_far: Progress) -> Step:
    if so_far.context is None:
        return Step.of(done=False, words="Read the repository")
    files, check = so_far.context.files, so_far.context.check
    names = ", ".join(files[:NAMES_SHOWN])
    if len(files) > NAMES_SHOWN:
        names += f" and {counted(len(files) - NAMES_SHOWN, 'more file').removesuffix('s')}"
    read = f"Read {names}" if files else "Read the repository"
    return Step.of(done=True, words=f"{read}, found" if check else read, code=check)


def _implement(so_far: Progress) -> Step:
    if so_far.implemented:
        return Step.of(done=True, words="Implement")
    running = next((action for action in reversed(so_far.actions) if action.ok is None), None)
    if running is None or so_far.state == "finished":
        return Step.of(done=False, words="Implement")
    verb, what = running.doing
    return Step.of(done=False, words=f"Implement: {verb}" if verb else "Implement:", code=what)


def _verify(so_far: Progress) -> Step:
    receipt = so_far.receipt
    if receipt is None:
        running = so_far.verifying and so_far.context is not None and so_far.context.check != ""
        command = so_far.context.check if running and so_far.context is not None else ""
        return Step.of(done=False, words="Verify: running" if running else "Verify", code=command)
    end = _ENDS[passed(receipt)]
    if receipt.command is None:
        return Step.of(done=True, words=f"Verify: {verdict(receipt)}", end=end)
    return Step.of(done=True, words="Verify:", code=receipt.command, tail=f": {verdict(receipt)}", end=end)


def _open(so_far: Progress) -> Step:
    """A job whose first head is not its own goes on in the pull request of another."""
    goes_on, opened = bool(so_far.heads) and not so_far.heads[0].created, so_far.pull_request
    if opened is None:
        return Step.of(done=False, words="Push to the pull request" if goes_on else "Open the pull request")
    return Step.of(done=True, words=f"{'Pushed to' if goes_on else 'Opened'} pull request {opened.number}")


def _brief(text: str) -> str:
    line = " ".join(visible(text).split())
    return line if len(line) <= LONGEST_PART else f"{line[: LONGEST_PART - 1]}\u2026"
