"""What an answer's output costs while it travels: what was written by the byte at which it ended, and no more."""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence
from itertools import accumulate

from bot.standins.messages.cache import Charge, InputUsage

Piece = tuple[Hashable, str]  # the block that an event adds to, and the text it adds


def written_by(
    events: Sequence[bytes], piece_of: Callable[[bytes], Piece | None], *, ended: Callable[[bytes], bool], whole: int
) -> Callable[[int], int]:
    """Output tokens written once so many bytes of the events were sent: an event that has begun is written.

    A block counts from its first event on, as a token at least. `ended`: of the event that tells the `whole` output.
    """
    sizes: dict[Hashable, int] = {}
    totals = [0]
    for event in events:
        total = totals[-1]
        if piece := piece_of(event):
            before = sizes.get(piece[0])
            sizes[piece[0]] = (before or 0) + len(piece[1].encode())
            total += _tokens(sizes[piece[0]]) - (0 if before is None else _tokens(before))
        totals.append(whole if ended(event) else total)
    starts = list(accumulate(map(len, events), initial=0))[:-1]
    return lambda sent: totals[bisect_left(starts, sent)]


def _tokens(size: int) -> int:
    return max(1, -(-size // 4))


def booked(
    ledger: list[Charge], number: int, model: str, spent: InputUsage, *, prompt_nanos: int, output_nanos: int
) -> Callable[[int], None]:
    """A charge for the prompt; to be told how much output it has come to. Prices are in billionths of a dollar, the
    prompt's in all and the output's for a token."""
    place = len(ledger)
    ledger.append(Charge(number, model, spent, 0, prompt_nanos / 1_000_000_000))

    def comes_to(output: int) -> None:
        ledger[place] = Charge(number, model, spent, output, (prompt_nanos + output * output_nanos) / 1_000_000_000)

    return comes_to


def charging(begin: Callable[[], Callable[[int], None]], written: Callable[[int], int]) -> Callable[[int], None]:
    """For `delivered`: the answer is booked when it begins, and costs what is written of it by each byte."""
    booked: list[Callable[[int], None]] = []

    def sends(sent: int) -> None:
        if not booked:
            booked.append(begin())
        booked[0](written(sent))

    return sends
