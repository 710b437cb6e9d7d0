"""APP_DATABASE__PORT=5432 becomes {"database": {"port": 5432}}."""

from collections.abc import Mapping
from typing import Any

PREFIX = "APP_"


def from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in env.items():
        if not name.startswith(PREFIX):
            continue
        *path, last = name[len(PREFIX) :].lower().split("__")
        place = found
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value_of(text)
    return found


def value_of(text: str) -> Any:
    """Numbers and yes or no as such, all else as text."""
    if text.isdigit():
        return int(text)
    return text
