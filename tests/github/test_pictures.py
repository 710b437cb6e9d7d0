"""Attached pictures: fetched without credentials, looked at before and after, and never from anywhere else."""

import base64
from collections.abc import Callable

import httpx
import pytest

from bot.github.pictures import MOST_BYTES, MOST_REDIRECTS, Pictures
from bot.intake.pictures import Fetched, Shelves
from tests.intake.test_pictures import ASSET

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
BUCKET = "https://github-production-user-asset-6210df.s3.amazonaws.com/1/2.png?sig=x"


async def fetched(answer: Callable[[httpx.Request], httpx.Response], *addresses: str) -> tuple[Fetched, list[str]]:
    asked: list[str] = []

    def seen(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        assert "authorization" not in request.headers
        assert "cookie" not in request.headers
        return answer(request)

    pictures = Pictures(Shelves("https://github.com"), transport=httpx.MockTransport(seen))
    return await pictures.fetch(addresses or (ASSET,)), asked


async def test_a_picture_comes_over_the_way_that_github_sends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "github.com":
            return httpx.Response(302, headers={"location": BUCKET, "set-cookie": "logged_in=no"})
        return httpx.Response(200, content=PNG, headers={"content-type": "text/html"})

    found, asked = await fetched(answer)
    (picture,) = found.pictures
    assert (picture.media_type, base64.b64decode(picture.data)) == ("image/png", PNG)
    assert asked == [ASSET, BUCKET]


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://example.test/x.png",
        "http://github-production-user-asset-6210df.s3.amazonaws.com/1/2.png",
        "https://other.s3.amazonaws.com/1/2.png",
        "//127.0.0.1/x.png",
        "file:///etc/passwd",
    ],
)
async def test_a_redirect_to_another_place_is_not_followed(location: str) -> None:
    """S29. Red when redirects are followed unseen (seen: the other host is asked)."""
    found, asked = await fetched(lambda _: httpx.Response(302, headers={"location": location}))
    assert asked == [ASSET]
    assert found == Fetched(problems=("leads to another host",))


async def test_a_redirect_in_a_circle_ends() -> None:
    found, asked = await fetched(lambda _: httpx.Response(302, headers={"location": ASSET}))
    assert len(asked) == MOST_REDIRECTS + 1
    assert found.problems == ("leads on too often",)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"<svg onload=x>", "is not a PNG, JPEG, GIF or WebP", id="svg"),
        pytest.param(PNG + b"x" * MOST_BYTES, "is larger than the 1 MB that are read", id="large"),
        pytest.param(b"", "is not a PNG, JPEG, GIF or WebP", id="empty"),
    ],
)
async def test_what_is_no_picture_or_too_large_is_left_out(content: bytes, problem: str) -> None:
    """Red when the server's word for the type is taken (seen)."""
    headers = {"content-type": "image/png"}
    found, _ = await fetched(lambda _: httpx.Response(200, content=content, headers=headers))
    assert found == Fetched(problems=(problem,))


async def test_a_picture_is_a_help_and_never_a_condition() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("1"):
            raise httpx.ConnectTimeout("slow")
        return httpx.Response(404)

    found, _ = await fetched(answer, f"{ASSET}1", f"{ASSET}2", "https://example.test/x.png", "https://[bad")
    assert found.pictures == ()
    assert found.problems[:3] == (
        "could not be fetched (ConnectTimeout)",
        "could not be had without signing in",
        "is not one that was attached on GitHub",
    )


async def test_of_many_pictures_the_first_are_read() -> None:
    found, asked = await fetched(
        lambda _: httpx.Response(200, content=b"GIF89a" + b"x" * 900_000), *(f"{ASSET}{n}" for n in range(5))
    )
    assert len(found.pictures) == 2, "two megabytes in all"
    assert len(asked) == 5
    small, asked = await fetched(lambda _: httpx.Response(200, content=PNG), *(f"{ASSET}{n}" for n in range(5)))
    assert len(small.pictures) == 3
    assert len(asked) == 3
