"""The Modal stand-in's sandboxes, as the real SDK sees them."""

import asyncio
from collections.abc import AsyncIterator

import modal
import pytest

from tests.standins.modal.published import Published
from tests.standins.modal.server import ModalStandIn

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(modal_server: ModalStandIn) -> AsyncIterator[modal.Client]:
    modal_server.part(Published).publish("small")
    client = await modal.Client.from_credentials.aio("ak-1", "as-1")
    yield client
    await client.close.aio()


async def made(client: modal.Client, name: str, *, seconds: int = 60) -> modal.Sandbox:
    app = await modal.App.lookup.aio("stand-in", client=client, create_if_missing=True)
    image = modal.Image.from_name("small", client=client)
    return await modal.Sandbox.create.aio(
        "sleep", "600", app=app, name=name, image=image, client=client, timeout=seconds
    )


async def test_a_command_is_fed_and_heard(client: modal.Client) -> None:
    sandbox = await made(client, "fed")
    process = await sandbox.exec.aio("cat", text=False)
    process.stdin.write(b"a\xff")
    process.stdin.write_eof()
    await process.stdin.drain.aio()
    assert await process.stdout.read.aio() == b"a\xff"
    assert await process.wait.aio() == 0
    await sandbox.terminate.aio()


async def test_a_command_past_its_time_ends_with_minus_one(client: modal.Client) -> None:
    sandbox = await made(client, "late")
    process = await sandbox.exec.aio("sleep", "100", timeout=1, text=False)
    assert await process.wait.aio() == -1
    await sandbox.terminate.aio()


async def test_names_are_unique_among_the_living(client: modal.Client) -> None:
    first = await made(client, "one-name")
    with pytest.raises(modal.exception.AlreadyExistsError):
        await made(client, "one-name")
    again = await modal.Sandbox.from_name.aio("stand-in", "one-name", client=client)
    assert again.object_id == first.object_id
    await first.terminate.aio(wait=True)
    with pytest.raises(modal.exception.NotFoundError):
        await modal.Sandbox.from_name.aio("stand-in", "one-name", client=client)
    second = await made(client, "one-name")
    await second.terminate.aio()


async def test_a_sandbox_ends_at_its_time_out(client: modal.Client) -> None:
    sandbox = await made(client, "short", seconds=1)
    with pytest.raises(modal.exception.SandboxTimeoutError):
        await sandbox.wait.aio()


async def test_a_snapshot_holds_what_was_written(client: modal.Client) -> None:
    sandbox = await made(client, "before")
    await (await sandbox.exec.aio("sh", "-c", "echo kept > /root/file", text=False)).wait.aio()
    image = await sandbox.snapshot_filesystem.aio(ttl=60)
    app = await modal.App.lookup.aio("stand-in", client=client)
    later = await modal.Sandbox.create.aio("sleep", "600", app=app, image=image, client=client)
    process = await later.exec.aio("cat", "/root/file", text=False)
    assert await process.stdout.read.aio() == b"kept\n"
    await asyncio.gather(sandbox.terminate.aio(), later.terminate.aio())
