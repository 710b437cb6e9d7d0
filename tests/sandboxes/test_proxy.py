"""The way out of the setup phase: who may be reached, by the rules alone, over real sockets, and out of a sandbox."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from bot.domain.errors import ProviderError
from bot.domain.hosts import host_pattern, is_on
from bot.ports import Sandbox
from bot.sandboxes.bubblewrap import Bubblewrap
from bot.sandboxes.egress import Destination, WayOut, is_allowed, may_connect
from bot.sandboxes.handed import HandedNetwork
from bot.sandboxes.proxy import AllowListProxy, Dialer
from tests.polling import until
from tests.sandboxes.contract import sh

pytestmark = pytest.mark.anyio
PUBLIC = "93.184.216.34"
LIST = ("index.example", "*.hosted.example")


# ------------------------------------------------------------------ the rules


@pytest.mark.parametrize(
    "name", ["index.example", "a-b.c1.example", "*.example.org", "Index.example.", "xn--bcher-kva.example"]
)
def test_a_host_name_can_be_written_into_the_list(name: str) -> None:
    assert host_pattern(name) == name.lower().removesuffix(".")


@pytest.mark.parametrize(
    "name",
    ["", "localhost", "10.0.0.1", "0x7f.1", "[::1]", "*.com", "*", "a..b", "-a.b", "a.b:443", "https://a.b", "a b.c",
     "a.*.b", "*a.b.c", "bücher.example", "a" * 64 + ".com", "a." * 130 + "com", "a.b/c", "u@a.b", "1.0x1f"],
)  # fmt: skip
def test_what_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="should"):
        host_pattern(name)


@pytest.mark.parametrize(
    ("name", "port", "allowed"),
    [
        pytest.param("index.example", 443, True, id="on-the-list"),
        pytest.param("index.example", 80, True, id="plain-http"),
        pytest.param("files.hosted.example", 443, True, id="subdomain"),
        pytest.param("a.b.hosted.example", 443, True, id="subdomain-of-a-subdomain"),
        pytest.param("hosted.example", 443, False, id="the-star-is-not-the-name-itself"),
        pytest.param("evil-hosted.example", 443, False, id="ends-in-the-same-letters"),
        pytest.param("index.example.evil.example", 443, False, id="begins-with-it"),
        pytest.param("xindex.example", 443, False, id="longer"),
        pytest.param("example.org", 443, False, id="not-on-the-list"),
        pytest.param("index.example", 22, False, id="port-22"),
        pytest.param("index.example", 8443, False, id="port-8443"),
        pytest.param(PUBLIC, 443, False, id="a-number"),
        pytest.param("nexus.corp.example", 8081, True, id="operators-own"),
        pytest.param("nexus.corp.example", 443, False, id="operators-own-on-another-port"),
    ],
)
def test_who_may_be_reached(name: str, port: int, allowed: bool) -> None:
    way_out = WayOut(own_hosts=(("nexus.corp.example", 8081),))
    assert is_allowed(Destination(name, port), LIST, way_out) is allowed


@pytest.mark.parametrize(
    ("address", "public", "operators"),
    [
        (PUBLIC, True, True),
        ("2606:2800:220:1::1", True, True),
        ("127.0.0.1", False, True),
        ("10.1.2.3", False, True),
        ("172.16.0.1", False, True),
        ("192.168.1.1", False, True),
        ("100.64.0.1", False, True),
        ("169.254.169.254", False, False),
        ("0.0.0.0", False, False),
        ("224.0.0.1", False, False),
        ("255.255.255.255", False, True),
        ("::1", False, True),
        ("::", False, False),
        ("fe80::1%eth0", False, False),
        ("fd00:ec2::254", False, True),
        ("::ffff:127.0.0.1", False, True),
        ("::ffff:169.254.169.254", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("2002:7f00:1::1", False, True),
        ("ff02::1", False, False),
        ("not an address", False, False),
    ],
)
def test_where_a_name_may_lead(address: str, public: bool, operators: bool) -> None:
    """Red without the look into mapped, 6to4 and NAT64 addresses."""
    assert may_connect(address, operators=False) is public
    assert may_connect(address, operators=True) is operators


# ------------------------------------------------------------------ the proxy over real sockets


@dataclass
class Internet:
    """Names and addresses of its own; every address is this server on loopback, which repeats what it hears."""

    names: dict[str, list[str]]
    dialled: list[tuple[str, int]] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)
    answer: bytes = b""
    port: int = 0

    async def resolve(self, name: str, port: int) -> Sequence[str]:
        self.looked_up.append(name)
        if name not in self.names:
            raise OSError("no such name")
        return self.names[name]

    async def connect(self, address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.dialled.append((address, port))
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65_536):
                self.heard.append(chunk)
                writer.write(self.answer or chunk)
                await writer.drain()
                if self.answer:
                    break
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def internet(**names: list[str]) -> AsyncIterator[Internet]:
    world = Internet({name.replace("_", "."): addresses for name, addresses in names.items()})
    server = await asyncio.start_server(world.serve, "127.0.0.1", 0)
    world.port = server.sockets[0].getsockname()[1]
    try:
        yield world
    finally:
        server.close()


HEAD = b"\r\n\r\n"


class Ask(Protocol):
    async def __call__(self, request: bytes, *, until: bytes = b"") -> bytes:
        """What is said up to these bytes, or to the end of the connection; without such an end it stays open."""
        ...


@asynccontextmanager
async def proxied(world: Internet, way_out: WayOut | None = None) -> AsyncIterator[tuple[AllowListProxy, Ask]]:
    """The proxy, and what it answers to bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    address = listener.getsockname()
    proxy = AllowListProxy(LIST, way_out or WayOut(), dialer=Dialer(world.resolve, world.connect))
    await proxy.serve(listener)

    opened: list[asyncio.StreamWriter] = []

    async def ask(request: bytes, *, until: bytes = b"") -> bytes:
        reader, writer = await asyncio.open_connection(*address)
        opened.append(writer)
        writer.write(request)
        said = b""
        with suppress(ConnectionError):
            while piece := await asyncio.wait_for(reader.read(65_536), 30):
                said += piece
                if until and until in said:
                    break
        return said

    try:
        yield proxy, ask
    finally:
        await proxy.close()
        for writer in opened:
            writer.close()


def connect(place: str) -> bytes:
    return f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode()


def status(answer: bytes) -> str:
    return answer.split(b"\r\n", 1)[0].decode()


async def test_a_host_on_the_list_is_reached_at_the_address_that_was_checked() -> None:
    async with internet(index_example=[PUBLIC]) as world, proxied(world) as (proxy, ask):
        answer = await ask(connect("Index.example.:443") + b"hello", until=b"hello")
        assert answer == b"HTTP/1.1 200 Connection established\r\n\r\nhello"
        assert (world.looked_up, world.dialled) == (["index.example"], [(PUBLIC, 443)])
        assert await proxy.close() == ()


@pytest.mark.parametrize(
    ("place", "refused"),
    [
        ("example.org:443", "example.org"),
        ("index.example:22", "index.example:22"),
        ("169.254.169.254:80", "169.254.169.254"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("localhost:5432", "localhost:5432"),
    ],
)
async def test_everybody_else_is_refused_without_a_look_up_and_named_once(place: str, refused: str) -> None:
    """Red when names or ports are not asked for (`is_allowed` answers True): seen."""
    async with internet() as world, proxied(world) as (proxy, ask):
        for _ in range(2):
            assert status(await ask(connect(place))) == "HTTP/1.1 403 Forbidden"
        assert (world.looked_up, world.dialled) == ([], [])
        assert await proxy.close() == (refused,)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1"])
async def test_a_listed_name_that_leads_to_a_private_address_is_refused(address: str) -> None:
    """Red when addresses are not judged (`may_connect` answers True): seen."""
    async with internet(index_example=[address]) as world, proxied(world) as (proxy, ask):
        assert status(await ask(connect("index.example:443"))) == "HTTP/1.1 403 Forbidden"
        assert world.dialled == []
        assert await proxy.close() == ("index.example at no public address",)


async def test_of_several_addresses_only_the_public_ones_are_tried() -> None:
    async with internet(index_example=["10.0.0.1", PUBLIC]) as world, proxied(world) as (_, ask):
        assert status(await ask(connect("index.example:443"), until=HEAD)) == "HTTP/1.1 200 Connection established"
        assert world.dialled == [(PUBLIC, 443)]


async def test_a_name_nobody_knows_is_a_bad_gateway() -> None:
    async with internet() as world, proxied(world) as (proxy, ask):
        assert status(await ask(connect("index.example:443"))) == "HTTP/1.1 502 Bad Gateway"
        assert await proxy.close() == ()


async def test_a_plain_request_goes_out_once_with_the_host_that_was_checked() -> None:
    """Red when the sandbox's own Host header is passed on, or a second request on the same connection."""
    async with internet(index_example=[PUBLIC]) as world, proxied(world) as (_, ask):
        world.answer = b"HTTP/1.1 200 OK\r\n\r\nbody"
        second = b"GET http://index.example/second HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        request = (
            b"GET http://index.example/simple/x/ HTTP/1.1\r\nHost: evil.example\r\nAccept: */*\r\n"
            b"Proxy-Connection: keep-alive\r\nConnection: keep-alive\r\n\r\n"
        )
        assert await ask(request + second) == b"HTTP/1.1 200 OK\r\n\r\nbody"
        assert world.heard == [
            b"GET /simple/x/ HTTP/1.1\r\nHost: index.example\r\nConnection: close\r\nAccept: */*\r\n\r\n"
        ]
        assert world.dialled == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    ("request_bytes", "answer"),
    [
        pytest.param(b"POST http://index.example/ HTTP/1.1\r\n\r\n", "405 Method Not Allowed", id="post"),
        pytest.param(b"GET /etc/passwd HTTP/1.1\r\n\r\n", "405 Method Not Allowed", id="origin-form"),
        pytest.param(
            b"GET https://index.example/ HTTP/1.1\r\n\r\n", "405 Method Not Allowed", id="https-without-connect"
        ),
        pytest.param(b"GET http://u:p@index.example/ HTTP/1.1\r\n\r\n", "405 Method Not Allowed", id="user"),
        pytest.param(b"CONNECT index.example HTTP/1.1\r\n\r\n", "400 Bad Request", id="no-port"),
        pytest.param(b"CONNECT index.example:0 HTTP/1.1\r\n\r\n", "400 Bad Request", id="port-0"),
        pytest.param(b"CONNECT index.example:99999999 HTTP/1.1\r\n\r\n", "400 Bad Request", id="port-too-large"),
        pytest.param(b"CONNECT [::1]:443 HTTP/1.1\r\n\r\n", "400 Bad Request", id="ipv6"),
        pytest.param(b"CONNECT index.example:443\r\nX: \n HTTP/1.1\r\n\r\n", "400 Bad Request", id="bare-newline"),
        pytest.param(b"GET http://index.example/ HTTP/1.1\r\nX: " + b"x" * 20_000, "431 Request Header", id="too-long"),
        pytest.param(b"\0\xff\xfe\r\n\r\n", "400 Bad Request", id="bytes"),
    ],
)
async def test_what_is_no_request_of_ours_is_turned_away(request_bytes: bytes, answer: str) -> None:
    async with internet(index_example=[PUBLIC]) as world, proxied(world) as (_, ask):
        assert status(await ask(request_bytes)).startswith(f"HTTP/1.1 {answer}")
        assert world.dialled == []


async def test_the_operators_own_hosts_may_be_private_on_their_port_but_not_the_metadata_service() -> None:
    way_out = WayOut(own_hosts=(("nexus.corp.example", 8081), ("meta.corp.example", 80)))
    names = {"nexus_corp_example": ["10.0.0.7"], "meta_corp_example": ["169.254.169.254"]}
    async with internet(**names) as world, proxied(world, way_out) as (_, ask):
        through = await ask(connect("nexus.corp.example:8081"), until=HEAD)
        assert status(through) == "HTTP/1.1 200 Connection established"
        assert status(await ask(connect("meta.corp.example:80"))) == "HTTP/1.1 403 Forbidden"
        assert world.dialled == [("10.0.0.7", 8081)]


async def test_the_cap_on_bytes_holds() -> None:
    """Red without it: the answer is whole."""
    async with internet(index_example=[PUBLIC]) as world, proxied(world, WayOut(max_bytes_in=100_000)) as (proxy, ask):
        world.answer = b"x" * 300_000
        assert len(await ask(connect("index.example:443") + b"more")) < 200_000
        assert await proxy.close() == ("too many bytes",)


async def test_the_cap_on_connections_holds() -> None:
    """Red without it: the second is let through."""
    way_out = WayOut(max_connections=1)
    async with internet(index_example=[PUBLIC]) as world, proxied(world, way_out) as (_, ask):
        first = await ask(connect("index.example:443"), until=HEAD)
        assert status(await ask(connect("index.example:443"))) == "HTTP/1.1 503 Service Unavailable"
        assert status(first) == "HTTP/1.1 200 Connection established"


async def test_the_operators_proxy_is_gone_through_with_its_password_which_stays_outside() -> None:
    said: list[bytes] = []

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" if b"CONNECT" in said[-1] else b"HTTP/1.1 200 OK\r\n\r\nplain")
        writer.write(await reader.read(100) if b"CONNECT" in said[-1] else b"")
        writer.close()

    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    way_out = WayOut(proxy=f"http://bot:p%40ss@127.0.0.1:{port}")
    async with internet() as world, proxied(world, way_out) as (proxy, ask):
        assert (await ask(connect("index.example:443") + b"hello")).endswith(b"\r\n\r\nhello")
        assert (await ask(b"GET http://index.example/a HTTP/1.1\r\n\r\n")).endswith(b"plain")
        assert status(await ask(connect("example.org:443"))) == "HTTP/1.1 403 Forbidden"
        assert world.looked_up == []
        assert await proxy.close() == ("example.org",)
    server.close()
    credential = b"Proxy-Authorization: Basic Ym90OnBAc3M=\r\n"
    assert said == [
        b"CONNECT index.example:443 HTTP/1.1\r\nHost: index.example:443\r\n" + credential + b"\r\n",
        b"GET http://index.example/a HTTP/1.1\r\nHost: index.example\r\nConnection: close\r\n" + credential + b"\r\n",
    ]


# ------------------------------------------------------------------ out of a real sandbox

FETCH = """
import os, sys, socket
place = sys.argv[1]
proxy = os.environ.get("HTTPS_PROXY", "http://127.0.0.1:9").removeprefix("http://").split(":")
try:
    with socket.create_connection((proxy[0], int(proxy[1])), timeout=30) as way:
        way.sendall(f"CONNECT {place} HTTP/1.1\\r\\n\\r\\n".encode())
        head = way.recv(4096)
        if b" 200 " in head.split(b"\\r\\n")[0]:
            way.sendall(b"ping")
            head = way.recv(4096)
        print(head.split(b"\\r\\n")[0].decode())
except OSError as error:
    print(type(error).__name__)
"""


@asynccontextmanager
async def opened(world: Internet, way_out: WayOut | None = None) -> AsyncIterator[Sandbox]:
    provider = Bubblewrap(way_out=way_out or WayOut(), dialer=Dialer(world.resolve, world.connect))
    sandbox = await provider.open("setup")
    try:
        yield sandbox
    finally:
        await sandbox.close()


async def fetched(sandbox: Sandbox, place: str) -> str:
    result = await sandbox.exec(["/usr/bin/python3", "-c", FETCH, place], timeout_s=60)
    assert result.exit_code == 0, result.stderr
    return result.stdout.decode().strip()


async def test_a_sandbox_reaches_what_is_on_the_list_and_after_the_end_nothing() -> None:
    """Red in the agent phase when `end_network` leaves the proxy's listener open: seen."""
    async with internet(index_example=[PUBLIC]) as world, opened(world) as sandbox:
        assert await fetched(sandbox, "index.example:443") == "ConnectionRefusedError"
        await sandbox.allow_network(LIST)
        assert await fetched(sandbox, "index.example:443") == "ping"
        assert await fetched(sandbox, "example.org:443") == "HTTP/1.1 403 Forbidden"
        assert await fetched(sandbox, "index.example:22") == "HTTP/1.1 403 Forbidden"
        port = (await sh(sandbox, "printenv HTTPS_PROXY")).strip().rsplit(":", 1)[1]
        assert await sandbox.end_network() == ("example.org", "index.example:22")
        assert await sh(sandbox, "env | grep -i proxy || true") == ""
        known = {"HTTPS_PROXY": f"http://127.0.0.1:{port}"}
        probe = await sandbox.exec(["/usr/bin/python3", "-c", FETCH, "index.example:443"], env=known, timeout_s=60)
        assert probe.stdout == b"ConnectionRefusedError\n"
        assert await sh(sandbox, 'awk \'$4 != "06" && $4 != "st"\' /proc/net/tcp /proc/net/tcp6') == ""  # 06: TIME_WAIT
        with pytest.raises(ProviderError, match="not any more"):
            await sandbox.allow_network(LIST)


FETCH_TLS = """
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile="authority.pem")
for place in sys.argv[1:]:
    try:
        with urllib.request.urlopen(place, timeout=30, context=context) as answer:
            print(answer.read().decode())
    except OSError as error:
        print(error)
"""


async def test_a_client_of_tls_talks_to_the_host_itself(tmp_path: Path) -> None:
    """The certificate is the host's own: the proxy carries bytes it cannot read."""
    key, certificate = str(tmp_path / "key.pem"), tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    named = ["-subj", "/CN=index.example", "-addext", "subjectAltName=DNS:index.example"]
    made = await asyncio.create_subprocess_exec(
        *make, *named, "-keyout", key, "-out", str(certificate), stderr=asyncio.subprocess.DEVNULL
    )
    assert await made.wait() == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(page, "127.0.0.1", 0, ssl=context)
    async with internet(index_example=[PUBLIC]) as world, opened(world) as sandbox:
        world.port = server.sockets[0].getsockname()[1]
        await sandbox.allow_network(LIST)
        await sandbox.write_file("authority.pem", certificate.read_bytes())
        places = ["https://index.example/simple/", "https://example.org/"]
        said = await python(sandbox, FETCH_TLS, *places)
        assert said == "hello\n<urlopen error Tunnel connection failed: 403 Forbidden>"
        assert world.dialled == [(PUBLIC, 443)]
        assert await sandbox.end_network() == ("example.org",)
    server.close()


async def python(sandbox: Sandbox, script: str, *arguments: str) -> str:
    result = await sandbox.exec(["/usr/bin/python3", "-c", script, *arguments], timeout_s=90)
    assert result.exit_code == 0, result.stderr
    return result.stdout.decode().strip()


async def test_in_the_setup_phase_there_is_no_other_way_out() -> None:
    """No route, no name service: the proxy is all there is. Red with --share-net."""
    async with internet() as world, opened(world) as sandbox:
        await sandbox.allow_network(LIST)
        assert await sh(sandbox, "tail -n +2 /proc/net/route; tail -n +3 /proc/net/dev | grep -v lo: || true") == ""
        direct = "import socket\nfor a in (('1.1.1.1', 53), ('10.0.0.1', 80)):\n try: socket.create_connection(a, 2)\n"
        direct += " except OSError as error: print(error.errno)\n"
        assert await sh(sandbox, f'/usr/bin/python3 -c "{direct}"') == "101\n101\n"


async def test_no_process_of_the_setup_phase_is_alive_afterwards() -> None:
    """A daemon that leaves its session and ignores signals. Red when a command's tree is not ended: seen."""
    async with internet(index_example=[PUBLIC]) as world, opened(world) as sandbox:
        await sandbox.allow_network(LIST)
        daemon = "trap '' TERM HUP INT; setsid sh -c 'while true; do sleep 1; done' > /dev/null 2>&1 & sleep 0.2"
        await sh(sandbox, daemon)
        await sandbox.end_network()
        assert await sh(sandbox, "set -- /proc/[0-9]*; echo $#") == "2\n"  # helper, sh


async def test_an_open_connection_does_not_outlive_the_phase() -> None:
    """A command that still talks when the network ends hears no more."""
    async with internet(index_example=[PUBLIC]) as world, opened(world) as sandbox:
        await sandbox.allow_network(LIST)
        talk = FETCH.replace(
            "head = way.recv(4096)\n        print", 'way.recv(4096); head = way.recv(4096) or b"ended"\n        print'
        )
        talking = asyncio.create_task(sandbox.exec(["/usr/bin/python3", "-c", talk, "index.example:443"], timeout_s=60))
        await until(lambda: world.heard == [b"ping"])
        await sandbox.end_network()
        result = await talking
        assert result.stdout.decode().strip() in ("ended", "ConnectionResetError")


async def test_without_the_operators_leave_there_is_no_network() -> None:
    sandbox = await Bubblewrap().open("setup")
    with pytest.raises(ProviderError, match="no network"):
        await sandbox.allow_network(LIST)
    assert await sandbox.end_network() == ()
    await sandbox.close()


def datagram() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("127.0.0.1", 0))
    return one


@pytest.mark.parametrize(
    "handed", [pytest.param(datagram, id="udp"), pytest.param(lambda: socket.socket(), id="not-listening"),
               pytest.param(lambda: os.fdopen(os.memfd_create("x")), id="no-socket")],
)  # fmt: skip
async def test_what_a_lying_helper_hands_over_is_not_served(handed: Callable[[], socket.socket]) -> None:
    ours, theirs = socket.socketpair()
    with handed() as wrong, theirs:
        socket.send_fds(theirs, [b"x"], [wrong.fileno()])
        network = HandedNetwork(ours, provider="test", way_out=WayOut())
        with pytest.raises(ProviderError, match="got no network"):
            await network.open(LIST)
        assert await network.close() == ()


def test_the_list_is_asked_by_whole_labels() -> None:
    assert is_on("a.example.org", ["*.example.org"])
    assert not is_on("aexample.org", ["*.example.org"])
