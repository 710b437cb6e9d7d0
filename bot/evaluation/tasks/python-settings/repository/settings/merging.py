"""Nested dictionaries laid over each other."""

from typing import Any


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` wins; dictionaries are merged key by key."""
    result = below
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result
