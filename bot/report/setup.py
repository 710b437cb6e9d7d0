"""What came of the setup phase, in words: for the stream, and for the pull request."""

from collections.abc import Sequence

from bot.domain.hosts import NOT_PUBLIC
from bot.domain.setup import SetupReport, SetupRun
from bot.report.amounts import duration
from bot.report.restricted_markdown import fenced
from bot.report.safe_text import code

TAIL_CHARACTERS = 2_000
MOST_LISTED = 20


def setup_note(report: SetupReport) -> str:
    """One line of plain text; "" when there is nothing to tell."""
    sentences = [
        report.problem,
        "The setup of an earlier job was taken over." if report.warm else "",
        f"Setup: {report.failed.command} {_end(report.failed)}." if report.failed else "",
        f"Setup was skipped, its programs are not there: {', '.join(report.skipped)}." if report.skipped else "",
        f"The setup's network refused: {_plain(report.blocked)}." if report.blocked else "",
        f"Files that the setup changed are as in the base again: {_plain(report.put_back)}." if report.put_back else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def setup_section(report: SetupReport) -> str:
    """Markdown for a reviewer; "" when all went well or there was no setup."""
    sentences = []
    if report.problem:
        sentences.append(f"{report.problem.rstrip('.')}.")
    if report.failed:
        sentences.append(f"{code(report.failed.command)} {_end(report.failed)}; the agent worked without.")
    hidden = [host.removesuffix(NOT_PUBLIC) for host in report.blocked if host.endswith(NOT_PUBLIC)]
    unlisted = [host for host in report.blocked if not host.endswith(NOT_PUBLIC)]
    if unlisted:
        sentences.append(
            f"Its network, which is for the hosts on a list, refused: {_coded(unlisted)}. "
            "`network` in `.github/backspace.yml` can name more hosts."
        )
    if hidden:
        sentences.append(
            f"Of the hosts on its list these lead to no public address: {_coded(hidden)}. "
            "Who runs the bot can name them, with their ports, in `SETUP_HOSTS`."
        )
    if report.put_back:
        sentences.append(f"Files it changed are not part of this pull request: {_coded(report.put_back)}.")
    if not sentences:
        return ""
    tail = report.failed.tail[-TAIL_CHARACTERS:].strip("\n") if report.failed else ""
    folded = f"\n\n<details><summary>Its last lines</summary>\n\n{fenced(tail)}\n\n</details>" if tail.strip() else ""
    return f"### Setup\n{' '.join(sentences)}{folded}"


def _end(run: SetupRun) -> str:
    if run.timed_out:
        return f"was stopped after {duration(run.seconds)}"
    return f"failed ({'killed' if run.exit_code is None else f'exit {run.exit_code}'}, {duration(run.seconds)})"


def _plain(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_LISTED])


def _coded(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(code(name) for name in names[:MOST_LISTED]) + more
