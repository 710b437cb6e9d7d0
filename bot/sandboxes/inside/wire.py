"""One frame between the bot and the helper inside a sandbox: two lengths, a JSON header, a body."""

from __future__ import annotations

import json
import struct
from typing import Any

Header = dict[str, Any]
Frame = tuple[Header, bytes]

LENGTHS = struct.Struct(">IQ")  # bytes of the header, bytes of the body
MAX_HEADER_BYTES = 4 << 20  # argv and environment together may be 2 MiB on Linux; JSON escapes can double them


def lengths(prefix: bytes) -> tuple[int, int]:
    """Bytes of header and body as the other side claims them: check both before reading on."""
    header, body = LENGTHS.unpack(prefix)
    return header, body


def packed(header: Header, body_bytes: int) -> bytes:
    """Everything of a frame that comes before its body."""
    text = json.dumps(header).encode("ascii")
    return LENGTHS.pack(len(text), body_bytes) + text


def header_of(text: bytes) -> Header:
    """Raises ValueError for anything but a JSON object."""
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError("a frame's header must be a JSON object")
    return header
