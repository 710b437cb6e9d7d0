"""What each failure of the Messages API means, and the words it gets."""

from dataclasses import replace

import pytest

from bot.domain.conversation import Usage
from bot.models.classify import Failure, interrupted, model_error, refusal, wait_of


def failure(
    status: int,
    kind: str = "",
    *,
    code: str = "",
    message: str = "",
    retry_after_s: float | None = None,
    request_id: str | None = "req_1",
) -> Failure:
    return Failure(
        model="claude-x",
        status=status,
        kind=kind,
        code=code,
        message=message,
        retry_after_s=retry_after_s,
        request_id=request_id,
    )


SPENT = "The spending limit of the Claude account is reached (HTTP 429)."

TABLE = [
    pytest.param(failure(529, "overloaded_error"), "retry", "Claude is overloaded (HTTP 529).", id="overloaded"),
    pytest.param(
        failure(200, "overloaded_error"),
        "retry",
        "Claude is overloaded (in the middle of an answer).",
        id="overloaded inside a stream",
    ),
    pytest.param(
        failure(200, "api_error"), "retry", "Claude's service failed (in the middle of an answer).", id="failed inside"
    ),
    pytest.param(
        failure(200, "timeout_error"),
        "retry",
        "Claude's service failed (in the middle of an answer).",
        id="late inside",
    ),
    pytest.param(
        failure(200, "something_new"),
        "retry",
        "Claude's service failed (in the middle of an answer).",
        id="unknown error inside a stream",
    ),
    *(
        pytest.param(failure(status), "retry", f"Claude's service failed (HTTP {status}).", id=str(status))
        for status in (500, 502, 503, 504, 520)
    ),
    *(
        pytest.param(failure(status), "retry", f"Claude's service asked to try again (HTTP {status}).", id=str(status))
        for status in (408, 409, 499)
    ),
    pytest.param(
        failure(429, "rate_limit_error"), "retry", "Claude's rate limit is reached (HTTP 429).", id="429 without a time"
    ),
    pytest.param(
        failure(429, "rate_limit_error", retry_after_s=120.0),
        "retry",
        "Claude's rate limit is reached; it asks to wait 120 s (HTTP 429).",
        id="429 with a bearable time",
    ),
    pytest.param(
        failure(429, "rate_limit_error", retry_after_s=121.0),
        "next",
        "Claude's rate limit is reached for the next 121 s, too long to wait (HTTP 429).",
        id="429 with too long a time",
    ),
    pytest.param(
        failure(429, "rate_limit_error", code="ramp_limit_exceeded", retry_after_s=300.0),
        "retry",
        "Claude's rate limit is reached; it asks to wait 300 s (HTTP 429).",
        id="429 while traffic ramps up",
    ),
    pytest.param(failure(429, code="enforced_spend_limit_reached"), "next", SPENT, id="429 spend limit"),
    pytest.param(
        failure(429, code="contract_spend_limit_reached", retry_after_s=1.0), "next", SPENT, id="429 contract limit"
    ),
    pytest.param(failure(402), "next", "The Claude account cannot pay for the request (HTTP 402).", id="402"),
    pytest.param(
        failure(401),
        "next",
        "Claude refused the API key (HTTP 401): ANTHROPIC_API_KEY is wrong or was revoked.",
        id="401",
    ),
    pytest.param(failure(403), "next", "The API key may not use claude-x (HTTP 403).", id="403"),
    pytest.param(failure(404), "next", "There is no model claude-x for this API key (HTTP 404).", id="404"),
    pytest.param(
        replace(failure(404), own_address=True),
        "next",
        "There is no model claude-x for this API key (HTTP 404), "
        "or ANTHROPIC_BASE_URL is wrong: the address is the part before /v1.",
        id="404-at-an-address-of-ones-own",
    ),
    pytest.param(
        failure(400, code="model_not_available"),
        "next",
        "This Claude account cannot use claude-x (HTTP 400): model not available.",
        id="400 model not available",
    ),
    pytest.param(
        failure(400, message="Your credit balance is too low to access the API."),
        "next",
        "The credit of the Claude account is used up (HTTP 400).",
        id="400 no credit",
    ),
    pytest.param(
        failure(307),
        "next",
        "The address of the Claude API redirects elsewhere (HTTP 307): check ANTHROPIC_BASE_URL.",
        id="a redirect is not followed",
    ),
    pytest.param(
        failure(413), "context", "The conversation is too long for claude-x (HTTP 413).", id="413 too many bytes"
    ),
    pytest.param(
        failure(400, message="prompt is too long: 1000001 tokens > 1000000 maximum"),
        "context",
        "The conversation is too long for claude-x (HTTP 400).",
        id="400 too many tokens",
    ),
    pytest.param(
        failure(400, message="messages.1.content.0: this `thinking` block is bound to a different conversation."),
        "context",
        "The conversation no longer matches the model's thinking (HTTP 400): a bug of this bot.",
        id="400 edited history",
    ),
    pytest.param(
        failure(400, "invalid_request_error", message="max_tokens: too\nmany"),
        "stop",
        "Claude did not accept the request (HTTP 400, request req_1): max_tokens: too many",
        id="any other 400",
    ),
    pytest.param(
        failure(200, "invalid_request_error", request_id=None),
        "stop",
        "Claude did not accept the request (in the middle of an answer).",
        id="a 400 inside a stream, without words",
    ),
    pytest.param(
        failure(422, message="x" * 301),
        "stop",
        f"Claude did not accept the request (HTTP 422, request req_1): {'x' * 300}…",
        id="long words are cut",
    ),
    pytest.param(failure(418), "stop", "Claude's service gave an unexpected answer (HTTP 418).", id="anything else"),
]


@pytest.mark.parametrize(("seen", "remedy", "message"), TABLE)
def test_a_failure_says_who_can_help(seen: Failure, remedy: str, message: str) -> None:
    usage = Usage(fresh=3)
    error = model_error(seen, usage=usage)
    assert (error.remedy, error.message) == (remedy, message)
    assert error.retryable == (remedy == "retry")
    assert (error.status, error.request_id, error.retry_after_s) == (seen.status, seen.request_id, seen.retry_after_s)
    assert error.usage == usage
    assert str(error) == f"anthropic: {message}"


def test_what_was_interrupted_can_be_asked_again() -> None:
    error = interrupted("Claude's answer was cut off.", usage=None, request_id="req_1")
    assert (error.remedy, error.retryable, error.request_id) == ("retry", True, "req_1")


@pytest.mark.parametrize(
    ("category", "message"),
    [
        pytest.param(None, "Claude declined this request and named no category.", id="none"),
        pytest.param(
            "cyber",
            "Claude declined this request because it could help with an attack on computers (category cyber).",
            id="known",
        ),
        pytest.param("new_kind", "Claude declined this request (category new_kind).", id="unknown"),
    ],
)
def test_a_refusal_names_its_category(category: str | None, message: str) -> None:
    error = refusal(category, usage=None)
    assert (error.remedy, error.retryable, error.message) == ("refused", False, message)


@pytest.mark.parametrize(
    ("retry_after", "date", "seconds"),
    [
        pytest.param(None, None, None, id="absent"),
        pytest.param("7", None, 7.0, id="seconds"),
        pytest.param("0.5", None, 0.5, id="part of a second"),
        pytest.param("-3", None, 0.0, id="in the past"),
        pytest.param("soon", None, None, id="no number"),
        pytest.param("inf", None, None, id="for ever"),
        pytest.param("nan", None, None, id="not a number"),
        pytest.param("", None, None, id="empty"),
        pytest.param("Sat, 21 Nov 2026 08:00:30 GMT", "Sat, 21 Nov 2026 08:00:00 GMT", 30.0, id="date"),
        pytest.param("Sat, 21 Nov 2026 07:00:30 GMT", "Sat, 21 Nov 2026 08:00:00 GMT", 0.0, id="date in the past"),
        pytest.param("Sat, 21 Nov 2026 08:00:30 GMT", None, None, id="date without the answer's own"),
    ],
)
def test_the_time_to_wait_is_read_without_a_clock(
    retry_after: str | None, date: str | None, seconds: float | None
) -> None:
    assert wait_of(retry_after, date=date) == seconds
