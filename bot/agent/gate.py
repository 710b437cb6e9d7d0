"""What the harness itself sees in a change: secrets that may not leave, and what to look at twice."""

import re
from collections.abc import Iterator

from bot.agent.output import visible
from bot.domain.job import Patch

# Only kinds whose form alone gives them away; what the bot's own secrets are is looked for by value, elsewhere.
_SECRETS = (
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")),
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a GitHub token", re.compile(r"\b(?:gh[opsur]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60})")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20}")),
    ("a Slack token", re.compile(r"\bxox[abeoprs]-[0-9]{8,}-[A-Za-z0-9-]{10,}")),
    ("a Google API key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("an API key", re.compile(r"\bsk-(?:ant-|proj-)[A-Za-z0-9_-]{32,}|\bsk_live_[A-Za-z0-9]{20,}")),
)
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)")
_LONGEST_LINE = 20_000  # characters that are looked at


def secrets_in(patch: Patch) -> tuple[str, ...]:
    """A sentence for each added line that holds what looks like a secret; one that was moved is not new."""
    gone = {line[1:].strip() for line in patch.diff.split("\n") if line.startswith("-")}
    return tuple(
        f"{visible(path)} line {number} holds what looks like {kind}: take it out, or read it from the environment."
        for path, number, text in _added(patch.diff)
        if text.strip() not in gone
        for kind, form in _SECRETS
        if form.search(text)
    )


def look_twice(patch: Patch) -> str:
    """What a reviewer of the diff could miss, or ""."""
    lines = [f"{visible(stat.path)} is binary" for stat in patch.stats if stat.additions is None]
    for change in patch.changes:
        if change.mode and change.was_mode and change.mode != change.was_mode:
            lines.append(f"{visible(change.path)} changes its mode from {change.was_mode} to {change.mode}")
        elif change.mode == "120000":
            lines.append(f"{visible(change.path)} is a link")
    return "Look twice, and say in testing that it is meant: " + "; ".join(lines) + "." if lines else ""


def _added(diff: str) -> Iterator[tuple[str, int, str]]:
    """Path, line number and text of each added line; a header stands before a file's first hunk only."""
    path, number, in_hunk = "", 0, False
    for line in diff.split("\n"):
        if line.startswith("diff --git "):
            in_hunk = False
        elif not in_hunk and line.startswith("+++ "):
            path = line[4:].removeprefix("b/").rstrip("\t")
        elif found := _HUNK.match(line):
            number, in_hunk = int(found[1]), True
        elif in_hunk and line.startswith("+"):
            yield path, number, line[1:_LONGEST_LINE]
            number += 1
        elif in_hunk and line.startswith(" "):
            number += 1
