"""What a failed chat completions request means, whoever serves it: who can help, when, and how to say it."""

from bot.domain.conversation import Usage
from bot.domain.errors import ModelError
from bot.models.classify import LONGEST_WAIT_S, Failure, Remedy, as_error, said

PROVIDER = "openai"

# The status an error inside a stream would have had as an HTTP answer, by its `code` or `type`.
_STATUS_OF = {
    "server_error": 500,
    "api_error": 500,
    "overloaded_error": 503,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
}
_OUT_OF_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_REFUSED = frozenset({"content_filter", "content_policy_violation", "invalid_prompt"})
_TOO_LONG = ("context length", "context_length", "context window", "maximum context", "too many tokens", "too long")


def chat_error(failure: Failure, *, who: str, usage: Usage | None = None) -> ModelError:
    """The failure as an error for the loop. `who`: the model in words, such as "gpt-6-sol"."""
    return as_error(PROVIDER, failure, _verdict(failure, who), out_of_money=_OUT_OF_MONEY, usage=usage)


def _verdict(failure: Failure, who: str) -> tuple[Remedy, str]:
    in_stream = failure.status < 300
    status = _STATUS_OF.get(failure.code) or _STATUS_OF.get(failure.kind) or 500 if in_stream else failure.status
    where = "in the middle of an answer" if in_stream else f"HTTP {status}"
    if failure.code in _OUT_OF_MONEY or failure.kind in _OUT_OF_MONEY:
        return "next", f"The account that pays for {who} has no money left ({where})."
    if failure.code in _REFUSED:
        return "refused", f"{who} declined this request ({where}, {failure.code})."
    if status >= 500:
        return "retry", f"The service of {who} failed ({where})."
    if status in (408, 409, 425):
        return "retry", f"The service of {who} asked to try again ({where})."
    if status == 429:
        return _rate_limit(failure, who, where)
    if status in (400, 413, 422):
        return _bad_request(failure, status, who, where)
    return _not_allowed(status, who, where)


def _rate_limit(failure: Failure, who: str, where: str) -> tuple[Remedy, str]:
    wait = failure.retry_after_s
    if wait is None:
        return "retry", f"The rate limit of {who} is reached ({where})."
    if wait <= LONGEST_WAIT_S:
        return "retry", f"The rate limit of {who} is reached; it asks to wait {wait:.0f} s ({where})."
    return "next", f"The rate limit of {who} is reached for the next {wait:.0f} s, too long to wait ({where})."


def _bad_request(failure: Failure, status: int, who: str, where: str) -> tuple[Remedy, str]:
    words = failure.message.lower()
    if status == 413 or failure.code == "context_length_exceeded" or any(sign in words for sign in _TOO_LONG):
        return "context", f"The conversation is too long for {who} ({where})."
    if failure.code == "model_not_found":
        return "next", f"There is no model {who} for this API key ({where})."
    request = f", request {failure.request_id}" if failure.request_id else ""
    reason = f": {said(failure.message)}" if failure.message else "."
    return "stop", f"{who} did not accept the request ({where}{request}){reason}"


def _not_allowed(status: int, who: str, where: str) -> tuple[Remedy, str]:
    match status:
        case 401:
            return "next", f"The API key for {who} was refused ({where}): OPENAI_API_KEY is wrong or was revoked."
        case 402:
            return "next", f"The account cannot pay for {who} ({where})."
        case 403:
            return "next", f"The API key may not use {who} ({where})."
        case 404:
            return "next", f"There is no model {who} ({where}): check its name and OPENAI_BASE_URL."
        case _ if status < 400:
            return "next", f"The address of {who} redirects elsewhere ({where}): check OPENAI_BASE_URL."
    return "stop", f"The service of {who} gave an unexpected answer ({where})."
