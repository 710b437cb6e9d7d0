"""Where settings come from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from settings.environment import from_environment
from settings.merging import merged

DEFAULTS: dict[str, Any] = {
    "debug": False,
    "database": {"host": "localhost", "port": 5432, "timeout": 1.5},
    "features": {"search": True, "export": False},
}


def load(file: Path | None = None, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The settings in force. A file that is named must exist."""
    settings = DEFAULTS
    if file is not None:
        settings = merged(settings, json.loads(file.read_text(encoding="utf-8")))
    return merged(settings, from_environment(env or {}))
