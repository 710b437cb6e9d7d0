"""The Modal stand-in's functions, seen by the real SDK: spawned, tried again, cancelled, started again elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import modal
import pytest
from modal_proto import api_pb2

from tests.modal.town import cli
from tests.standins.modal.containers import Containers
from tests.standins.modal.functions import TERMINATED, Functions
from tests.standins.modal.server import ModalStandIn

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TRIES = """
import asyncio
import os
from pathlib import Path

import modal

app = modal.App("tries")
seen = modal.Secret.from_dict({"SEEN": "@SEEN@"})


def note(word: str) -> int:
    path = Path(os.environ["SEEN"], word)
    path.write_text(path.read_text() + "x" if path.exists() else "x")
    return len(path.read_text())


@app.function(secrets=[seen], retries=2)
def third_time_lucky() -> str:
    assert note("tried") == 3
    return "lucky"


@app.function(secrets=[seen], retries=1)
def unlucky() -> None:
    raise ValueError(f"try {note('failed')}")


@app.function(secrets=[seen])
async def patient(word: str) -> int:
    if note(word) == 1:
        await asyncio.Event().wait()
    return note(word)
"""
WITHIN_S = 60.0
Named = Callable[[str], modal.Function[..., Any, Any]]


@pytest.fixture
async def named(
    modal_server: ModalStandIn, tmp_path: Path
) -> AsyncIterator[Callable[[str], "modal.Function[..., object, object]"]]:
    (tmp_path / "tries.py").write_text(TRIES.replace("@SEEN@", str(tmp_path)))
    done = await asyncio.to_thread(cli, "deploy", "tries.py", standin=modal_server, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    client = await modal.Client.from_credentials.aio("ak-1", "as-1")
    yield lambda name: modal.Function.from_name("tries", name, client=client)
    await client.close.aio()


async def written(path: Path) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            if await asyncio.to_thread(path.exists):
                return
            await asyncio.sleep(0.02)


async def test_a_failure_is_tried_again_as_often_as_the_function_says(named: Named, tmp_path: Path) -> None:
    call = await named("third_time_lucky").spawn.aio()
    assert await call.get.aio(timeout=WITHIN_S) == "lucky"
    call = await named("unlucky").spawn.aio()
    with pytest.raises(ValueError, match="try 2"):
        await call.get.aio(timeout=WITHIN_S)


async def test_a_call_is_cancelled_in_its_container(named: Named, modal_server: ModalStandIn, tmp_path: Path) -> None:
    call = await named("patient").spawn.aio("cancelled")
    await written(tmp_path / "cancelled")
    await call.cancel.aio()
    with pytest.raises(modal.exception.RemoteError):
        await call.get.aio(timeout=WITHIN_S)
    assert modal_server.part(Functions).calls[call.object_id].result == api_pb2.GenericResult(status=TERMINATED)


async def test_what_a_killed_container_had_in_hand_goes_to_another(
    named: Named, modal_server: ModalStandIn, tmp_path: Path
) -> None:
    call = await named("patient").spawn.aio("killed")
    await written(tmp_path / "killed")
    containers, functions = modal_server.part(Containers), modal_server.part(Functions)
    (first,) = containers.of("patient")
    await containers.kill(first)
    assert await call.get.aio(timeout=WITHIN_S) == 3
    assert functions.calls[call.object_id].takers == [first.task_id, containers.of("patient")[0].task_id]
