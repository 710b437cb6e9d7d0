"""The known-secret matcher: disguises it sees through, and the ordinary text it leaves alone."""

import base64
import codecs
import secrets
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bot.report.leaks import LeakFound, Leaks

API_KEY = "sk-ant-api03-q7Zt_Vw2LmX9-bR4kNcY8uHfE3sJ6gDpA1oTiKQWA"
WEBHOOK_SECRET = "9f1c7be2d04a8836aa51c7e09b2f64d3"
PASSWORD = "h4!k#R+9/x=Zq~27vBn"


def pem(format: PrivateFormat) -> str:
    return rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, format, NoEncryption()).decode()


def shifted_base64(secret: str, shift: int) -> str:
    return base64.b64encode(b"xy"[:shift] + secret.encode() + b" and so on").decode()


DISGUISES: dict[str, Callable[[str], str]] = {
    "plain": lambda s: s,
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64-one-byte-in": lambda s: shifted_base64(s, 1),
    "base64-two-bytes-in": lambda s: shifted_base64(s, 2),
    "base64-urlsafe": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "base64-in-lines": lambda s: base64.encodebytes(s.encode() * 3).decode(),
    "base64-reversed": lambda s: base64.b64encode(s.encode()).decode()[::-1],
    "base32": lambda s: base64.b32encode(b"abc" + s.encode()).decode(),
    "hex": lambda s: s.encode().hex(),
    "hex-upper-case-with-colons": lambda s: s.encode().hex(":").upper(),
    "hex-escapes": lambda s: "".join(f"\\x{byte:02x}" for byte in s.encode()),
    "hex-list": lambda s: ", ".join(f"0x{byte:02x}" for byte in s.encode()),
    "decimal-list": lambda s: str(list(s.encode())),
    "unicode-escapes": lambda s: "".join(f"\\u{ord(char):04x}" for char in s),
    "reversed": lambda s: s[::-1],
    "rot13": lambda s: codecs.encode(s, "rot13"),
    "url-encoded": lambda s: quote(s, safe=""),
    "url-encoded-throughout": lambda s: "".join(f"%{byte:02X}" for byte in s.encode()),
    "spaced-out": " ".join,
    "one-a-line": "\n".join,
    "zero-width-between": "\u200b".join,
    "full-width": lambda s: "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in s),
    "other-case": str.swapcase,
    "first-half": lambda s: s[: len(s) // 2 + 3],
    "second-half": lambda s: s[len(s) // 2 - 6 :],
    "utf-16": lambda s: s.encode("utf-16-le").decode("latin-1"),
}


@pytest.mark.parametrize("disguise", [pytest.param(function, id=name) for name, function in DISGUISES.items()])
@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(API_KEY, id="api-key"),
        pytest.param(WEBHOOK_SECRET, id="hex-secret"),
        pytest.param(pem(PrivateFormat.TraditionalOpenSSL), id="pkcs1-key"),
        pytest.param(pem(PrivateFormat.PKCS8), id="pkcs8-key"),
    ],
)
def test_a_secret_is_found_in_a_text_under_any_disguise(secret: str, disguise: Callable[[str], str]) -> None:
    """Red without the defence: with only the plain form in `_forms`, 16 of the disguises of a key go through."""
    leaks = Leaks([secret])
    text = f"def main() -> None:\n    token = '{disguise(secret)}'\n"
    assert leaks.found_in(text)
    assert leaks.found_in(text.encode("utf-8", "surrogatepass"))
    assert leaks.found_in("\xe9\ud800 " + text)
    with pytest.raises(LeakFound, match="secrets turned up in the diff, so nothing was published"):
        leaks.check(text, "the diff")


@pytest.mark.parametrize("start", range(12))
def test_twelve_characters_are_found_wherever_they_stand(start: int) -> None:
    leaks = Leaks([API_KEY])
    piece = API_KEY.replace("-", "").replace("_", "")[14:26]
    assert leaks.found_in("#" + "z" * start + piece)
    assert not leaks.found_in("#" + "z" * start + piece[:11] + "#")


@pytest.mark.parametrize(
    ("secret", "text", "found"),
    [
        pytest.param("hunter2!", "password = 'hunter2!'", True, id="short-whole"),
        pytest.param("hunter2!", "the hunter, 2!", False, id="short-in-parts"),
        pytest.param("hunter2!", base64.b64encode(b"x" + b"hunter2!" + b"yz").decode(), True, id="short-in-base64"),
        pytest.param(PASSWORD, f"'{PASSWORD}'", True, id="symbols"),
        pytest.param(PASSWORD, quote(PASSWORD), True, id="symbols-url-encoded"),
        pytest.param("!!##$$%%&&//((", "a !!##$$%%&&//(( b", True, id="symbols-only"),
        pytest.param("!!##$$%%&&//((", "nothing at all", False, id="symbols-only-elsewhere"),
        pytest.param("development-webhook-secret", "SECRET = 'development-webhook-secret'", True, id="words-whole"),
        pytest.param("development-webhook-secret", "the development webhook's secret", False, id="words-in-parts"),
        pytest.param("development-webhook-secret", b"development-webhook-secret".hex(), True, id="words-in-hex"),
        pytest.param("", "anything", False, id="empty"),
        pytest.param(" \n", "any thing\n", False, id="blank"),
        pytest.param(API_KEY, "sk-ant-api03-XXXXXXXXXXXXXXXXXXXX", False, id="public-prefix"),
        pytest.param(API_KEY, "", False, id="empty-text"),
    ],
)
def test_short_and_wordy_secrets_are_found_whole(secret: str, text: str, found: bool) -> None:
    assert Leaks([secret]).found_in(text) is found


def app_token(tail: str) -> str:
    """Today's form: all of an App's begin alike."""
    head, claims = (
        base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"typ":"JWT","alg":"RS256"}', b'{"iss":42}')
    )
    return f"ghs_42_{head}.{claims}.{tail}"


def a_tail() -> str:
    return secrets.token_urlsafe(256)


@pytest.mark.parametrize("disguise", [pytest.param(function, id=name) for name, function in DISGUISES.items()])
def test_a_token_that_is_learned_is_found_and_one_that_is_forgotten_is_not(disguise: Callable[[str], str]) -> None:
    """Red when `learn` only keeps the secret (seen)."""
    leaks, token = Leaks([WEBHOOK_SECRET]), app_token(a_tail())
    text = disguise(token)
    assert not leaks.found_in(text)
    leaks.learn(token)
    assert leaks.found_in(text) is (text != DISGUISES["first-half"](token)), "only the end is worth something"
    assert leaks.found_in(disguise(WEBHOOK_SECRET))
    assert not leaks.found_in(app_token(a_tail())), "another token of the App, which begins like ours"
    leaks.forget(token)
    assert not leaks.found_in(text)
    assert leaks.found_in(WEBHOOK_SECRET)


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        pytest.param(f"use ghp_{'a1B2' * 9} here", True, id="classic"),
        pytest.param(f"ghs_{'a1B2' * 9}", True, id="installation"),
        pytest.param(app_token(a_tail()), True, id="installation-jwt"),
        pytest.param(f"(github_pat_{'a1B2' * 5}xy_{'a1B2' * 14}abc)", True, id="fine-grained"),
        pytest.param("ghp_ and ghs_ begin GitHub's tokens, github_pat_ the newer ones", False, id="prefixes"),
        pytest.param(f"ghp_{'a1B2' * 9}".encode(), False, id="in-a-file"),
        pytest.param("GITHUB_TOKEN=ghp_xxx", False, id="placeholder"),
        pytest.param(f"aghp_{'a1B2' * 9}", False, id="in-a-word"),
    ],
)
def test_words_that_hold_a_github_token_of_anybody_are_not_published(words: str | bytes, refused: bool) -> None:
    """Red when `check_public` is `check` alone (seen)."""
    leaks = Leaks([])
    leaks.check(words, "what a tool showed")
    if not refused:
        leaks.check_public(words, "the pull request's title")
        return
    with pytest.raises(LeakFound, match=r"looks like a GitHub token turned up in the pull request's title, so nothing"):
        leaks.check_public(words, "the pull request's title")


def test_another_key_of_the_same_kind_is_no_leak() -> None:
    ours = Leaks([pem(PrivateFormat.TraditionalOpenSSL), pem(PrivateFormat.PKCS8)])
    assert not ours.found_in(pem(PrivateFormat.TraditionalOpenSSL))
    assert not ours.found_in(pem(PrivateFormat.PKCS8))


def test_it_never_shows_what_it_looks_for() -> None:
    leaks = Leaks([API_KEY, WEBHOOK_SECRET])
    assert repr(leaks) == "Leaks(...)"
    with pytest.raises(LeakFound) as caught:
        leaks.check(f"token {API_KEY}", "a comment")
    assert API_KEY not in str(caught.value)


def source_code(at_least: int) -> str:
    """Ordinary Python: the standard library's own."""
    text = ""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text += path.read_text(encoding="utf-8", errors="surrogateescape")
        if len(text) >= at_least:
            break
    return text


def test_ordinary_code_is_no_leak_and_a_megabyte_takes_a_moment() -> None:
    leaks = Leaks([API_KEY, WEBHOOK_SECRET, PASSWORD, pem(PrivateFormat.PKCS8), "development-webhook-secret"])
    text = source_code(4_000_000)
    assert len(text) >= 4_000_000
    began = time.process_time()
    assert not leaks.found_in(text)
    assert time.process_time() - began < 4  # four megabytes; about 0.1 s each on a quiet machine
    assert leaks.found_in(text + API_KEY)
