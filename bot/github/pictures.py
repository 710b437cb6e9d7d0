"""Pictures that people attached, fetched without any credential, from GitHub's own places alone."""

import base64
from collections.abc import Sequence

import httpx

from bot.domain.conversation import Picture
from bot.intake.pictures import MOST_PICTURES, Fetched, Shelves

MOST_BYTES = 1_000_000  # of one: each request sends it again
MOST_IN_ALL = 2_000_000
MOST_REDIRECTS = 3
TIMEOUT_S = 10.0
_KINDS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


class Unreadable(Exception):
    """Why a picture is not shown to the model; completes "it ...". Repeats nothing of its address."""


class Pictures:
    """`transport` stands in for the network."""

    def __init__(self, shelves: Shelves, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._shelves, self._transport = shelves, transport

    async def fetch(self, addresses: Sequence[str]) -> Fetched:
        """Those that can be had, in order; a picture is a help and never a condition, so nothing is raised."""
        found: list[Picture] = []
        problems: list[str] = []
        room = MOST_IN_ALL
        async with httpx.AsyncClient(transport=self._transport, timeout=TIMEOUT_S, trust_env=True) as client:
            for address in addresses:
                if len(found) == MOST_PICTURES:
                    problems.append(f"is one more than the {MOST_PICTURES} that are read")
                    continue
                try:
                    content = await self._content(client, address, min(MOST_BYTES, room))
                    found.append(Picture(kind_of(content), base64.b64encode(content).decode()))
                    room -= len(content)
                except Unreadable as reason:
                    problems.append(str(reason))
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    problems.append(f"could not be fetched ({type(error).__name__})")
        return Fetched(tuple(found), tuple(dict.fromkeys(problems)))

    async def _content(self, client: httpx.AsyncClient, address: str, most: int) -> bytes:
        """Each address on the way is looked at before it is asked. Raises Unreadable, httpx.HTTPError."""
        if not self._shelves.holds(address):
            raise Unreadable("is not one that was attached on GitHub")
        for _ in range(MOST_REDIRECTS + 1):
            async with client.stream("GET", address) as answer:
                if not answer.has_redirect_location:
                    return await _read(answer, most)
                address = str(answer.url.join(answer.headers["location"]))
            if not self._shelves.leads_on(address):
                raise Unreadable("leads to another host")
        raise Unreadable("leads on too often")


async def _read(answer: httpx.Response, most: int) -> bytes:
    if answer.status_code != 200:
        raise Unreadable("could not be had without signing in")
    content = bytearray()
    async for chunk in answer.aiter_bytes():
        content += chunk
        if len(content) > most:
            raise Unreadable(f"is larger than the {MOST_BYTES // 1_000_000} MB that are read")
    return bytes(content)


def kind_of(content: bytes) -> str:
    """By its first bytes, whatever its name or the server says. Raises Unreadable."""
    for beginning, kind in _KINDS:
        if content.startswith(beginning):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    raise Unreadable("is not a PNG, JPEG, GIF or WebP")
