"""The host's side of the wire, with a helper that lies: sizes, order and contents are never believed."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bot.domain.errors import ProviderError
from bot.ports import BaseFile, Sandbox
from bot.sandboxes.limits import SandboxLimits
from bot.sandboxes.served import ServedSandbox

pytestmark = pytest.mark.anyio
LENGTHS = struct.Struct(">IQ")
ENDED = {"exit": 0, "timed_out": False, "truncated": False, "stdout": 0, "seconds": 0.1}


class Cord:
    """A lifeline that only notes whether it was cut."""

    def __init__(self) -> None:
        self.cut = False

    def kill(self) -> None:
        self.cut = True

    async def gone(self) -> None:
        assert self.cut

    async def leave(self) -> None:
        self.cut = True


def frame(header: object, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


@asynccontextmanager
async def sandbox_that_answers(*answers: bytes, grace_s: float = 30) -> AsyncIterator[tuple[ServedSandbox, Cord]]:
    """Each request gets the next of `answers`, whatever was asked; after the last one the helper is gone."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)

    async def helper() -> None:
        for answer in answers:
            header_bytes, body_bytes = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
            await reader.readexactly(header_bytes + body_bytes)
            writer.write(answer)
            await writer.drain()
        writer.write_eof()

    cord = Cord()
    playing = asyncio.create_task(helper())
    sandbox = ServedSandbox(
        id="job",
        provider="fake",
        streams=await asyncio.open_connection(sock=ours),
        lifeline=cord,
        environment={},
        limits=SandboxLimits().inside(),
        disks=(),
        wall_clock_s=60,
        grace_s=grace_s,
    )
    try:
        yield sandbox, cord
    finally:
        playing.cancel()
        await sandbox.close()
        writer.close()


async def run(sandbox: Sandbox) -> object:
    return await sandbox.exec(["true"], timeout_s=5, max_output_bytes=100)


async def read(sandbox: Sandbox) -> object:
    return await sandbox.read_file("a", max_bytes=100)


async def listing(sandbox: Sandbox) -> object:
    return await sandbox.list_files()


async def export(sandbox: Sandbox) -> object:
    return await sandbox.export_changes({"a": BaseFile("100644", "0" * 40)}, max_bytes=100)


LIES = [
    pytest.param(run, [], id="nothing"),
    pytest.param(run, [b"\0\0"], id="half-a-prefix"),
    pytest.param(run, [LENGTHS.pack(0xFFFFFFFF, 0)], id="header-of-4-GB"),
    pytest.param(run, [LENGTHS.pack(2, 1 << 60) + b"{}"], id="body-of-an-exabyte"),
    pytest.param(run, [frame(ENDED, b"x" * 5_000)], id="more-output-than-asked-for"),
    pytest.param(run, [LENGTHS.pack(3, 0) + b"{{{"], id="not-json"),
    pytest.param(run, [LENGTHS.pack(2, 0) + b"\xff\xff"], id="not-utf-8"),
    pytest.param(run, [LENGTHS.pack(200_000, 0) + b"[" * 200_000], id="nested-without-end"),
    pytest.param(run, [frame(["list"])], id="not-an-object"),
    pytest.param(run, [frame({})], id="no-exit-code"),
    pytest.param(run, [frame(ENDED | {"exit": "zero"})], id="exit-code-is-text"),
    pytest.param(run, [frame(ENDED | {"stdout": None})], id="no-length"),
    pytest.param(run, [frame(ENDED | {"exit": 1e400})], id="infinite-exit-code"),
    pytest.param(read, [frame({}, b"x" * 101)], id="a-larger-file-than-asked-for"),
    pytest.param(listing, [LENGTHS.pack(2, 1 << 40) + b"{}"], id="a-listing-of-a-terabyte"),
    pytest.param(export, [frame(ENDED), frame({}, b"")], id="too-few-states"),
    pytest.param(export, [frame(ENDED), frame({}, b"file\0")], id="half-a-state"),
    pytest.param(export, [frame(ENDED), frame({}, b"file 1 1 1\0"), frame({}, b"x")], id="no-mode"),
]


@pytest.mark.parametrize(("call", "answers"), LIES)
async def test_a_lie_ends_the_sandbox(call: Callable[[Sandbox], Awaitable[object]], answers: list[bytes]) -> None:
    async with sandbox_that_answers(*answers) as (sandbox, cord):
        with pytest.raises(ProviderError, match="fake: the sandbox is lost") as raised:
            await asyncio.wait_for(call(sandbox), 30)
        assert raised.value.retryable
        assert cord.cut
        with pytest.raises(ProviderError, match="lost"):
            await run(sandbox)


async def test_a_helper_that_is_silent_past_the_deadline_is_ended() -> None:
    async with sandbox_that_answers(b"", b"", grace_s=0.1) as (sandbox, cord):
        with pytest.raises(ProviderError, match="did not answer in time"):
            await asyncio.wait_for(sandbox.exec(["true"], timeout_s=0.1), 30)
        assert cord.cut


async def test_a_listing_cannot_name_what_is_outside() -> None:
    names = [b"ok", b"../x", b"/etc/x", b"a/../x", b".git/config", b"a/.git/x", b"", b"a//b", b"./x", b"a/./x"]
    async with sandbox_that_answers(frame({}, b"\0".join(names) + b"\0")) as (sandbox, _):
        assert await sandbox.list_files() == ("ok",)


async def test_a_file_said_to_differ_is_hashed_again_by_the_host() -> None:
    was = {"a": BaseFile("100644", "587be6b4c3f93f93c489c0111bba5596147a26cb")}  # "x\n"
    answers = frame(ENDED), frame({}, b"file 100644 1 " + b"0" * 40 + b"\0"), frame({"mode": "100644"}, b"x\n")
    async with sandbox_that_answers(*answers) as (sandbox, _):
        assert await sandbox.export_changes(was, max_bytes=100) == ()
