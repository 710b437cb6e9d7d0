"""At the end of a test run: how much of the sandbox contract and of the containment probes passed, and where."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import cast

import pytest

SUITES = ("contract", "containment")  # what their classes' names end with
SERVERS = {  # what answered; every other provider's is a stand-in on the loopback that speaks its wire
    "bubblewrap": "the real bwrap",
    "docker": "a real engine",
    "live": "what PROVIDER names",
}
NOTE = "sandboxes"

Mark = tuple[str, str, str]  # suite, provider, topic


def marked(items: Sequence[pytest.Item]) -> None:
    """Each test of a suite says where it belongs; the note travels with its report."""
    for item in items:
        cls = getattr(item, "cls", None)
        names = [base.__name__ for base in cls.__mro__] if cls else []
        suite = next((suite for name in names for suite in SUITES if name.endswith(suite.title())), None)
        if suite:
            provider = re.sub("^Test|(Containment|Setup|Left)$", "", names[0]).lower()
            topic = item.name.removeprefix("test_").split("_")[0] if suite == "containment" else ""
            mark: Mark = (suite, provider, topic)
            item.user_properties.append((NOTE, mark))


def written(reports: Iterable[pytest.TestReport]) -> list[str]:
    """A line for the contract, a table for the probes; nothing when none of them ran."""
    ran: Counter[Mark] = Counter()
    passed: Counter[Mark] = Counter()
    for report in reports:
        for name, value in report.user_properties:
            if name == NOTE and (report.when == "call" or report.failed):
                mark = cast(Mark, value)
                ran[mark] += 1
                passed[mark] += report.passed
    contract = [
        f"{provider} {passed[mark]}/{ran[mark]} ({SERVERS.get(provider, 'loopback')})"
        for mark in ran
        if mark[0] == "contract"
        for provider in [mark[1]]
    ]
    lines = [f"contract: {', '.join(sorted(contract))}"] if contract else []
    probes = {mark: f"{passed[mark]}/{ran[mark]}" for mark in ran if mark[0] == "containment"}
    providers = sorted({mark[1] for mark in probes})
    if providers:
        lines.append("containment: " + "".join(f"{provider:>14}" for provider in providers))
        for topic in sorted({mark[2] for mark in probes}):
            row = "".join(f"{probes.get(('containment', provider, topic), '-'):>14}" for provider in providers)
            lines.append(f"  {topic:<11}{row}")
    return lines
