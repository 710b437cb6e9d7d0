"""Does a text hold a secret of the bot, whole or in part, plain or disguised?

A matcher for the values we know, not for what secrets look like: patterns miss nearly every disguise. Each secret and
its usual encodings are cut into pieces of twelve letters and digits; one such piece in a text is a leak. What looks
like anybody's GitHub token is looked for too, but only in words about to be published: repositories hold samples.
"""

import base64
import codecs
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from bot.domain.errors import BotError

PIECE = 12  # letters and digits: 36**12 possibilities, so ordinary text never meets one by chance
BLOCK = PIECE // 2  # a piece covers a whole block at one of the multiples of 6, so only those are looked at

_SEPARATORS = bytes(set(range(256)) - set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))
_LOWER = bytes(range(256)).lower()
_ESCAPES = re.compile(rb"\\x|\\u00|0x", re.IGNORECASE)  # of one byte among others, as in "\x73\x6b" or "0x73, 0x6b"

_ARMOUR = re.compile(r"-----[A-Z0-9 ]+-----")
# https://github.blog/changelog/2021-03-31-authentication-token-format-updates-are-generally-available/, and the longer
# installation tokens `ghs_APPID_JWT`. All JWTs of an App begin alike, so of those the signature's end is the secret.
_JWT = r"ghs_[0-9]+_[\w-]+\.[\w-]+\.[\w-]{64,}"
_TOKEN = re.compile(rf"\b(?:gh[opsur]_[A-Za-z0-9]{{36,}}|github_pat_[A-Za-z0-9_]{{60,}}|{_JWT})", re.ASCII)
_END_OF_JWT = 64  # characters: the rest is worth nothing without them

_WORDS = re.compile(r"[A-Za-z][a-z]*(?:[-_. ][A-Za-z][a-z]*)*[-_. ]?[0-9]{0,4}")


class LeakFound(BotError):
    """Something that was to leave the bot holds one of its secrets: stop the job, publish nothing."""


class Leaks:
    """Knows some secrets and shows none: not in `repr`, not in an error.

    A secret of plain words ("development-secret") or of fewer than twelve characters is found whole, in each of its
    encodings; of any other, twelve characters in a row are enough. Empty ones are ignored.
    """

    __slots__ = ("_blocks", "_pieces", "_traces", "_whole")

    def __init__(self, secrets: Iterable[str]) -> None:
        self._traces = {text: _traces(text) for secret in secrets if (text := secret.strip())}
        self._index()

    def __repr__(self) -> str:
        return "Leaks(...)"

    def learn(self, secret: str) -> None:
        """One more to look for, such as a token that was just minted."""
        if text := secret.strip():
            self._traces[text] = _traces(text)
            self._index()

    def forget(self, secret: str) -> None:
        """It opens nothing any more."""
        if self._traces.pop(secret.strip(), None) is not None:
            self._index()

    def _index(self) -> None:
        """Pieces before blocks: a text that is looked through meanwhile, in a thread, is held against no less."""
        known = self._traces.values()
        self._whole = frozenset[bytes]().union(*(traces.whole for traces in known))
        self._pieces = frozenset[bytes]().union(*(traces.pieces for traces in known))
        self._blocks = frozenset[bytes]().union(*(traces.blocks for traces in known))

    def found_in(self, data: str | bytes) -> bool:
        raw = (data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data)).lower()
        if any(form in raw for form in self._whole):
            return True
        text, pieces, blocks = _letters_and_digits(data), self._pieces, self._blocks
        for at in range(0, len(text) - BLOCK + 1, BLOCK):
            if text[at : at + BLOCK] in blocks and any(
                text[start : start + PIECE] in pieces for start in range(max(0, at - BLOCK), at + 1)
            ):
                return True
        return False

    def check(self, data: str | bytes, where: str) -> None:
        """`where` completes "... in {where}", such as "the pull request's text". Raises LeakFound."""
        if self.found_in(data):
            raise LeakFound(f"One of the bot's own secrets turned up in {where}, so nothing was published.")

    def check_public(self, data: str | bytes, where: str) -> None:
        """No secret of ours; and in words (bytes are a file's) nothing that looks like anybody's GitHub token.

        Raises LeakFound.
        """
        self.check(data, where)
        if isinstance(data, str) and _TOKEN.search(data):
            raise LeakFound(f"What looks like a GitHub token turned up in {where}, so nothing was published.")


@dataclass(frozen=True, slots=True, repr=False)
class _Traces:
    """What one secret leaves in a text: found whole, or piece by piece, each by its blocks."""

    whole: frozenset[bytes]
    pieces: frozenset[bytes]
    blocks: frozenset[bytes]


def _traces(secret: str) -> _Traces:
    pieces: set[bytes] = set()
    whole: set[bytes] = set()
    core = _core(secret)
    for form in _forms(core):
        plain = _letters_and_digits(form)
        if form != core and len(form) < BLOCK:
            continue  # an encoding this short is in every other text
        if len(plain) < PIECE or (form in (core, core[::-1]) and _WORDS.fullmatch(core)):
            whole.add(form.encode("utf-8", "surrogatepass").lower())
        else:
            pieces.update(plain[n : n + PIECE] for n in range(len(plain) - PIECE + 1))
    blocks = frozenset(piece[n : n + BLOCK] for piece in pieces for n in range(PIECE - BLOCK + 1))
    return _Traces(frozenset(whole), frozenset(pieces), blocks)


def _core(secret: str) -> str:
    """Without what is no secret: the head of an App's JWT; a PEM key's armour, algorithm and an RSA key's public half.

    Every key of a kind begins alike, and the modulus and exponent end before 30 % of the bytes (RFC 8017, A.1.2).
    """
    if re.fullmatch(_JWT, secret, re.ASCII):
        return secret[-_END_OF_JWT:]
    if not _ARMOUR.search(secret):
        return secret
    body = _ARMOUR.sub("", secret).strip()
    return body[len(body) * 3 // 10 :].strip()


def _forms(secret: str) -> tuple[str, ...]:
    raw = secret.encode("utf-8", "surrogatepass")
    return (
        secret,
        secret[::-1],
        codecs.encode(secret, "rot13"),
        quote(secret, safe="", errors="surrogatepass"),
        quote(secret, errors="surrogatepass"),
        raw.hex(),
        raw.hex()[::-1],
        "".join(str(byte) for byte in raw),
        *(_base64(raw, shift) for shift in range(3)),
        *(_base64(raw, shift)[::-1] for shift in range(3)),
        *(_base32(raw, shift) for shift in range(5)),
    )


def _base64(raw: bytes, shift: int) -> str:
    """As it looks `shift` bytes into a longer text: without the characters that neighbours have a part in.

    The two alphabets differ in separators alone, which are not compared.
    """
    text = base64.b64encode(bytes(shift) + raw)
    return _inner(text, first=-(-8 * shift // 6), ends_inside=(shift + len(raw)) % 3 != 0)


def _base32(raw: bytes, shift: int) -> str:
    text = base64.b32encode(bytes(shift) + raw)
    return _inner(text, first=-(-8 * shift // 5), ends_inside=(shift + len(raw)) % 5 != 0)


def _inner(encoded: bytes, *, first: int, ends_inside: bool) -> str:
    text = encoded.decode().rstrip("=")[first:]
    return text[:-1] if ends_inside else text


def _letters_and_digits(data: str | bytes) -> bytes:
    """Everything else gone, case too; full-width and other dressed-up letters as the plain ones they stand for."""
    if isinstance(data, bytes) and not data.isascii():
        data = data.decode("utf-8", "ignore")
    if isinstance(data, str):
        if not data.isascii():
            data = unicodedata.normalize("NFKC", data)
        data = data.encode("ascii", "ignore")
    if b"\\" in data or b"0x" in data or b"0X" in data:
        data = _ESCAPES.sub(b"", data)
    return data.translate(_LOWER, _SEPARATORS)
