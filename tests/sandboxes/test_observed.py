"""The proxy beside setup commands, as its own process with real sockets, and what is believed of its notes."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.sandboxes.egress import PORTS, Destination, WayOut, is_allowed
from bot.sandboxes.inside import observing
from bot.sandboxes.observed import rules, told

pytestmark = pytest.mark.anyio
LIST = ("index.example", "*.hosted.example")


@pytest.mark.parametrize(
    "name", ["index.example", "a.hosted.example", "hosted.example", "xhosted.example", "b.example"]
)
@pytest.mark.parametrize("port", [80, 443, 22])
def test_the_proxy_inside_judges_as_the_one_outside(tmp_path: Path, name: str, port: int) -> None:
    allowed = is_allowed(Destination(name, port), LIST, WayOut())
    notes = tmp_path / "notes"
    with observing.Proxy(rules(LIST) | {"notes": str(notes)}) as proxy:
        assert proxy.allows(name, port) is allowed
    shown = Destination(name, port).shown
    assert (notes.read_text() if notes.exists() else "") == ("" if allowed else f"{shown}\n")


@pytest.mark.parametrize(
    ("notes", "names"),
    [
        pytest.param(b"", (), id="none"),
        pytest.param(b"a.example\nb.example:22\na.example\n", ("a.example", "b.example:22"), id="each-once"),
        pytest.param(
            b"a b\n[x](http://y)\n@everyone\n\xff\n<img>\n\nx.example", ("x.example",), id="text-of-strangers"
        ),
        pytest.param(b"x" * 254 + b"\n" + b"y" * 253, ("y" * 253,), id="too-long"),
        pytest.param(b"a:123456\n:1\na:\na:b\n", (), id="no-port"),
        pytest.param(b"".join(b"h%d\n" % n for n in range(60)), tuple(f"h{n}" for n in range(50)), id="too-many"),
        pytest.param(b"\n" * (1 << 20) + b"late", (), id="too-much"),
    ],
)
def test_notes_are_host_names_or_nothing(notes: bytes, names: tuple[str, ...]) -> None:
    """Red when every line is believed: seen."""
    assert told(notes) == names


@asynccontextmanager
async def origin() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A host on the list: its port, and what it was asked."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


async def observed(notes: Path, ports: list[int], *argv: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Its exit code and output; the proxy ends with it here as the helper ends what a command leaves."""
    wanted: dict[str, Any] = {"names": ["localhost"], "ports": ports, "notes": str(notes)}
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", observing.__file__, json.dumps(wanted), *argv),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], **(env or {})},
        start_new_session=True,
    )
    try:
        output, _ = await asyncio.wait_for(command.communicate(), 90)
    finally:
        os.killpg(command.pid, signal.SIGKILL)
    assert command.returncode is not None
    return command.returncode, output.decode()


ASKING = """
import os, socket, sys, urllib.parse
for request in sys.argv[1:]:
    proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
    with socket.create_connection((proxy.hostname, proxy.port), 30) as one:
        head, _, rest = request.partition("|")
        one.sendall(f"{head} HTTP/1.1\\r\\nHost: x\\r\\nProxy-Connection: keep-alive\\r\\nX: y\\r\\n\\r\\n".encode())
        said = b""
        while rest and b"\\r\\n\\r\\n" not in said:
            said += one.recv(1)
        one.sendall(rest.encode())
        while piece := one.recv(1000):
            said += piece
    print(said.split(b"\\r\\n")[0].decode().split(" ")[1], b"hello" in said)
"""


async def test_a_command_reaches_what_is_on_the_list_and_the_rest_is_noted(tmp_path: Path) -> None:
    async with origin() as (port, asked):
        requests = (
            f"CONNECT localhost:{port}|GET / HTTP/1.1\r\n\r\n",
            f"GET http://LOCALHOST.:{port}/a?b=c",
            "CONNECT evil.example:443",
            "GET http://evil.example:99/",
            "CONNECT localhost:443",
            "CONNECT nowhere",
            "POST http://evil.example/",
        )
        ended = await observed(tmp_path / "notes", [port, 443], sys.executable, "-c", ASKING, *requests)
    answers = ["200 True", "200 True", "403 False", "403 False", "502 False", "400 False", "501 False"]
    assert ended == (0, "".join(f"{answer}\n" for answer in answers))
    assert asked[0] == b"GET / HTTP/1.1\r\n\r\n"
    assert asked[1].startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert b"Proxy-Connection" not in asked[1]
    assert (tmp_path / "notes").read_text() == "evil.example\nevil.example:99\n"


@pytest.mark.parametrize(
    ("argv", "exit_code", "output"),
    [
        pytest.param(["sh", "-c", "wait; echo done; exit 7"], 7, "done\n", id="its-own-and-no-child-it-did-not-make"),
        pytest.param(["sh", "-c", "kill -KILL $$"], -9, "", id="a-signal"),
        pytest.param(["no-such-program"], 127, "no-such-program: No such file or directory\n", id="no-such-program"),
        pytest.param(["/"], 126, "/: Permission denied\n", id="not-a-program"),
        pytest.param(["sh", "-c", "echo $HTTPS_PROXY"], 0, "http://own\n", id="an-environment-of-its-own"),
    ],
)
async def test_a_command_that_is_observed_ends_as_it_would_alone(
    tmp_path: Path, argv: list[str], exit_code: int, output: str
) -> None:
    environment = {"HTTPS_PROXY": "http://own"}
    assert await observed(tmp_path / "notes", list(PORTS), *argv, env=environment) == (exit_code, output)
