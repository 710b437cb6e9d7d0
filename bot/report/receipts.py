"""The verification receipt in words: what the harness ran, and how it ended on base and on head."""

from bot.domain.job import Check, Receipt
from bot.report.amounts import duration
from bot.report.characters import visible
from bot.report.restricted_markdown import fenced, words
from bot.report.safe_text import code
from bot.report.tallies import tally

TAIL_CHARACTERS = 4_000  # the last lines; the whole output is in the log


def verdict(receipt: Receipt) -> str:
    """`214 passed on base, 219 on head`, or `not run: no test command found`."""
    if receipt.command is None or not receipt.runs:
        return f"not run: {receipt.reason or 'no test command found'}"
    said = [(result(run), run.where) for run in receipt.runs]
    first, *others = said
    parts = [f"{first[0]} on {first[1]}"]
    for text, where in others:
        both_passed = first[0].endswith(" passed") and text.endswith(" passed")
        parts.append(f"{text.removesuffix(' passed') if both_passed else text} on {where}")
    return ", ".join(parts)


def passed(receipt: Receipt) -> bool | None:
    """Of the change itself; None where nothing was run on it."""
    ends = [run.exit_code == 0 for run in receipt.runs if run.where == "head"]
    return all(ends) if ends else None


def in_a_line(receipt: Receipt) -> str:
    """Markdown: the command and its verdict, or that nothing was run."""
    said = words(verdict(receipt))
    return f"{code(receipt.command)}: {said}" if receipt.command is not None else f"tests {said}"


def result(run: Check) -> str:
    """The exit code decides; a number of tests is what the command printed."""
    if run.timed_out:
        return f"timed out after {duration(run.seconds)}"
    if run.exit_code is None:
        return "killed"
    counts = tally(run.tail)
    if run.exit_code == 0:
        return f"{counts.passed} passed" if counts and counts.passed else "passed"
    return f"{counts.failed} failed" if counts and counts.failed else f"failed (exit {run.exit_code})"


def receipt_section(receipt: Receipt) -> str:
    """The receipt as a table, with the last lines of head folded."""
    if receipt.command is None or not receipt.runs:
        return f"{words(verdict(receipt)).capitalize()}."
    rows = "\n".join(
        f"| {run.where} | {result(run)} | {'-' if run.exit_code is None else run.exit_code} | {duration(run.seconds)} |"
        for run in receipt.runs
    )
    command = code(receipt.command).replace("|", r"\|")
    table = f"| {command} | result | exit code | time |\n| --- | --- | ---: | ---: |\n{rows}"
    if receipt.reason:
        table += f"\n\n{words(receipt.reason)}"
    tail = visible(receipt.runs[-1].tail)[-TAIL_CHARACTERS:].strip("\n")
    if not tail.strip():
        return table
    return (
        f"{table}\n\n<details><summary>Last lines on {receipt.runs[-1].where}</summary>\n\n{fenced(tail)}\n\n</details>"
    )
