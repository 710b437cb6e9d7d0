"""How the checks of a change stand beside those of its base: what is new among the failures is the change's."""

from typing import Literal

from bot.domain.job import Check, Receipt
from bot.report.tallies import tally

Standing = Literal["fine", "as on base", "worse"]


def standing(receipt: Receipt) -> Standing:
    """`fine`: passed, or nothing ran. `worse`: the head fails and its base did not, or not as badly, or is unknown.

    Where both fail, the numbers that they printed last are compared. A head that prints none where its base did, or of
    which nothing passes any more, broke before it came to its tests. A base without numbers shows nothing, so it
    excuses the head, as one does that ran into its time limit.
    """
    runs = {run.where: run for run in receipt.runs}
    head, base = runs.get("head"), runs.get("base")
    if head is None or head.exit_code == 0:
        return "fine"
    if base is None or base.exit_code == 0 or _is_worse(head, base):
        return "worse"
    return "as on base"


def _is_worse(head: Check, base: Check) -> bool:
    before, now = tally(base.tail), tally(head.tail)
    if base.exit_code is None or head.exit_code is None:
        return base.exit_code is not None
    if before is None or now is None:
        return before is not None
    return now.failed > before.failed or now.passed == 0 < before.passed
