"""The App's signature, and tokens: for one repository, with the least rights, renewed in time, revoked at the end."""

import asyncio
import gc
import json
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.domain.errors import NotFound, ProviderError, UserError
from bot.github.addresses import git_url
from bot.github.installation import App
from bot.standins.serving import serve
from tests.github.wire import NOW, REPO, Wire, answer, private_key

pytestmark = pytest.mark.anyio

MINT = "POST /app/installations/5/access_tokens"
PERMISSION = "GET /repos/acme/widget/collaborators/a/permission"
ROLE = answer(200, {"role_name": "write", "user": {"id": 1, "login": "a", "type": "User"}})


def public_key() -> bytes:
    key = load_pem_private_key(private_key().encode(), None).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


async def test_the_apps_login_is_asked_with_a_short_signed_jwt() -> None:
    wire = Wire().on("GET /app", answer(200, {"slug": "tiny-backspace"}))
    assert await wire.app().login() == "tiny-backspace[bot]"
    token = wire.requests[0].headers["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, public_key(), algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False})
    assert claims == {"iss": "42", "iat": int(NOW) - 60, "exp": int(NOW) + 540}


async def test_a_jwt_is_made_anew_before_it_ends() -> None:
    wire = Wire().on("GET /app", answer(200, {"slug": "x"}))
    app = wire.app()
    seen = []
    for seconds in (0, 400, 100):
        wire.now += seconds
        await app.login()
        seen.append(wire.requests[-1].headers["authorization"])
    assert seen[0] == seen[1] != seen[2]


async def test_a_token_opens_one_repository_with_four_rights_and_is_revoked() -> None:
    """S8. Red when `repository_ids` or `permissions` is left out, or the revocation (tried)."""
    wire = Wire().on(PERMISSION, ROLE)
    async with wire.app().repository(5, REPO) as github:
        assert wire.requests == [], "a client that asks nothing mints nothing"
        await github.permission("a")
        await github.permission("a")
    minted, *_, revoked = wire.requests
    assert json.loads(minted.content) == {
        "repository_ids": [7],
        "permissions": {
            "contents": "write",
            "pull_requests": "write",
            "issues": "write",
            "checks": "write",
            "metadata": "read",
        },
    }
    assert minted.headers["authorization"].startswith("Bearer ey")
    assert (revoked.method, revoked.url.path) == ("DELETE", "/installation/token")
    assert revoked.headers["authorization"] == "Bearer ghs_1"
    assert wire.minted == 1


@pytest.mark.parametrize("error", [ValueError("ours"), asyncio.CancelledError()])
async def test_a_token_is_revoked_after_an_error_too(error: BaseException) -> None:
    wire = Wire().on(PERMISSION, ROLE)

    async def job() -> None:
        async with wire.app().repository(5, REPO) as github:
            await github.permission("a")
            raise error

    with pytest.raises(type(error)):
        await job()
    assert wire.requests[-1].url.path == "/installation/token"


@pytest.mark.parametrize("reply", [answer(500), answer(401), httpx.ReadError("reset")])
async def test_a_token_that_cannot_be_revoked_is_not_fatal(reply: httpx.Response | Exception) -> None:
    wire = Wire().on(PERMISSION, ROLE).on("DELETE /installation/token", reply)
    async with wire.app().repository(5, REPO) as github:
        await github.permission("a")


async def test_nobody_waits_for_a_long_limit_to_give_a_token_back() -> None:
    """As the process may be leaving. Red when a revocation is as patient as a result: it waits (seen)."""
    limited = answer(429, {"message": "Slow down"}, {"retry-after": "600"})
    wire = Wire().on(PERMISSION, limited)
    async with wire.app().repository(5, REPO) as github:
        with pytest.raises(ProviderError, match="rate limited"):
            await github.progress().permission("a")
    assert sum(wire.slept) == 0


async def test_tokens_last_through_a_job_of_90_minutes_and_all_are_revoked() -> None:
    """R10. Red when REFRESH_BEFORE_END_S is less than nothing (tried)."""
    wire = Wire().on(PERMISSION, ROLE)
    async with wire.app().repository(5, REPO) as github:
        for _ in range(90):
            await github.permission("a")
            wire.now += 60
        ages = [int(r.headers["authorization"][-1]) for r in wire.requests if "permission" in r.url.path]
    assert wire.minted == 2
    assert ages == [1] * 55 + [2] * 35
    assert [r.headers["authorization"] for r in wire.requests if r.method == "DELETE"] == ["Bearer ghs_2"]


async def test_two_calls_at_once_share_one_token() -> None:
    wire = Wire().on(PERMISSION, ROLE)
    async with wire.app().repository(5, REPO) as github:
        await asyncio.gather(*(github.permission("a") for _ in range(10)))
    assert wire.minted == 1


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        pytest.param(
            answer(404, {"message": "Not Found"}),
            NotFound,
            "github: the App is not installed for acme/widget any more",
            id="uninstalled",
        ),
        pytest.param(
            answer(401, {"message": "A JSON web token could not be decoded"}),
            ProviderError,
            "github: the App's signature is refused: check GITHUB_APP_ID, the private key and this machine's clock",
            id="wrong-key",
        ),
        pytest.param(
            answer(422, {"message": "The permissions requested are not granted to this installation."}),
            ProviderError,
            "github: The permissions requested are not granted to this installation. "
            "(POST /app/installations/{installation_id}/access_tokens: HTTP 422). The installation must include "
            "acme/widget and grant contents: write, pull_requests: write, issues: write, checks: write, metadata: read",
            id="right-not-granted",
        ),
    ],
)
async def test_a_token_that_is_not_given_says_what_to_do(
    reply: httpx.Response, kind: type[ProviderError], words: str
) -> None:
    wire = Wire().on(MINT, reply)
    async with wire.app().repository(5, REPO) as github:
        with pytest.raises(ProviderError) as caught:
            await github.permission("a")
    assert (type(caught.value), str(caught.value)) == (kind, words)


async def test_git_uses_the_same_token_in_a_header() -> None:
    wire = Wire()
    async with wire.app().repository(5, REPO) as github:
        remote = await github.remote()
    assert remote.url == "https://github.com/acme/widget.git"
    assert remote.header == "Authorization: Basic eC1hY2Nlc3MtdG9rZW46Z2hzXzE="  # x-access-token:ghs_1


@pytest.mark.parametrize(
    ("api", "git"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://ghe.example/api/v3", "https://ghe.example"),
        ("https://ghe.example:8443/api/v3/", "https://ghe.example:8443"),
        ("https://api.octo.ghe.com", "https://octo.ghe.com"),
        ("http://127.0.0.1:40123", "http://127.0.0.1:40123"),
        ("http://127.0.0.1:40123/api/v3", "http://127.0.0.1:40123"),
    ],
)
def test_git_lives_beside_its_api(api: str, git: str) -> None:
    assert git_url(api) == git


async def test_an_enterprise_server_is_asked_below_its_own_path() -> None:
    wire = Wire().on("GET /api/v3/app", answer(200, {"slug": "x"}))
    await wire.app(api_url="https://ghe.example/api/v3").login()
    assert str(wire.requests[0].url) == "https://ghe.example/api/v3/app"


def test_a_key_that_is_none_stops_the_start_with_one_sentence() -> None:
    elliptic = generate_ec_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for pem in ("", "secret", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", elliptic):
        with pytest.raises(UserError, match="not an RSA key in PEM") as caught:
            App(42, pem)
        assert "AAAA" not in str(caught.value)


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate for 127.0.0.1 that nobody vouches for."""
    key = generate_ec_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    pem = folder / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + signed.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_a_server_nobody_vouches_for_sees_no_credentials(tmp_path: Path) -> None:
    """S29. Red when the client does not check certificates (tried)."""
    heard = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1000))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certificate(tmp_path))
    async with server:
        port = server.sockets[0].getsockname()[1]
        app = App(42, private_key(), api_url=f"https://127.0.0.1:{port}", sleep=at_once)
        with pytest.raises(ProviderError, match="no answer: ConnectError"):
            await app.login()
    assert heard == []


async def at_once(seconds: float) -> None:
    return


class Known:
    """Keeps `tokens.Secrets`."""

    def __init__(self) -> None:
        self.secrets: list[str] = []

    def learn(self, secret: str) -> None:
        self.secrets.append(secret)

    def forget(self, secret: str) -> None:
        self.secrets.remove(secret)


async def test_a_token_is_among_the_secrets_for_as_long_as_it_opens_something() -> None:
    """Red when nothing is told to the secrets, and when a token that expired is kept (seen)."""
    wire, known = Wire().on(PERMISSION, ROLE), Known()
    app = wire.app(secrets=known)
    async with app.repository(5, REPO) as github:
        assert known.secrets == []
        await github.permission("a")
        assert known.secrets == ["ghs_1"]
        wire.now += 58 * 60
        await github.permission("a")
        assert known.secrets == ["ghs_1", "ghs_2"], "the first one is good for two minutes yet"
    assert known.secrets == []
    wire.on("DELETE /installation/token", answer(500))
    async with app.repository(5, REPO) as github:
        await github.permission("a")
    assert known.secrets == ["ghs_3"], "it could not be revoked"
    wire.now += 2 * 3600
    async with app.repository(5, REPO) as github:
        await github.permission("a")
        assert known.secrets == ["ghs_4"], "the old one has expired"


def test_connections_are_closed_although_their_owner_is_cancelled_meanwhile() -> None:
    """Red when the pool is closed without a shield: at some of the steps connections are left to the collector, which
    warns in whatever runs then (seen)."""

    async def slow(_: Request) -> Response:
        await asyncio.sleep(0.01)  # so that each of the calls below has a connection of its own
        return JSONResponse({"slug": "x"})

    async def cancelled_after(steps: int) -> None:
        async with serve(Starlette(routes=[Route("/app", slow)])) as url:
            app, leaves = App(1, private_key(), api_url=url), asyncio.Event()

            async def job() -> None:
                async with app._as_app() as client:
                    await asyncio.gather(*(client.call("GET", "/app") for _ in range(3)))
                    leaves.set()

            task = asyncio.create_task(job())
            await leaves.wait()
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    for steps in range(4):
        asyncio.run(cancelled_after(steps))
    gc.collect()
