"""Host names as people write them into an allow-list, and whether a host is on it."""

import re
from collections.abc import Iterable

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?:\*\.)?(?:{_LABEL}\.)+{_LABEL}")
_ONLY_DIGITS = re.compile(r"[0-9]+|0x[0-9a-f]*")
LONGEST = 253  # characters of a name in the DNS
NOT_PUBLIC = " at no public address"  # behind a host on the list that was refused all the same


def host_pattern(text: str) -> str:
    """An allow-list's entry: a whole name, or `*.` and a name of two parts or more for its subdomains.

    Lower case. Raises ValueError, worded for who wrote it.
    """
    name = text.strip().lower().removesuffix(".")
    if name.startswith("*.") and name.count(".") < 2:
        raise ValueError("should name more than a top-level domain after `*.`")
    if len(name) > LONGEST or not _NAME.fullmatch(name) or _ONLY_DIGITS.fullmatch(name.rsplit(".", 1)[-1]):
        raise ValueError("should be a host name such as packages.example.org, or *.example.org for its subdomains")
    return name


def is_on(name: str, patterns: Iterable[str]) -> bool:
    """Whether an entry of the list is exactly this name, or the `*.` of a name above it."""
    return any(name.endswith(one[1:]) if one.startswith("*.") else name == one for one in patterns)
