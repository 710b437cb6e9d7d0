"""Which pictures a text shows its readers, and which of them lie where GitHub keeps what people attach."""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.domain.conversation import Picture
from bot.domain.job import Job

MOST_PICTURES = 3
# https://docs.github.com/get-started/writing-on-github/working-with-advanced-formatting/attaching-files, and where its
# addresses lead: signed ones of private repositories to a host of GitHub's own, public ones to a bucket of GitHub's.
_HOSTS = re.compile(r"(?:private-)?user-images\.githubusercontent\.com|objects\.githubusercontent\.com")
_BUCKET = "github-production-user-asset-6210df.s3.amazonaws.com"
# What every parser of addresses reads alike: no user, no escape in the host, nothing that one of them would strip.
_PLAIN = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?/[!#-\[\]^-~]*", re.ASCII)
_ATTACHED = re.compile(r"/user-attachments/assets/[0-9a-f-]{8,64}")
_IMG = re.compile(r"<img\b[^>]{0,2000}?\bsrc=[\"']([^\"'<>\s]{1,2000})[\"']", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_LONGEST = 262_144


@dataclass(frozen=True, slots=True)
class Shelves:
    """Where pictures may be fetched from; `site` is the address of GitHub's pages, without a slash at its end."""

    site: str

    def holds(self, address: str) -> bool:
        """An attachment that a text may name."""
        if not _PLAIN.fullmatch(address):
            return False
        url = urlsplit(address)
        if f"{url.scheme}://{url.netloc}" == self.site:
            return _ATTACHED.fullmatch(url.path) is not None
        return url.scheme == "https" and _HOSTS.fullmatch(url.netloc) is not None

    def leads_on(self, address: str) -> bool:
        """Where one of them may lead to besides."""
        return self.holds(address) or (bool(_PLAIN.fullmatch(address)) and address.startswith(f"https://{_BUCKET}/"))


@dataclass(frozen=True, slots=True)
class Fetched:
    """`problems`: why others were left out, a few words each."""

    pictures: tuple[Picture, ...] = ()
    problems: tuple[str, ...] = ()


Fetch = Callable[[Sequence[str]], Awaitable[Fetched]]  # addresses to pictures; raises nothing


def signed(addresses: Sequence[str], html: str) -> tuple[str, ...]:
    """Each address, or the one that GitHub's HTML has for the same attachment; what else is in there counts nothing."""
    there = [unescape(address) for address in _IMG.findall(html)]
    return tuple(next((one for one in there if _name(address) in one), address) for address in addresses)


def _name(address: str) -> str:
    """What an attachment is called wherever it lies; of any other address, all of it."""
    found = _ATTACHED.search(address)
    return found[0].rpartition("/")[2] if found else address


def pictures_of(job: Job, *, author_writes: bool, by_label: bool) -> tuple[str, ...]:
    """Addresses in the request, and in the issue when its author has write access; of any host yet."""
    texts = [job.instruction] if author_writes or not by_label else []
    texts += [job.issue.body] if author_writes and not by_label else []
    return tuple(dict.fromkeys(address for text in texts for address in shown(text)))


def shown(markdown: str) -> Iterator[str]:
    """The addresses of the pictures a reader of this text sees, in order."""
    tokens = MarkdownIt("commonmark").parse(markdown[:_LONGEST])
    for token in tokens:
        for inner in token.children or (token,):
            yield from _in(inner)


def _in(token: Token) -> Iterator[str]:
    if token.type == "image":
        yield str(token.attrs.get("src", ""))
    elif token.type in ("html_block", "html_inline"):
        yield from _IMG.findall(_COMMENT.sub("", token.content))
