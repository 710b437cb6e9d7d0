"""Which pictures of a text are fetched: those its readers see, by people who may ask, that lie on GitHub."""

from dataclasses import replace

import pytest

from bot.domain.job import Start
from bot.intake.pictures import Shelves, pictures_of, shown
from tests.intake.test_reading import COMMENT, ISSUE

ASSET = "https://github.com/user-attachments/assets/0b0c7d3e-1111-4222-8333-444455556666"
SIGNED = "https://private-user-images.githubusercontent.com/1/2-0b0c.png?jwt=eyJ"
GITHUB = Shelves("https://github.com")


@pytest.mark.parametrize(
    ("markdown", "addresses"),
    [
        pytest.param(f"Look:\n\n![shot]({ASSET})", [ASSET], id="markdown"),
        pytest.param(f'<img width="9" alt="shot" src="{ASSET}" />', [ASSET], id="as-a-browser-pastes-it"),
        pytest.param(f"a <img src='{ASSET}'> b", [ASSET], id="within-a-line"),
        pytest.param(f"[![shot]({ASSET})](https://example.test)", [ASSET], id="in-a-link"),
        pytest.param(f'<!-- <img src="{ASSET}"> -->', [], id="nobody-sees-a-comment"),
        pytest.param(f"`![shot]({ASSET})`", [], id="code-is-no-picture"),
        pytest.param(f"    ![shot]({ASSET})", [], id="nor-is-a-block-of-it"),
        pytest.param(ASSET, [], id="a-plain-address"),
        pytest.param("<img" * 50_000, [], id="made-to-be-slow"),
    ],
)
def test_pictures_are_those_that_a_reader_sees(markdown: str, addresses: list[str]) -> None:
    assert list(shown(markdown)) == addresses


@pytest.mark.parametrize("address", [ASSET, SIGNED, "https://user-images.githubusercontent.com/1/2.png"])
def test_attachments_lie_on_github(address: str) -> None:
    assert GITHUB.holds(address)


@pytest.mark.parametrize(
    "address",
    [
        "http://github.com/user-attachments/assets/0b0c7d3e-1111",
        "https://github.com/acme/widget/raw/main/x.png",
        "https://github.com/user-attachments/assets/../../login",
        "https://github.com@10.0.0.1/user-attachments/assets/0b0c7d3e-1111",
        "https://github.com.example.test/user-attachments/assets/0b0c7d3e-1111",
        "https://user-images.githubusercontent.com@example.test/x.png",
        "https://user-images.githubusercontent.com:8443/x.png",
        "https://xuser-images.githubusercontent.com.example.test/x.png",
        "https://169.254.169.254/latest/meta-data",
        "https://github-production-user-asset-6210df.s3.amazonaws.com/1/2.png",
        "https://github.com\\@10.0.0.1/user-attachments/assets/0b0c7d3e-1111",
        "https://git\thub.com/user-attachments/assets/0b0c7d3e-1111",
        "https://[bad",
        "file:///etc/passwd",
        "/user-attachments/assets/0b0c7d3e-1111",
        "",
    ],
)
def test_no_other_place_is_asked(address: str) -> None:
    """S29. Red when the host or the path is not compared whole (seen)."""
    assert not GITHUB.holds(address)


def test_only_texts_by_people_who_may_ask_are_looked_through() -> None:
    """Red when the author's access is not looked at (seen)."""
    request = replace(COMMENT, command=Start("see ![](a)"), issue=replace(ISSUE, body="![](b) ![](a)"))
    assert pictures_of(request, author_writes=True, by_label=False) == ("a", "b")
    assert pictures_of(request, author_writes=False, by_label=False) == ("a",)
    assert pictures_of(request, author_writes=False, by_label=True) == ()
    assert pictures_of(request, author_writes=True, by_label=True) == ("a",)
