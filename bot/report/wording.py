"""The words of a job in git and on its pull request: branch name, commit messages, title, body."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bot.domain.conversation import Usage
from bot.domain.job import Job, Patch, Receipt, Submission
from bot.report.amounts import counted, dollars, duration, token_use
from bot.report.links import Links
from bot.report.receipts import receipt_section
from bot.report.restricted_markdown import words
from bot.report.safe_text import code, safe, safe_plain, safe_title

SUMMARY_BYTES = 30_000  # leaves room for the rest of the body within GitHub's 65,536 characters
TESTING_BYTES = 4_000
TEMPLATE_CHARACTERS = 8_000
COMMIT_SUMMARY_CHARACTERS = 2_000
FOLLOW_UPS = 10
SECOND_LOOKS = 30
HIDDEN_KINDS = 30

SKIP_CI = "[skip ci]"  # holds `push` and `pull_request` workflows of the commit it stands in
SKIP_CHECKS = "skip-checks: true"  # the trailer form; GitHub wants it last, after two empty lines

CiHeld = Literal["outsider", "setting"]  # the model read an outsider's text, or only `ci: hold` says so

_NOT_IN_A_LOGIN = re.compile(r"[^A-Za-z0-9_-]")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_CODE_SPAN = re.compile(r"`[^`]*`")
_DESCRIPTION_HEADING = re.compile(r"(?i)#{1,6}[ \t]+.*\b(?:description|summary|what|changes?|overview|why)\b.*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What the job used. `usd` None: the model's price is not known; `prompt_hash` as `prompt_hash(job)` makes it.

    `speakers`: who else told the agent something at its work, by login. `before`: the runs it goes on with, in words.
    """

    model: str
    turns: int
    tool_calls: int
    usage: Usage
    usd: float | None
    sandbox_seconds: float
    prompt_hash: str
    speakers: tuple[str, ...] = ()
    before: str = ""


def runs_before(runs: Sequence[str], usd: float | None) -> str:
    """For `Totals`; `runs` by id, the first one first, and what they cost together, None where it is not known."""
    return f"goes on with {'run' if len(runs) == 1 else 'runs'} {', '.join(runs)} ({dollars(usd)})"


def branch_name(job: Job) -> str:
    """The same for every attempt, and for a redelivery: made from the job's key."""
    return f"backspace/{job.issue.number}-{hashlib.sha256(job.key.encode()).hexdigest()[:8]}"


def prompt_hash(job: Job) -> str:
    """The first 12 digits of the SHA-256 of what was asked, by which anybody can check that it was not edited."""
    return hashlib.sha256(job.instruction.encode("utf-8", "replace")).hexdigest()[:12]


def start_commit_message(job: Job) -> str:
    why = f"An empty commit that carries the check of run {job.id}."
    return f"Start work on issue {job.issue.number}\n\n{why}\n\n{SKIP_CI}"


def commit_message(job: Job, submission: Submission, *, hold_ci: bool) -> str:
    """Title, summary, the requester as co-author; with `hold_ci` both of GitHub's ways to start no workflow."""
    summary = safe_plain(submission.summary)
    if len(summary) > COMMIT_SUMMARY_CHARACTERS:
        summary = summary[:COMMIT_SUMMARY_CHARACTERS].rsplit("\n", 1)[0] + "\n\u2026"
    parts = [safe_title(submission.title, max_characters=72), summary, SKIP_CI if hold_ci else ""]
    trailers = [co_author(job), SKIP_CHECKS if hold_ci else ""]
    end = "\n\n\n" if hold_ci else "\n\n"
    return "\n\n".join(part for part in parts if part) + end + "\n".join(line for line in trailers if line)


def co_author(job: Job) -> str:
    """The requester's trailer with GitHub's id-based address, which stays right when the login changes."""
    login = _NOT_IN_A_LOGIN.sub("", job.requested_by.login)
    return f"Co-authored-by: {login} <{job.requested_by.id}+{login}@users.noreply.github.com>"


def pull_request_title(submission: Submission) -> str:
    return safe_title(submission.title)


def pull_request_body(
    job: Job,
    submission: Submission,
    receipt: Receipt,
    patch: Patch,
    *,
    second_look: Sequence[str],
    totals: Totals,
    links: Links,
    ci_held: CiHeld | None = None,
    unfinished: bool = False,
    hidden_removed: Sequence[str] = (),
    banner: str = "",
    template: str | None = None,
    setup: str = "",
) -> str:
    """Markdown of at most 65,536 characters.

    `banner` is a sentence of ours for the top (why this is a draft); `ci_held` is why its head starts no workflow;
    `unfinished` work does not close the issue; `hidden_removed` names what was taken out of the issue's text before the
    model read it; `template` is the repository's own pull request template; `setup` is the section about the setup.
    """
    own = job.issue.number
    summary = safe(submission.summary, own_issue=own, repository=links.repository, max_bytes=SUMMARY_BYTES)
    described = f"### What changed\n{summary}" if template is None else _filled_in(template, summary)
    parts = [
        f"> {banner}" if banner else "",
        f"> {_CI_HELD[ci_held]}" if ci_held else "",
        f"For #{own}" if unfinished else f"Fixes #{own}",
        _second_look(second_look),
        described,
        _verification(receipt, submission, own_issue=own),
        setup,
        _follow_ups(submission.follow_ups, own_issue=own),
        _hidden(hidden_removed),
        _footer(job, patch, totals, links),
    ]
    return "\n\n".join(part for part in parts if part)


_CI_HELD: Mapping[CiHeld, str] = {
    "outsider": "**CI is held on this commit**: the model read text by somebody without write access. "
    "Read the change; a push by one of you starts CI.",
    "setting": "**CI is held on this commit**, as `ci: hold` in `.github/backspace.yml` asks. "
    "A push by one of you starts CI.",
}


def _filled_in(template: str, summary: str) -> str:
    """The summary below the template's first heading that asks for one, or above the template."""
    template, heading = _template(template.replace("\r\n", "\n").strip())
    above, below = template[:heading].strip(), template[heading:].strip()
    return "\n\n".join(part for part in (above, summary, below) if part)


def _template(text: str) -> tuple[str, int]:
    """At most TEMPLATE_CHARACTERS of it, in whole lines, with nothing left open that would hide what comes after;
    and where its heading for a summary ends, 0 for none."""
    kept, length, heading, closing = [], 0, 0, ""
    for line in text.split("\n"):
        if length + len(line) + 1 > TEMPLATE_CHARACTERS:
            break
        kept.append(line)
        length += len(line) + 1
        before, closing = closing, _left_open(line, closing)
        if not (before or closing or heading) and _DESCRIPTION_HEADING.match(line):
            heading = length
    return "\n".join((*kept, closing) if closing else kept), heading


def _left_open(line: str, closing: str) -> str:
    """What still has to close a comment or a fence after this line, "" for nothing; `closing`: what had to before."""
    if closing and closing != "-->":
        end = line.strip()
        return "" if set(end) == {closing[0]} and len(end) >= len(closing) else closing
    if not closing and (fence := _FENCE.match(line)):
        return fence[1]
    if closing:
        _, found, line = line.partition(closing)
        if not found:
            return closing
    line = _CODE_SPAN.sub("", line)
    while "<!--" in line:
        _, found, line = line.partition("<!--")[2].partition("-->")
        if not found:
            return "-->"
    return ""


def _second_look(paths: Sequence[str]) -> str:
    if not paths:
        return ""
    lines = [_path_first(line) for line in paths[:SECOND_LOOKS]]
    if len(paths) > SECOND_LOOKS:
        lines.append(f"- and {len(paths) - SECOND_LOOKS} more")
    return "### Worth a second look\n" + "\n".join(lines)


def _path_first(line: str) -> str:
    path, colon, why = line.rpartition(": ")
    return f"- {code(path, max_characters=200)}: {words(why)}" if colon else f"- {code(line, max_characters=200)}"


def _verification(receipt: Receipt, submission: Submission, *, own_issue: int) -> str:
    text = f"### Verification\n{receipt_section(receipt)}"
    if not submission.testing.strip():
        return text
    said = safe(submission.testing, own_issue=own_issue, max_bytes=TESTING_BYTES)
    return f"{text}\n\nThe model about its own tests:\n\n" + "\n".join(
        f"> {line}".rstrip() for line in said.split("\n")
    )


def _follow_ups(follow_ups: Sequence[str], *, own_issue: int) -> str:
    if not follow_ups:
        return ""
    lines = (" ".join(words(" ".join(text.split())[:500]).split()) for text in follow_ups[:FOLLOW_UPS])
    return "### Left for later\n" + "\n".join(f"- {line}" for line in lines)


def _hidden(what: Sequence[str]) -> str:
    if not what:
        return ""
    return (
        f"Hidden text in the issue was kept from the model: {'; '.join(words(kind) for kind in what[:HIDDEN_KINDS])}."
    )


def _footer(job: Job, patch: Patch, totals: Totals, links: Links) -> str:
    facts = (
        f"[Run {job.id}]({links.page})",
        *((totals.before,) if totals.before else ()),
        f"asked by @{job.requested_by.login}",
        *(f"steered by @{login}" for login in totals.speakers),
        code(totals.model),
        counted(totals.turns, "turn"),
        counted(totals.tool_calls, "tool call"),
        token_use(totals.usage),
        dollars(totals.usd),
        f"sandbox {duration(totals.sandbox_seconds)}",
        f"prompt `{totals.prompt_hash}`",
        f"base `{patch.base_sha[:12]}`",
    )
    return f"---\n<sub>{' · '.join(facts)}</sub>"
