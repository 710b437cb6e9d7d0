"""What a test command printed last -> how many of its tests passed and failed."""

import re
from dataclasses import dataclass
from typing import Final

WHOLE_CHARACTERS = 1_700  # a tail is cut to 2,000 at a line's end: one shorter than this is the whole output

_LIST = r"\d{1,7} [a-z]+(?: [a-z]+)?(?:(?:, | \| )\d{1,7} [a-z]+(?: [a-z]+)?)*"
_SUMMARIES: Final = (
    re.compile(rf"^(?:=+ )?(?P<said>{_LIST})(?: in \d[\d.]*s.*)?$", re.M),  # pytest
    re.compile(rf"^ *Tests:? +(?P<said>{_LIST})(?: \(\d+\))?$", re.M),  # jest, vitest
    re.compile(r"^Ran (?P<ran>\d{1,7}) tests? in .*\n+(?:OK|FAILED)(?: \((?P<said>.*)\))?$", re.M),  # unittest
    re.compile(
        r"^[#\u2139] (?P<said>pass \d{1,7}\n[#\u2139] fail \d{1,7}(?:\n[#\u2139] cancelled \d{1,7})?)$", re.M
    ),  # node --test
    re.compile(r"^ +(?P<said>\d{1,7} passing \(.*\)(?:\n +\d{1,7} pending)?(?:\n +\d{1,7} failing)?)$", re.M),  # mocha
)
_CARGO: Final = re.compile(r"^test result: \w+\. (\d{1,7}) passed; (\d{1,7}) failed;", re.M)
_NUMBER_FIRST: Final = re.compile(r"(\d+) ([a-z]+(?: [a-z]+)?)")
_NAME_FIRST: Final = re.compile(r"([a-z]+(?: [a-z]+)?)[= ](\d+)")
_PASSED: Final = {"passed", "passing", "pass"}
_FAILED: Final = {"failed", "failing", "fail", "failures", "error", "errors", "cancelled", "unexpected successes"}


@dataclass(frozen=True, slots=True)
class Tally:
    """`failed` counts what could not even run (errors of a fixture or of an import) too."""

    passed: int
    failed: int


def tally(tail: str) -> Tally | None:
    """Of the last summary in an output's end, None where there is none that we know.

    Cargo has a summary for every program and for the documentation's tests: all count, and none does where some may
    have been cut off. `go test` counts nothing, so nothing is told of it.
    """
    found = [match for summary in _SUMMARIES for match in summary.finditer(tail)]
    last = max(found, key=re.Match.end, default=None)
    cargo = list(_CARGO.finditer(tail))
    if cargo and (last is None or cargo[-1].end() > last.end()):
        if len(tail) > WHOLE_CHARACTERS:
            return None
        return Tally(sum(int(match[1]) for match in cargo), sum(int(match[2]) for match in cargo))
    return _told(last) if last else None


def _told(summary: re.Match[str]) -> Tally | None:
    said, parts = summary["said"] or "", summary.groupdict()
    ran = parts.get("ran")
    numbers = {name: int(count) for count, name in _NUMBER_FIRST.findall(said)}
    if ran is not None or said.startswith("pass "):
        numbers = {name: int(count) for name, count in _NAME_FIRST.findall(said)}
    if ran is None and not numbers.keys() & (_PASSED | _FAILED):
        return None
    passed = max(int(ran) - sum(numbers.values()), 0) if ran else sum(numbers.get(name, 0) for name in _PASSED)
    return Tally(passed, sum(numbers.get(name, 0) for name in _FAILED))
