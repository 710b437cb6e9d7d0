"""One repository, many jobs: what people ask, how the model answers, and what must come of each job."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bot.standins.messages import Answer, Observed, answer, use
from bot.standins.messages.script import Result, Use
from tests.repositories import CHECK, commit, write

ASK = "/backspace write fixed into value.txt, count the run, and make the script executable"
COUNT = "echo ran >> count.txt"
PREPARE = r"chmod +x run.sh && rm old.txt && printf '\000' > data.bin"  # which is a blob of its own
WORDS = {"outcome": "changes", "title": "Fix the value", "summary": "It was broken.", "testing": "Ran the check."}
FILES = {
    "value.txt": b"broken\n",
    "run.sh": b"#!/bin/sh\necho run\n",
    "old.txt": b"old\n",
    ".gitignore": b"*.tmp\n",
    CHECK: b"test: grep -q fixed value.txt\n",
}
CHANGED = {
    "value.txt": ("100644", b"fixed\n"),
    "run.sh": ("100755", FILES["run.sh"]),
    "count.txt": ("100644", b"ran\n"),
    "notes/new.md": ("100644", b"new\n"),
    "old.txt": None,
    "data.bin": ("100644", b"\0"),
}
EDIT = use("edit", file_path="value.txt", old_string="broken", new_string="fixed")
WRITE = use("write", file_path="notes/new.md", content="new\n")
GOALS: tuple[tuple[Use, ...], ...] = (
    (use("read", file_path="value.txt"), EDIT, use("bash", command=COUNT)),
    (WRITE, use("bash", command=PREPARE)),
)


def repository(root: Path) -> Path:
    write(root, FILES)
    return commit(root)


def expected_tree() -> dict[str, tuple[str, str]]:
    modes = {"run.sh": "100644"}
    tree = {path: (modes.get(path, "100644"), blob(content)) for path, content in FILES.items()}
    for path, state in CHANGED.items():
        if state is None:
            del tree[path]
        else:
            tree[path] = (state[0], blob(state[1]))
    return tree


def times_counted(tree: dict[str, tuple[str, str]]) -> int:
    """How often `COUNT` ran, as far as the tree tells."""
    _, found = tree.get("count.txt", ("", ""))
    return next((times for times in range(1, 100) if blob(b"ran\n" * times) == found), 0)


def blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class Claude:
    """A model that does what is left to do, and does again only what it was told came to nothing.

    `asked` counts requests by thread and number of replies in them; `known` says how many replies of a thread stand
    in the store: a request for one of those is `paid_twice`. `lost` are the threads that were told of a lost tree.
    """

    def __init__(self) -> None:
        self.asked: Counter[tuple[int, int]] = Counter()
        self.known: dict[int, int] = {}
        self.paid_twice: list[tuple[int, int]] = []
        self.lost: set[int] = set()

    def __call__(self, seen: Observed) -> Answer:
        issue = int(re.findall(r"# Issue #(\d+)", str(seen.messages[0]))[0])
        self.asked[issue, seen.turn] += 1
        if seen.turn < self.known.get(issue, 0):
            self.paid_twice.append((issue, seen.turn))
        if "holds the unchanged base tree" in str(seen.messages):
            self.lost.add(issue)
        for goal in GOALS:
            left = [call for call in goal if not any(done(call, result) for result in seen.all_results)]
            if left:
                return answer(*left)
        shown = [found[1] for text in texts(seen) if (found := re.search(r"diff_id: ([0-9a-f]{12})", text))]
        return answer(use("submit", **WORDS, **({"diff_id": shown[-1]} if shown else {})))


def done(call: Use, result: Result) -> bool:
    return (result.tool, result.input) == (call.name, call.input) and not result.is_error


def texts(seen: Observed) -> list[str]:
    return [result.text for result in seen.results]


Script = Callable[[Observed], Answer]
