"""The doors under comparison: how each is started, ours as it ships (`backspace serve --web-only`)."""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.peers import Peers
from benchmarks.processes import Served, environment, server
from bot.standins.serving import reserved_port

SERVED = Path(__file__).parent / "served"
SECRET = secrets.token_hex(16)
IGNORED, ASKING = "Thanks, I can see this as well.", "/backspace Please fix the greeting."
PROBOT, PROBOT_LOGGED = "Probot, quiet", "Probot, with its log line"
GIDGETHUB, GITHUBKIT = "gidgethub on aiohttp", "githubkit in Starlette"
OURS, LOGGED, DURABLE = "ignored", "ignored, with its log line", "durable accept"

# What is measured: the name, the door it is measured at, the comment that is sent, what every answer must hold.
CONTENDERS = (
    (OURS, OURS, IGNORED, "ignored"),
    (PROBOT, PROBOT, IGNORED, ""),
    (DURABLE, OURS, ASKING, '"job"'),
    (LOGGED, LOGGED, IGNORED, "ignored"),
    (PROBOT_LOGGED, PROBOT_LOGGED, IGNORED, ""),
    (GIDGETHUB, GIDGETHUB, IGNORED, ""),
    (GITHUBKIT, GITHUBKIT, IGNORED, ""),
)


async def command(name: str, at: Path, peers: Peers) -> tuple[list[str], dict[str, str]]:
    """Program, arguments and environment; PORT stands for the port. Raises NotHad."""
    if name in (PROBOT, PROBOT_LOGGED):
        settings = {"APP_ID": "1", "PRIVATE_KEY": _private_key(), "WEBHOOK_SECRET": SECRET, "WEBHOOK_PATH": "/webhook"}
        settings |= {"HOST": "127.0.0.1", "NODE_ENV": "production"}
        home = await peers.node()
        argv = ["node", str(SERVED / "probot_door.mjs"), str(home)]
        return argv, environment(**settings, LOG_LEVEL="info" if name == PROBOT_LOGGED else "fatal")
    if name == GIDGETHUB:
        python = await peers.python("aiohttp", "gidgethub")
        return [python, str(SERVED / "gidgethub_door.py"), "PORT", SECRET], environment()
    if name == GITHUBKIT:
        python = await peers.python("githubkit", "hishel", "httptools", "starlette", "uvicorn", "uvloop")
        return [python, str(SERVED / "githubkit_door.py"), "PORT", SECRET], environment()
    level = "info" if name == LOGGED else "warning"
    settings = {"GITHUB_WEBHOOK_SECRET": SECRET, "LOG_LEVEL": level, "LOG_FORMAT": "json"}
    return [sys.executable, "-m", "bot", "serve", "--web-only"], environment(**settings)


@asynccontextmanager
async def served(argv: Sequence[str], env: Mapping[str, str], home: Path) -> AsyncIterator[Served]:
    await asyncio.to_thread(home.mkdir, parents=True, exist_ok=True)
    with reserved_port() as port:
        argv = [str(port) if word == "PORT" else word for word in argv]
        settings = {**env, "PORT": str(port), "BACKSPACE_HOME": str(home)}
        async with server(argv, port=port, cwd=home, env=settings) as one:
            yield one


def _private_key() -> str:
    """Probot wants one to start; nothing is ever signed with it."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return made.private_bytes(encoding, form, serialization.NoEncryption()).decode()
