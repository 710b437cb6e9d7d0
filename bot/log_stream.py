"""Standard error for a log that must not fail whoever writes to it."""

import io
import sys
from contextlib import suppress


class LogStream(io.TextIOBase):
    """A full disk or a closed pipe at the other end costs lines of the log, not deliveries and jobs."""

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
