"""Ctrl-C, `kill` and a closed terminal end the work of a command first, and only then the command."""

import asyncio
import os
import signal
from typing import Any

INTERRUPTED = 130  # the exit code of what Ctrl-C or `kill` ended


async def interrupted(working: "asyncio.Task[Any]") -> bool:
    """Waits for the work. The first signal ends only that; one after it, or after the work, ends the command,
    by CancelledError."""
    loop, command = asyncio.get_running_loop(), asyncio.current_task()
    pressed: list[bool] = []
    on_terminal = [stream for stream in (1, 2) if os.isatty(stream)]

    def press() -> None:
        task = command if pressed or working.done() else working
        pressed.append(True)
        if task is not None:
            task.cancel()

    def hang_up() -> None:
        """What is still to be said is said to nobody, but does not fail."""
        with open(os.devnull, "wb") as nowhere:
            for stream in on_terminal:
                os.dup2(nowhere.fileno(), stream)
        press()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, press)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        loop.add_signal_handler(signal.SIGHUP, hang_up)
    try:
        await asyncio.wait({working})
    finally:
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
    return working.cancelled()
