"""Sums up an access log; see README.md."""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass
class Sum:
    requests: int = 0
    bytes: int = 0
    slowest_ms: float = 0.0
    errors: int = 0


def summed(lines: Iterable[str]) -> dict[str, Sum]:
    """Path (without its query) to what was seen of it."""
    sums: dict[str, Sum] = {}
    for line in lines:
        time, method, path, status, size, took = line.split(" ")
        one = sums.setdefault(path, Sum())
        one.requests += 1
        one.bytes += int(size)
        one.slowest_ms = max(one.slowest_ms, float(took))
        if int(status) > 500:
            one.errors += 1
    return sums


def table(sums: dict[str, Sum], top: int) -> list[str]:
    """The busiest paths first, as lines of text."""
    ranked = sorted(sums.items(), key=lambda item: item[1].requests)
    rows = [f"{'requests':>8} {'bytes':>10} {'slowest':>8} {'errors':>6} path"]
    for path, one in ranked[:top]:
        rows.append(f"{one.requests:>8} {one.bytes:>10} {one.slowest_ms:>8.0f} {one.errors:>6} {path}")
    return rows


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="logsum", description=__doc__)
    parser.add_argument("log")
    parser.add_argument("--top", type=int, default=10, help="how many paths to show")
    given = parser.parse_args(arguments)
    with open(given.log) as log:
        sums = summed(log)
    print("\n".join(table(sums, given.top)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
