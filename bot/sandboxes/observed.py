"""What the proxy beside setup commands tells of hosts that the provider's own rules keep away: text of strangers."""

import json
import re
from collections.abc import Sequence
from typing import Any

from bot.sandboxes.cage import HELPER
from bot.sandboxes.egress import PORTS
from bot.sandboxes.proxy import HOST, MOST_REFUSED

NOTES = "/tmp/.backspace-refused"  # commands write there too, if they like
MAX_NOTES_BYTES = 64 << 10
READ_NOTES = ("sh", "-c", f"head -c {MAX_NOTES_BYTES} {NOTES}; rm -rf {NOTES}")
LINE = re.compile(rf"({HOST.pattern})(:[0-9]{{1,5}})?")


def rules(names: Sequence[str]) -> dict[str, Any]:
    """As inside/observing.py takes them."""
    return {"names": list(names), "ports": list(PORTS), "notes": NOTES}


def observer(names: Sequence[str]) -> tuple[str, str]:
    """A Python program that landed with the helper and becomes the command, and its first argument."""
    return f"{HELPER}/bot/sandboxes/inside/observing.py", json.dumps(rules(names))


def told(notes: bytes) -> tuple[str, ...]:
    """Host names, or `host:port`, each once, in order; a line that is none of these is left out."""
    lines = notes[:MAX_NOTES_BYTES].decode("ascii", "replace").split("\n")
    return tuple(dict.fromkeys(line for line in lines if LINE.fullmatch(line)))[:MOST_REFUSED]
