"""Between a channel that carries lines of text and the helper: bytes both ways in base64, one piece a line.

Run by a sandbox's root, whose processes commands can neither signal nor trace. What it says begins with a mark of the
bot's, since a shell's prompt or a terminal's echo may come before.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
import tty

CHUNK = 49_152  # becomes 64 KiB
LAST_WORDS = 600


class Relay:
    def __init__(self, mark: str, argv: list[str]) -> None:
        self._mark = mark.encode()
        pipe = subprocess.PIPE
        self._helper = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
        self._complaint = b""

    def run(self) -> None:
        """Ends when the helper does, or when the channel is gone."""
        if os.isatty(0):
            tty.setraw(0)
        os.write(1, b"\n")
        self._say(b"+", b"")
        threading.Thread(target=self._inward, daemon=True).start()
        complaining = threading.Thread(target=self._complain, daemon=True)
        complaining.start()
        assert self._helper.stdout is not None
        while piece := os.read(self._helper.stdout.fileno(), CHUNK):
            self._say(b"+", piece)
        complaining.join(1)
        self._say(b"!", self._complaint)

    def _inward(self) -> None:
        assert self._helper.stdin is not None
        try:
            for line in sys.stdin.buffer:
                if line == b"\n":  # the bot leaves
                    break
                view = memoryview(base64.b64decode(line))
                while view:
                    view = view[self._helper.stdin.write(view) or 0 :]
        except (OSError, ValueError):
            pass
        self._helper.stdin.close()

    def _complain(self) -> None:
        assert self._helper.stderr is not None
        while piece := os.read(self._helper.stderr.fileno(), CHUNK):
            self._complaint = (self._complaint + piece)[-LAST_WORDS:]

    def _say(self, kind: bytes, content: bytes) -> None:
        view = memoryview(self._mark + kind + base64.b64encode(content) + b"\n")
        while view:
            view = view[os.write(1, view) :]


def main(mark: str, argv: list[str]) -> None:
    Relay(mark, argv).run()
    os._exit(0)  # one thread still waits for the channel
