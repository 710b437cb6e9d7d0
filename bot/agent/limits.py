"""When a run may go on, should hear a note, must wrap up, or ends: turns, dollars, tokens, time."""

from dataclasses import dataclass

from bot.report.amounts import counted

WRAP_UP_SHARE = 0.9  # of dollars and tokens: the rest pays for the wrap-up turn
WRAP_UP_TIME_SHARE = 0.85
LAST_TURNS = 3
NOTE_SHARES = (0.8, 0.5)
MOST_BAD_REPLIES = 3  # replies in a row with a call that no tool accepts
REPEATS_NOTED = 4  # same call, same result
REPEATS_STOPPED = 6
EDIT_ERRORS_NOTED = 3  # the same one, in a row


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one run may use; dollars are list price, input tokens count cached ones too."""

    turns: int = 60
    usd: float = 3.00
    input_tokens: int = 3_000_000
    output_tokens: int = 120_000
    minutes: float = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run has used so far.

    `usd`: of all replies whose price is known; the other limits hold unknown ones. `next_usd` is the least the
    next request can cost. `told`: keys of the notes the model has had. `repeats`: how often the most repeated call gave
    the same result. `edit_errors`: how often the newest edits failed in the same way.
    """

    turns: int = 0
    usd: float = 0.0
    next_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    told: frozenset[str] = frozenset()
    bad_replies: int = 0
    repeats: int = 0
    edit_errors: int = 0


@dataclass(frozen=True, slots=True)
class Go:
    pass


@dataclass(frozen=True, slots=True)
class Note:
    """Words for the model, once: `key` is remembered."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class WrapUp:
    """The next reply is the last; `reason` such as "the limit of 60 turns is reached"."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """`is_budget`: a limit of the operator or requester ended the run, not the model's behaviour."""

    reason: str
    is_budget: bool = True


Verdict = Go | Note | WrapUp | Stop
WRAP_UP_KEY = "wrap-up"


@dataclass(frozen=True, slots=True)
class _Gauge:
    name: str
    used: float
    limit: float
    words: str
    wraps_at: float

    @property
    def share(self) -> float:
        return round(self.used / self.limit, 9) if self.limit > 0 else 1.0

    @property
    def used_up(self) -> str:
        if self.name == "turns":
            return f"the limit of {counted(int(self.limit), 'turn')} is reached"
        return f"{self.words} {'is' if self.name == 'usd' else 'are'} used"


def verdict(spent: Spent, limits: Limits) -> Verdict:
    """What may happen before the next request. The first applicable answer wins: stop, wrap up, note, go."""
    gauges = _gauges(spent, limits)
    return _stop(spent, limits, gauges) or _wrap_up(gauges) or _note(spent, limits, gauges) or Go()


def _gauges(spent: Spent, limits: Limits) -> tuple[_Gauge, ...]:
    minutes = spent.seconds / 60
    return (
        _Gauge("turns", spent.turns, limits.turns, f"{spent.turns} of {limits.turns} turns", 1.0),
        _Gauge("usd", spent.usd, limits.usd, f"${spent.usd:.2f} of ${limits.usd:.2f}", WRAP_UP_SHARE),
        _tokens("input", spent.input_tokens, limits.input_tokens),
        _tokens("output", spent.output_tokens, limits.output_tokens),
        _Gauge("time", minutes, limits.minutes, _minutes(minutes, limits.minutes), WRAP_UP_TIME_SHARE),
    )


def _tokens(kind: str, used: int, limit: int) -> _Gauge:
    return _Gauge(kind, used, limit, f"{used:,} of {limit:,} {kind} tokens", WRAP_UP_SHARE)


def _minutes(used: float, limit: float) -> str:
    """Never more than the limit; a limit below a minute keeps its decimals."""
    used = min(used, limit)
    return f"{used:.1f} of {limit:g} minutes" if limit >= 1 else f"{used:.2g} of {limit:g} minutes"


def _stop(spent: Spent, limits: Limits, gauges: tuple[_Gauge, ...]) -> Stop | None:
    if spent.bad_replies >= MOST_BAD_REPLIES:
        return Stop(f"{spent.bad_replies} replies in a row held a tool call that cannot be run", is_budget=False)
    if spent.repeats >= REPEATS_STOPPED:
        return Stop(f"the same tool call gave the same result {spent.repeats} times", is_budget=False)
    tightest = max(gauges, key=lambda gauge: gauge.share)
    if WRAP_UP_KEY in spent.told:
        return Stop(tightest.used_up)
    if spent.usd + spent.next_usd > limits.usd:
        return Stop(f"${spent.usd:.2f} of ${limits.usd:.2f} is used and the next request would cost more than the rest")
    for gauge in gauges:
        if gauge.share >= 1 and gauge.name != "turns":
            return Stop(gauge.used_up)
    return None


def _wrap_up(gauges: tuple[_Gauge, ...]) -> WrapUp | None:
    for gauge in gauges:
        if gauge.share >= gauge.wraps_at:
            return WrapUp(gauge.used_up)
    return None


def _note(spent: Spent, limits: Limits, gauges: tuple[_Gauge, ...]) -> Note | None:
    if spent.repeats >= REPEATS_NOTED and "repeats" not in spent.told:
        return Note("repeats", f"The same call gave the same result {spent.repeats} times. Try something else.")
    if spent.edit_errors >= EDIT_ERRORS_NOTED and "edit errors" not in spent.told:
        times = f"The same edit failed in the same way {spent.edit_errors} times."
        return Note("edit errors", f"{times} Use read on the file first, and copy old_string from what it shows.")
    left = limits.turns - spent.turns
    if left <= LAST_TURNS and "last turns" not in spent.told:
        return Note("last turns", f"{counted(left, 'turn')} left. Finish with submit.")
    tightest = max(gauges, key=lambda gauge: gauge.share)
    for share in NOTE_SHARES:
        key = f"{share:.0%}"
        if tightest.share >= share:
            return None if key in spent.told else Note(key, f"{key} of a budget is used: {tightest.words}.")
    return None
