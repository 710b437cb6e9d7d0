"""What a failed request to the Messages API means: who can help, when, and how to say it."""

from collections.abc import Container
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

from bot.domain.conversation import Usage
from bot.domain.errors import ModelError

PROVIDER = "anthropic"
LONGEST_WAIT_S = 120.0  # a longer retry-after means that this provider is out for the run

Remedy = Literal["retry", "next", "longer", "context", "refused", "stop"]

# The status an `error` event would have had as an HTTP answer: the vendor's table of error types.
_STATUS_OF_KIND = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_OUT_OF_MONEY = frozenset(
    {
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "linked_organization_spend_limit_reached",
        "linked_organization_billing_unavailable",
    }
)
_NOT_FOR_THIS_ACCOUNT = frozenset({"model_not_available", "organization_on_hold", "organization_type_not_supported"})
_REFUSALS = {
    "cyber": "it could help with an attack on computers",
    "bio": "it could help with biological harm",
    "frontier_llm": "it could help to build a competing model",
    "reasoning_extraction": "it asks for the model's hidden reasoning",
    "general_harms": "it could be harmful",
}
_SAYING_LIMIT = 300  # characters of the provider's own words; enough for the rule, not for a prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What an error answer told us. `status` is below 400 for an error inside a stream that had begun well.

    `own_address`: ANTHROPIC_BASE_URL says where it came from.
    """

    model: str
    status: int
    kind: str = ""
    code: str = ""
    message: str = ""
    retry_after_s: float | None = None
    request_id: str | None = None
    own_address: bool = False


def model_error(failure: Failure, *, usage: Usage | None = None) -> ModelError:
    """The failure as an error for the loop, by the vendor's table of errors."""
    return as_error(PROVIDER, failure, _verdict(failure), out_of_money=_OUT_OF_MONEY, usage=usage)


def as_error(
    provider: str, failure: Failure, verdict: tuple[Remedy, str], *, out_of_money: Container[str], usage: Usage | None
) -> ModelError:
    """`out_of_money`: codes of a 429 that waiting does not mend."""
    remedy, message = verdict
    return ModelError(
        provider,
        message,
        retryable=remedy == "retry",
        retry_after_s=failure.retry_after_s,
        status=failure.status,
        remedy=remedy,
        usage=usage,
        request_id=failure.request_id,
        for_operator=remedy == "next" and (failure.status != 429 or failure.code in out_of_money),
    )


def interrupted(
    message: str, *, usage: Usage | None, request_id: str | None = None, provider: str = PROVIDER
) -> ModelError:
    """No whole answer arrived: cut, silent, unreachable or garbled. Asking again can help."""
    return ModelError(provider, message, retryable=True, remedy="retry", usage=usage, request_id=request_id)


def refusal(category: str | None, *, usage: Usage | None, request_id: str | None = None) -> ModelError:
    """The model declined; `category` is the vendor's word, explained where we know it."""
    if not category:
        message = "Claude declined this request and named no category."
    elif category in _REFUSALS:
        message = f"Claude declined this request because {_REFUSALS[category]} (category {category})."
    else:
        message = f"Claude declined this request (category {said(category)})."
    return ModelError(PROVIDER, message, remedy="refused", usage=usage, request_id=request_id)


def _verdict(failure: Failure) -> tuple[Remedy, str]:
    in_stream = failure.status < 300
    status = _STATUS_OF_KIND.get(failure.kind, 500) if in_stream else failure.status
    where = "in the middle of an answer" if in_stream else f"HTTP {status}"
    if status == 529:
        return "retry", f"Claude is overloaded ({where})."
    if status >= 500:
        return "retry", f"Claude's service failed ({where})."
    if status in (408, 409, 499):
        return "retry", f"Claude's service asked to try again ({where})."
    if status == 429:
        return _rate_limit(failure, where)
    if status in (400, 413, 422):
        return _bad_request(failure, status, where)
    return _not_allowed(failure, status, where)


def _rate_limit(failure: Failure, where: str) -> tuple[Remedy, str]:
    if failure.code in _OUT_OF_MONEY:
        return "next", f"The spending limit of the Claude account is reached ({where})."
    wait = failure.retry_after_s
    if wait is None:
        return "retry", f"Claude's rate limit is reached ({where})."
    if failure.code == "ramp_limit_exceeded" or wait <= LONGEST_WAIT_S:
        return "retry", f"Claude's rate limit is reached; it asks to wait {wait:.0f} s ({where})."
    return "next", f"Claude's rate limit is reached for the next {wait:.0f} s, too long to wait ({where})."


def _bad_request(failure: Failure, status: int, where: str) -> tuple[Remedy, str]:
    words = failure.message.lower()
    if failure.code in _NOT_FOR_THIS_ACCOUNT:
        return "next", f"This Claude account cannot use {failure.model} ({where}): {failure.code.replace('_', ' ')}."
    if "credit balance is too low" in words:  # the vendor gives this no code of its own
        return "next", f"The credit of the Claude account is used up ({where})."
    if status == 413 or "prompt is too long" in words or "exceed context limit" in words:
        return "context", f"The conversation is too long for {failure.model} ({where})."
    if "bound to a different conversation" in words:
        return "context", f"The conversation no longer matches the model's thinking ({where}): a bug of this bot."
    request = f", request {failure.request_id}" if failure.request_id else ""
    reason = f": {said(failure.message)}" if failure.message else ""
    return "stop", f"Claude did not accept the request ({where}{request}){reason or '.'}"


def _not_allowed(failure: Failure, status: int, where: str) -> tuple[Remedy, str]:
    match status:
        case 401:
            return "next", f"Claude refused the API key ({where}): ANTHROPIC_API_KEY is wrong or was revoked."
        case 402:
            return "next", f"The Claude account cannot pay for the request ({where})."
        case 403:
            return "next", f"The API key may not use {failure.model} ({where})."
        case 404 if failure.own_address and failure.model not in failure.message:
            wrong = "or ANTHROPIC_BASE_URL is wrong: the address is the part before /v1"
            return "next", f"There is no model {failure.model} for this API key ({where}), {wrong}."
        case 404:
            return "next", f"There is no model {failure.model} for this API key ({where})."
        case _ if status < 400:
            return "next", f"The address of the Claude API redirects elsewhere ({where}): check ANTHROPIC_BASE_URL."
    return "stop", f"Claude's service gave an unexpected answer ({where})."


def said(text: str) -> str:
    """The provider's words on one line, cut to a length that fits a sentence."""
    line = " ".join(text.split())
    return line if len(line) <= _SAYING_LIMIT else f"{line[:_SAYING_LIMIT]}…"


def wait_of(retry_after: str | None, *, date: str | None) -> float | None:
    """Seconds asked for by a `retry-after` header; a date in it is read against the answer's own `date` header.

    None when it is absent or makes no sense (RFC 9110, 10.2.3).
    """
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - parsedate_to_datetime(date or "")).total_seconds()
        except (TypeError, ValueError):
            return None
    return max(0.0, seconds) if seconds < float("inf") else None
