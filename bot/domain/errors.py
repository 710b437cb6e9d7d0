"""What can go wrong, sorted by who can do something about it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from bot.domain.conversation import Reply, Usage


class BotError(Exception):
    """A failure with words for a person. `str(error)` is one sentence that is safe to publish."""


class UserError(BotError):
    """The person who asked can fix it: refused, malformed, not allowed. Shown to them as it is."""


class BadSignature(UserError):
    """A delivery whose HMAC does not match any configured webhook secret."""


class LimitReached(BotError):
    """A budget or cap ended the work: turns, tokens, dollars, minutes, files, bytes."""


class LeaseLost(BotError):
    """Another worker owns the job now: stop at once and write nothing."""


@dataclass(eq=False)
class ProviderError(BotError):
    """GitHub, a model, a sandbox or the database failed.

    `retryable` says whether the same call can work later, `retry_after_s` when (seconds, None: not said) and
    `status` the HTTP status, where there was one.
    """

    provider: str
    message: str
    retryable: bool = False
    retry_after_s: float | None = None
    status: int | None = None

    def __str__(self) -> str:
        return f"{self.provider}: {self.message}"


class NotFound(ProviderError):
    """The provider says the thing does not exist or is invisible to us (HTTP 404 or 410)."""


class Unprocessable(ProviderError):
    """The provider understood and refused (HTTP 409 or 422): it exists already, is not a fast-forward, is invalid."""


class Suspended(ProviderError):
    """The App may not work in this installation until the account that put it to sleep wakes it up."""


class AmbiguousWrite(ProviderError):
    """A write whose answer was lost: it may have happened. Look it up before trying again."""


@dataclass(eq=False)
class ModelError(ProviderError):
    """A model gave no whole reply. `remedy` says what can help; `usage` is what the lost reply cost, None: nothing.

    Without input tokens in it nobody said how long the prompt was, and what there is of the output is the most it was.

    retry: the same call later. next: another model of the chain. longer: a higher `max_tokens`. context: a shorter
    conversation. refused: another model, once. again: the same call, once; after that the reply as far as it can be
    used, in `salvaged`. stop: nothing. `for_operator`: a setting is wrong, so that only who runs the bot can mend it.
    """

    remedy: Literal["retry", "next", "longer", "context", "refused", "again", "stop"] = "stop"
    usage: Usage | None = None
    request_id: str | None = None
    salvaged: Reply | None = None
    for_operator: bool = False


EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT})


@contextmanager
def machine_limits() -> Iterator[None]:
    """Raises a retryable ProviderError where this machine has no descriptor, memory, process or disk left."""
    try:
        yield
    except OSError as error:
        if error.errno not in EXHAUSTED:
            raise
        raise ProviderError("the bot's machine", error.strerror or "it has no room", retryable=True) from error
