"""What `submit` shows of a change that is not accepted yet: files, diff, checks, and what to do now."""

from bot.agent.gate import look_twice
from bot.agent.output import shown_diff, visible
from bot.domain.job import Check, FileStat, Patch, Receipt
from bot.report.receipts import result

MOST_REJECTIONS = 3  # of failing checks; after that the change goes out as a draft that says so
DIFF_ID = "diff_id: "
FRESH = "\nBoth run in fresh sandboxes: nothing that you installed or built, and no file that git ignores, is there."


def what_is_shown(patch: Patch, receipt: Receipt, lint: str, *, given_id: str, failed: bool, rejections: int) -> str:
    """`given_id`: the one that came with the call; `failed`: the checks, because of this change; `rejections`: how
    often they turned it away so far, this time counted."""
    parts = []
    if given_id and given_id != patch.diff_id:
        parts.append(
            f"The change is not the one shown as {visible(given_id)[:40]}. This is what would be submitted now."
        )
    parts.append("\n".join(_stat(stat) for stat in patch.stats))
    parts.append(shown_diff(patch.diff))
    parts.append(_checks_text(receipt, failed=failed))
    parts += [lint, look_twice(patch)]
    parts.append(_what_now(patch.diff_id, failed=failed, rejections=rejections))
    return "\n\n".join(part for part in parts if part)


def _stat(stat: FileStat) -> str:
    if stat.additions is None or stat.deletions is None:
        return f"{visible(stat.path)} | binary"
    return f"{visible(stat.path)} | +{stat.additions} -{stat.deletions}"


def _checks_text(receipt: Receipt, *, failed: bool) -> str:
    if not receipt.runs:
        return f"Checks: {receipt.command or 'not run'}: {visible(receipt.reason)}."
    ran = "\n".join(f"{run.where}: {_ended(run)}" for run in receipt.runs)
    head = next((run for run in receipt.runs if run.where == "head" and run.exit_code != 0), None)
    known = "\nThe base fails too, so this does not stand in the way." if head and not failed else ""
    where = FRESH if head else ""
    about = f"\n{receipt.reason}" if receipt.reason else ""
    tail = f"\n{visible(head.tail)}" if head and head.tail else ""
    return f"Checks: {receipt.command}\n{ran}{known}{about}{where}{tail}"


def _ended(run: Check) -> str:
    if run.timed_out:
        return f"timed out after {run.seconds:.0f} s"
    said = result(run)
    counted = f" ({said})" if said[:1].isdigit() else ""
    return f"exit {run.exit_code}, {run.seconds:.1f} s{counted}"


def _what_now(diff_id: str, *, failed: bool, rejections: int) -> str:
    if failed and rejections < MOST_REJECTIONS:
        return f"{DIFF_ID}{diff_id}\nThe checks fail because of this change. Fix it and submit again."
    if failed:
        return (
            f"{DIFF_ID}{diff_id}\nThe checks still fail. Fix it, or call submit again with this diff_id: "
            "the pull request then opens as a draft that says so."
        )
    return f"{DIFF_ID}{diff_id}\nIf this is what you want, call submit again with this diff_id; else fix it first."
