"""A job and the events of a whole run, for tests of words and pages."""

from collections.abc import Iterable, Sequence
from typing import Any

from bot.domain.conversation import Usage
from bot.domain.events import (
    BasePinned,
    BranchMoved,
    Conclusion,
    ContextRead,
    DiffShown,
    JobEvent,
    JobFinished,
    JobQueued,
    JobStarted,
    ModelAnswered,
    PullRequestOpened,
    Recorded,
    SandboxReady,
    ToolCalled,
    ToolReturned,
    Verified,
)
from bot.domain.job import Check, FileStat, Issue, Job, Patch, Person, Receipt, Repo, Start, Submission
from bot.report.links import Links

WATCH_KEY = "w" * 43
LINKS = Links(page="https://bot.example/jobs/k7f3?t=wwww", check=None, repository="https://github.com/acme/widget")
STATS = (FileStat("export/cli.py", 80, 3), FileStat("tests/test_cli.py", 8, 1), FileStat("logo.png", None, None))
PASSED = Receipt(
    command="uv run pytest",
    runs=(
        Check(where="base", exit_code=0, seconds=3.2, tail="214 passed in 3.10s"),
        Check(where="head", exit_code=0, seconds=3.4, tail="....\n219 passed in 3.30s\n"),
    ),
)
USAGE = Usage(fresh=600, cache_write_5m=1_400, cache_read=10_300, output=1_200)
DIFF = """\
diff --git a/export/cli.py b/export/cli.py
index 1111111..2222222 100644
--- a/export/cli.py
+++ b/export/cli.py
@@ -1,3 +1,3 @@ def main():
 import argparse
--- "old"
+++ "new"
"""
SUBMISSION = Submission(
    outcome="changes",
    title="Add --json to the export command",
    summary="`export --json` prints one object a row.\n\n- The table stays the default.",
    testing="Ran the export by hand on two files.",
    follow_ups=("Document the flag.",),
)
PATCH = Patch(base_sha="a" * 40, tree_sha="b" * 40, changes=(), stats=STATS, diff=DIFF, diff_id="d1d1d1d1d1d1")
FINISHED = JobFinished(Conclusion.SUCCESS, "**Opened #42**")


def job(**changes: Any) -> Job:
    facts: dict[str, Any] = {
        "id": "k7f3",
        "key": "1:2:comment:3",
        "watch_key": WATCH_KEY,
        "delivery": "d-1",
        "installation_id": 1,
        "repo": Repo(2, "acme", "widget"),
        "default_branch": "main",
        "issue": Issue(number=12, title="Export as JSON", body="", author=Person(7, "alice")),
        "command": Start("add --json to the export command"),
        "requested_by": Person(7, "alice"),
        "comment_id": 3,
    }
    return Job(**{**facts, **changes})


def log(events: Iterable[JobEvent], *, start: float = 1_000.0, step_s: float = 10.0) -> tuple[Recorded, ...]:
    return tuple(Recorded(seq, start + step_s * (seq - 1), event) for seq, event in enumerate(events, 1))


def running() -> Sequence[JobEvent]:
    """Up to an edit that is not finished."""
    return (
        JobQueued("add --json to the export command", "alice"),
        JobStarted(1, "claude-opus-5-5", 3.0),
        BasePinned("main", "a" * 40),
        BranchMoved("backspace/12-aabbccdd", "1" * 40, True),
        SandboxReady("bubblewrap", 1.2),
        ContextRead(("AGENTS.md",), "uv run pytest"),
        ModelAnswered(1, "claude-opus-5-5", "I read the command first.", USAGE, 0.02, 4.0),
        ToolCalled("c1", "read", "read export/cli.py"),
        ToolReturned("c1", "read", True, "1  import argparse", 0.01),
        ModelAnswered(2, "claude-opus-5-5", "", USAGE, 0.02, 4.0),
        ToolCalled("c2", "edit", "edit export/cli.py"),
    )


def finished() -> Sequence[JobEvent]:
    return (
        *running(),
        ToolReturned("c2", "edit", True, "edited", 0.01),
        DiffShown("d1", DIFF, STATS),
        Verified(PASSED),
        BranchMoved("backspace/12-aabbccdd", "2" * 40, False),
        PullRequestOpened(42, "https://github.com/acme/widget/pull/42", False, STATS),
        FINISHED,
    )
