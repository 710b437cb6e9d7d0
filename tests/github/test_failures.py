"""Which error each refusal of GitHub becomes, what it says and how long to wait."""

import json

import pytest

from bot.domain.errors import AmbiguousWrite, NotFound, ProviderError, Unprocessable
from bot.github.failures import failure, rate_limit

NOW = 1_000_000.0
UNSAID = 60.0


def of(status: int, body: object = None, *, repeatable: bool = True, **headers: str) -> ProviderError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if isinstance(body, bytes) else json.dumps(body or {"message": "No"}).encode()
    limit = rate_limit(status, named, content, now=NOW)
    limited_s = None if limit is None else UNSAID if limit.wait_s is None else limit.wait_s
    return failure(status, named, content, call="GET /x", repeatable=repeatable, limited_s=limited_s)


@pytest.mark.parametrize(
    ("error", "kind", "retryable", "wait_s"),
    [
        pytest.param(of(401), ProviderError, False, None, id="bad-credentials"),
        pytest.param(of(403), ProviderError, False, None, id="not-permitted"),
        pytest.param(of(404), NotFound, False, None, id="absent"),
        pytest.param(of(410), NotFound, False, None, id="gone"),
        pytest.param(of(409), Unprocessable, False, None, id="conflict"),
        pytest.param(of(422), Unprocessable, False, None, id="invalid"),
        pytest.param(of(451), ProviderError, False, None, id="blocked-by-law"),
        pytest.param(of(408), ProviderError, True, None, id="request-too-slow"),
        pytest.param(of(500), ProviderError, True, None, id="broken"),
        pytest.param(of(502, b"<html>"), ProviderError, True, None, id="bad-gateway-page"),
        pytest.param(of(503, repeatable=False), AmbiguousWrite, True, None, id="broken-while-writing"),
        pytest.param(of(429), ProviderError, True, 60.0, id="429-without-a-time"),
        pytest.param(of(429, retry_after="7"), ProviderError, True, 7.0, id="429-with-a-time"),
        pytest.param(of(403, retry_after="30"), ProviderError, True, 30.0, id="secondary-with-a-time"),
        pytest.param(
            of(403, {"message": "You have exceeded a secondary rate limit."}),
            ProviderError,
            True,
            60.0,
            id="secondary-without-a-time",
        ),
        pytest.param(
            of(403, x_ratelimit_remaining="0", x_ratelimit_reset="1000090"), ProviderError, True, 91.0, id="primary"
        ),
        pytest.param(
            of(403, x_ratelimit_remaining="0", x_ratelimit_reset="5"), ProviderError, True, 1.0, id="reset-in-the-past"
        ),
        pytest.param(
            of(403, x_ratelimit_remaining="12", x_ratelimit_reset="1000090"),
            ProviderError,
            False,
            None,
            id="not-permitted-though-a-reset-is-named",
        ),
        pytest.param(of(429, retry_after="soon"), ProviderError, True, 60.0, id="a-time-that-is-none"),
        pytest.param(of(429, repeatable=False), ProviderError, True, 60.0, id="a-limited-write-did-not-happen"),
    ],
)
def test_each_refusal_says_who_can_act_and_when(
    error: ProviderError, kind: type[ProviderError], retryable: bool, wait_s: float | None
) -> None:
    assert (type(error), error.retryable, error.retry_after_s) == (kind, retryable, wait_s)


def test_the_words_are_githubs_own() -> None:
    body = {
        "message": "Validation Failed",
        "errors": [{"resource": "PullRequest", "field": "head", "code": "invalid"}, {"message": "Twice"}, "And so on"],
    }
    said = "Validation Failed; PullRequest head invalid; Twice; And so on (GET /x: HTTP 422)"
    assert str(of(422, body)) == f"github: {said}"


def test_a_missing_permission_is_named() -> None:
    body = {"message": "Resource not accessible by integration"}
    assert str(of(403, body, x_accepted_github_permissions="checks=write")) == (
        "github: Resource not accessible by integration (GET /x: HTTP 403); "
        "it needs the permission checks=write, which the App's owner and the installation must grant"
    )


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"x"', b"\xff", b'{"message": 3, "errors": {"a": 1}}'])
def test_a_body_that_is_no_explanation_is_no_problem(body: bytes) -> None:
    assert str(of(500, body)) == "github: no reason given (GET /x: HTTP 500)"


def test_the_words_are_one_line_of_bounded_length() -> None:
    said = str(of(500, {"message": "a\nb\x1b[31m" + "x" * 5000}))
    assert said.isprintable()
    assert len(said) < 400
