"""GitHub's answers read field by field: tolerant of what is new, clear about what is missing."""

from collections.abc import Mapping
from typing import TypeVar

from bot.domain.errors import ProviderError

T = TypeVar("T")


def field(data: object, *path: str) -> object:
    """What lies at `path`, None where there is nothing."""
    for name in path:
        if not isinstance(data, Mapping):
            return None
        data = data.get(name)
    return data


def text(data: object, *path: str) -> str:
    return _of(str, data, path)


def number(data: object, *path: str) -> int:
    return _of(int, data, path)


def flag(data: object, *path: str) -> bool:
    return _of(bool, data, path)


def items(data: object, *path: str) -> list[object]:
    return _of(list, data, path)


def _of(kind: type[T], data: object, path: tuple[str, ...]) -> T:
    value = field(data, *path)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        where = ".".join(path) or "the top"
        raise ProviderError("github", f"an answer without the {kind.__name__} expected at {where}", retryable=True)
    return value
