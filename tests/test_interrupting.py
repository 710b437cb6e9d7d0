"""Signals while a command works, and after."""

import asyncio
import os
import signal

import pytest

from bot.interrupting import interrupted
from tests.polling import WITHIN_S


@pytest.mark.usefixtures("hangs_up")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_after_the_work_ends_the_command(number: signal.Signals) -> None:
    """Red when it ends only the work, which is over: nobody can end what the command does after it (seen)."""

    async def command() -> None:
        assert not await interrupted(asyncio.create_task(asyncio.sleep(0)))
        os.kill(os.getpid(), number)
        await asyncio.sleep(WITHIN_S)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(command())
