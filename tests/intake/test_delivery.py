"""A delivery is believed because of its signature, and read no further than the bot needs."""

import json
import time
from collections.abc import Iterable
from typing import Any

import pytest

from bot.domain.errors import BadSignature
from bot.intake.delivery import Delivery, IssueCommentEvent, IssuesEvent, Malformed, NotJson, Unread, receive
from tests.payloads.samples import SECRET, body_of, examples, headers_of, labeled, mention, signature_of

KEY = SECRET.encode()
HELLO_SECRET, HELLO = b"It's a Secret to Everybody", b"Hello, World!"
HELLO_DIGEST = b"757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
Pairs = list[tuple[bytes, bytes]]


def raw(headers: Iterable[tuple[str, str]]) -> Pairs:
    return [(name.encode(), value.encode()) for name, value in headers]


def received(body: bytes, *, event: str = "issue_comment", secrets: tuple[bytes, ...] = (KEY,)) -> Delivery:
    return receive(raw(headers_of(body, event=event).items()), body, secrets=secrets)


def with_signature(*values: bytes) -> Pairs:
    others = [(n, v) for n, v in raw(headers_of(HELLO).items()) if n != b"x-hub-signature-256"]
    return [*others, *((b"x-hub-signature-256", value) for value in values)]


def test_githubs_own_test_vector_is_believed() -> None:
    """The body is no JSON, so a believed signature shows as the next complaint."""
    with pytest.raises(Malformed, match="not a JSON object"):
        receive(with_signature(b"sha256=" + HELLO_DIGEST), HELLO, secrets=[HELLO_SECRET])


@pytest.mark.parametrize(
    "signatures",
    [
        pytest.param([], id="missing"),
        pytest.param([b""], id="empty"),
        pytest.param([b"sha256="], id="no-digest"),
        pytest.param([HELLO_DIGEST], id="no-prefix"),
        pytest.param([b"sha1=" + HELLO_DIGEST[:40]], id="sha1"),
        pytest.param([b"sha512=" + HELLO_DIGEST], id="other-hash"),
        pytest.param([b"sha256=" + HELLO_DIGEST.upper()], id="upper-case"),
        pytest.param([b"SHA256=" + HELLO_DIGEST], id="upper-case-prefix"),
        pytest.param([b"sha256=" + HELLO_DIGEST[:-1]], id="63-digits"),
        pytest.param([b"sha256=" + HELLO_DIGEST + b"7"], id="65-digits"),
        pytest.param([b"sha256=" + HELLO_DIGEST[:-1] + b"8"], id="one-digit-wrong"),
        pytest.param([b"sha256=" + b"0" * 64], id="zeros"),
        pytest.param([b"sha256=" + HELLO_DIGEST[:-1] + b"\x00"], id="NUL-inside"),
        pytest.param([b"sha256=" + HELLO_DIGEST + b"\x00"], id="NUL-after"),
        pytest.param([b"sha256=" + HELLO_DIGEST[:-1] + "\u0667".encode()], id="arabic-digit"),
        pytest.param([b"sha256=" + b"\xff" * 64], id="non-ascii-bytes"),
        pytest.param([b" sha256=" + HELLO_DIGEST], id="space-before"),
        pytest.param([b"sha256= " + HELLO_DIGEST], id="space-inside"),
        pytest.param([b"sha256=" + HELLO_DIGEST + b",sha256=" + HELLO_DIGEST], id="a-list"),
        pytest.param([b"sha256=" + HELLO_DIGEST] * 2, id="header-twice"),
        pytest.param([b"sha256=" + HELLO_DIGEST, b"sha256=" + b"0" * 64], id="right-then-wrong"),
        pytest.param([b"sha256=" + b"0" * 64, b"sha256=" + HELLO_DIGEST], id="wrong-then-right"),
        pytest.param([signature_of(HELLO, "another secret").encode()], id="another-secret"),
        pytest.param([signature_of(HELLO + b"\n", HELLO_SECRET.decode()).encode()], id="another-body"),
    ],
)
def test_a_signature_that_is_not_exactly_right_is_refused(signatures: list[bytes]) -> None:
    """Turned red by hand: with `_verify` returning at once all 24 cases fail."""
    with pytest.raises(BadSignature):
        receive(with_signature(*signatures), HELLO, secrets=[HELLO_SECRET])


def test_without_a_secret_nothing_is_believed() -> None:
    with pytest.raises(BadSignature):
        receive(with_signature(signature_of(HELLO, "").encode()), HELLO, secrets=[])


@pytest.mark.parametrize("secrets", [(KEY, b"the one before"), (b"the one before", KEY)], ids=["first", "second"])
def test_either_of_two_secrets_is_believed_while_one_is_replaced(secrets: tuple[bytes, ...]) -> None:
    assert received(body_of(mention()), secrets=secrets).action == "created"


def test_the_signature_is_checked_before_anything_is_read() -> None:
    broken = b"{" * 100_000
    with pytest.raises(BadSignature):
        receive([(b"x-hub-signature-256", b"sha256=" + b"0" * 64)], broken, secrets=[KEY])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"x-github-event": None}, "X-GitHub-Event", id="no-event"),
        pytest.param({"x-github-event": ""}, "X-GitHub-Event", id="empty-event"),
        pytest.param({"x-github-event": "Issue Comment"}, "X-GitHub-Event", id="event-with-space"),
        pytest.param({"x-github-event": "ISSUES"}, "X-GitHub-Event", id="event-upper-case"),
        pytest.param({"x-github-event": "a" * 65}, "X-GitHub-Event", id="event-too-long"),
        pytest.param({"x-github-event": "issues\x00"}, "X-GitHub-Event", id="event-with-NUL"),
        pytest.param({"x-github-event": "issues\r\nx"}, "X-GitHub-Event", id="event-with-line-end"),
        pytest.param({"x-github-event": "is\u017fues"}, "X-GitHub-Event", id="event-not-ascii"),
        pytest.param({"x-github-event": "../issues"}, "X-GitHub-Event", id="event-is-a-path"),
        pytest.param({"x-github-delivery": None}, "X-GitHub-Delivery", id="no-id"),
        pytest.param({"x-github-delivery": ""}, "X-GitHub-Delivery", id="empty-id"),
        pytest.param({"x-github-delivery": "a" * 65}, "X-GitHub-Delivery", id="id-too-long"),
        pytest.param({"x-github-delivery": "1 or 1=1"}, "X-GitHub-Delivery", id="id-with-spaces"),
        pytest.param({"x-github-delivery": "\x1b[31m"}, "X-GitHub-Delivery", id="id-with-escape"),
        pytest.param({"x-github-delivery": "-rf"}, "X-GitHub-Delivery", id="id-like-an-option"),
        pytest.param({"x-github-delivery": "\ud7ff"}, "X-GitHub-Delivery", id="id-not-ascii"),
    ],
)
def test_headers_that_are_missing_or_odd_are_named(changes: dict[str, str | None], problem: str) -> None:
    body = body_of(mention())
    headers = {name: value for name, value in {**headers_of(body), **changes}.items() if value is not None}
    with pytest.raises(Malformed, match=problem):
        receive(raw(headers.items()), body, secrets=[KEY])


@pytest.mark.parametrize("name", ["x-github-event", "x-github-delivery", "content-type"])
def test_a_header_given_twice_is_refused(name: str) -> None:
    body = body_of(mention())
    headers = headers_of(body)
    with pytest.raises(Malformed, match="more than once"):
        receive([*raw(headers.items()), (name.upper().encode(), headers[name].encode())], body, secrets=[KEY])


@pytest.mark.parametrize(
    "content_type", ["", "application/x-www-form-urlencoded", "text/json", "application/json5", "application/jsonx"]
)
def test_another_content_type_is_refused_with_the_remedy(content_type: str) -> None:
    body = body_of(mention())
    with pytest.raises(NotJson, match="choose that content type"):
        receive(raw({**headers_of(body), "content-type": content_type}.items()), body, secrets=[KEY])


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;a=b"]
)
def test_json_may_carry_parameters(content_type: str) -> None:
    body = body_of(mention())
    headers = {**headers_of(body), "content-type": content_type}
    assert receive(raw(headers.items()), body, secrets=[KEY]).event == "issue_comment"


@pytest.mark.parametrize("event", ["issue_comment", "issues", "ping"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b" ", id="space"),
        pytest.param(b"\x00", id="NUL"),
        pytest.param(b"null", id="null"),
        pytest.param(b"true", id="true"),
        pytest.param(b"7", id="number"),
        pytest.param(b'"text"', id="string"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"{", id="cut"),
        pytest.param(b'{"action":', id="cut-after-key"),
        pytest.param(b"{}{}", id="two-objects"),
        pytest.param(b"{} trailing", id="trailing-text"),
        pytest.param(b"{'action':'created'}", id="single-quotes"),
        pytest.param(b'{"action":"created",}', id="trailing-comma"),
        pytest.param(b'{"a":1 /* no */}', id="comment"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte-order-mark"),
        pytest.param('{"action":"created"}'.encode("utf-16"), id="utf-16"),
        pytest.param(b'{"a":"\xff"}', id="not-utf-8"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="encoded-surrogate"),
        pytest.param(b'{"a":"\xc0\xaf"}', id="overlong"),
        pytest.param(b'{"a":"\\ud800"}', id="lone-surrogate"),
        pytest.param(b'{"a":"\\udc00\\ud800"}', id="surrogates-in-the-wrong-order"),
        pytest.param(b'{"a":"\x01"}', id="raw-control-character"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", id="5000-digits"),
        pytest.param(b"[" * 100_000, id="depth-100000-arrays"),
        pytest.param(b'{"a":' * 100_000, id="depth-100000-objects"),
        pytest.param(b'{"a":01}', id="leading-zero"),
        pytest.param(b'{"a":0x10}', id="hexadecimal"),
        pytest.param(b"payload=%7B%7D", id="form-body"),
    ],
)
def test_a_signed_body_that_is_no_json_object_is_malformed(event: str, body: bytes) -> None:
    with pytest.raises(Malformed, match="not a JSON object"):
        received(body, event=event)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"issue": None}, "issue", id="null-issue"),
        pytest.param({"issue": []}, "issue", id="issue-is-a-list"),
        pytest.param({"comment": None}, "comment", id="null-comment"),
        pytest.param({"comment": "text"}, "comment", id="comment-is-text"),
        pytest.param({"repository": None}, "repository", id="null-repository"),
        pytest.param({"repository__owner": None}, "repository.owner", id="null-owner"),
        pytest.param({"sender": None}, "sender", id="null-sender"),
        pytest.param({"sender__id": "1"}, "sender.id", id="id-is-text"),
        pytest.param({"sender__id": True}, "sender.id", id="id-is-true"),
        pytest.param({"sender__id": 1.0}, "sender.id", id="id-is-a-fraction"),
        pytest.param({"sender__id": float("nan")}, "sender.id", id="id-is-NaN"),
        pytest.param({"sender__id": 0}, "sender.id", id="id-is-zero"),
        pytest.param({"sender__id": -1}, "sender.id", id="id-is-negative"),
        pytest.param({"sender__id": 2**63}, "sender.id", id="id-beyond-63-bits"),
        pytest.param({"comment__id": 10**4000}, "comment.id", id="id-of-4001-digits"),
        pytest.param({"sender__login": "a/../b"}, "sender.login", id="login-is-a-path"),
        pytest.param({"sender__login": "a b"}, "sender.login", id="login-with-space"),
        pytest.param({"sender__login": ""}, "sender.login", id="empty-login"),
        pytest.param({"sender__login": "x\n"}, "sender.login", id="login-with-line-end"),
        pytest.param({"repository__name": "a/b"}, "repository.name", id="name-with-slash"),
        pytest.param({"repository__name": "a\u202eb"}, "repository.name", id="name-with-bidi"),
        pytest.param({"repository__default_branch": "-x"}, "repository.default_branch", id="branch-like-an-option"),
        pytest.param({"repository__default_branch": "a b"}, "repository.default_branch", id="branch-with-space"),
        pytest.param({"issue__number": None}, "issue.number", id="null-number"),
        pytest.param({"issue__title": None}, "issue.title", id="null-title"),
        pytest.param({"issue__title": "a\x00b"}, "issue.title", id="NUL-in-title"),
        pytest.param({"comment__body": 7}, "comment.body", id="body-is-a-number"),
        pytest.param({"comment__body": "a\x00b"}, "comment.body", id="NUL-in-body"),
        pytest.param({"installation": {"id": None}}, "installation.id", id="null-installation-id"),
        pytest.param({"installation": 7}, "installation", id="installation-is-a-number"),
        pytest.param({"action": None}, "action", id="null-action"),
    ],
)
def test_a_field_that_is_not_as_documented_is_named_and_not_guessed(changes: dict[str, Any], field: str) -> None:
    payload = received(body_of(mention(**changes))).payload
    assert payload == Unread(f"`{field}` is missing from the issue_comment payload or is not what GitHub documents.")


def test_of_a_key_given_twice_the_last_counts() -> None:
    body = body_of(mention())[:-1] + b', "action": "deleted"}'
    assert received(body).action == "deleted"


def test_what_nobody_reads_may_be_anything() -> None:
    body = body_of(mention())[:-1] + b', "extra": {"a": [NaN, 1e999, null, ' + b"9" * 4000 + b"]}}"
    assert isinstance(received(body).payload, IssueCommentEvent)


def test_the_parts_the_bot_uses_are_decoded() -> None:
    payload = received(body_of(mention("/backspace \u2764"))).payload
    assert isinstance(payload, IssueCommentEvent)
    assert (payload.comment.body, payload.sender.login, payload.repository.name) == (
        "/backspace \u2764",
        "Codertocat",
        "Hello-World",
    )
    assert isinstance(received(body_of(labeled()), event="issues").payload, IssuesEvent)


def test_an_action_that_is_no_word_is_no_action() -> None:
    for action in ["\x1b[2J", 7, None, ["created"], "a" * 1000]:
        assert received(json.dumps({"action": action}).encode(), event="ping").action == ""


def test_every_published_example_decodes() -> None:
    for event, text in examples():
        delivery = received(text.encode(), event=event)
        assert delivery.event == event
        assert delivery.action == json.loads(text).get("action", "")
        if event in ("issue_comment", "issues"):
            assert not isinstance(delivery.payload, Unread), delivery.payload
    assert len(examples()) == 329


def test_a_large_delivery_takes_milliseconds() -> None:
    body = body_of(mention("x" * 20_000_000))
    started = time.process_time()
    received(body)
    assert time.process_time() - started < 2
