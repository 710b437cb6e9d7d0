"""What GitHub's refusals mean: an HTTP answer becomes one of the bot's errors, with the time to wait where known."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from bot.domain.errors import AmbiguousWrite, NotFound, ProviderError, Suspended, Unprocessable

_REASON_LIMIT = 300


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`wait_s`: seconds until the next request is permitted; None where GitHub does not say."""

    wait_s: float | None


def rate_limit(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> RateLimit | None:
    """None when this refusal is no rate limit; `now` is Unix time in seconds.

    Source: GitHub's documentation, "Rate limits for the REST API": retry-after, else the reset time when nothing
    remains, else a minute.
    """
    if status not in (403, 429):
        return None
    said = headers.get("retry-after", "")
    if said.isascii() and said.isdigit():
        return RateLimit(float(said[:9]))
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isascii() and reset.isdigit():
        return RateLimit(max(float(reset[:12]) - now, 0.0) + 1.0)
    message = _reason(body).lower()
    if status == 429 or "secondary rate limit" in message or "abuse detection" in message:
        return RateLimit(None)
    return None


def failure(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    call: str,
    repeatable: bool,
    limited_s: float | None = None,
) -> ProviderError:
    """The error for an answer of 400 or more. `call` names the request in words.

    `limited_s`: it is a rate limit, and how long that lasts.
    """
    reason = f"{_reason(body) or 'no reason given'} ({call}: HTTP {status})"
    if limited_s is not None:
        words = f"rate limited: {reason}"
        return ProviderError("github", words, retryable=True, retry_after_s=limited_s, status=status)
    needed = headers.get("x-accepted-github-permissions")
    if status == 403 and "installation has been suspended" in reason:
        words = f"the App's installation is suspended: whoever did that can lift it ({call}: HTTP {status})"
        return Suspended("github", words, status=status)
    if status == 403 and "archived" in reason.lower():
        reason = f"the repository is archived, so nothing can be written to it ({call}: HTTP {status})"
    elif status == 403 and needed:
        reason += f"; it needs the permission {needed[:100]}, which the App's owner and the installation must grant"
    if status in (404, 410):
        return NotFound("github", reason, status=status)
    if status in (409, 422):
        return Unprocessable("github", reason, status=status)
    if status >= 500 and not repeatable:
        return AmbiguousWrite("github", reason, retryable=True, status=status)
    return ProviderError("github", reason, retryable=status >= 500 or status == 408, status=status)


def may_be_unknown(error: ProviderError) -> bool:
    """So GitHub answers to a token that the part which was asked does not know yet, too."""
    return error.status == 401 or (error.status == 403 and "not accessible by integration" in error.message)


def _reason(body: bytes) -> str:
    """GitHub's own words, on one line; nothing for a page that is not GitHub's JSON."""
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(answer, dict):
        return ""
    errors = answer.get("errors")
    parts = [answer.get("message"), *(map(_detail, errors) if isinstance(errors, list) else [errors])]
    words = "; ".join(part for part in parts if isinstance(part, str) and part)
    return "".join(letter if letter.isprintable() else " " for letter in words)[:_REASON_LIMIT]


def _detail(error: object) -> str:
    if not isinstance(error, dict):
        return error if isinstance(error, str) else ""
    if isinstance(error.get("message"), str):
        return str(error["message"])
    return " ".join(str(error[key]) for key in ("resource", "field", "code") if isinstance(error.get(key), str))
