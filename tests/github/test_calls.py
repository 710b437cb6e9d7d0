"""The allow-list: nothing else leaves, and no value can bend a path or a host."""

import httpx
import pytest

from bot.domain.errors import Unprocessable
from bot.github.addresses import graphql_url
from bot.github.calls import ALLOWED, DOCUMENTS, READY_FOR_REVIEW, NotAllowed, path_of, repeatable
from bot.github.client import renamed_path

PERMISSION = "/repos/{owner}/{repo}/collaborators/{login}/permission"

HOSTILE = {
    "query": "bob?admin=1",
    "fragment": "bob#x",
    "slash": "bob/permission",
    "up-encoded": "%2e%2e",
    "slash-encoded": "bob%2fx",
    "twice-encoded": "%252e%252e%252f",
    "host": "//evil.example",
    "scheme": "https://evil.example/",
    "userinfo": "bob@evil.example",
    "port": "bob:8080",
    "backslashes": "..\\..\\x",
    "backslash-host": "\\\\evil.example",
    "semicolon": "bob;x=1",
    "ampersand": "bob&x=1",
    "space": "bob x",
    "plus": "bob+x",
    "star": "*",
    "brackets": "dependabot[bot]",
    "braces": "{login}",
    "quote": 'bob"',
    "percent": "100%",
    "accent": "b\u00f6b",
    "full-width-slash": "bob\uff0fx",
    "full-width-dots": "\uff0e\uff0e",
    "division-slash": "bob\u2215x",
    "emoji": "\U0001f600",
    "long": "b" * 5000,
    "tilde": "~root",
    "dollar": "$HOME",
}
IMPOSSIBLE = {
    "nothing": "",
    "dot": ".",
    "up": "..",
    "newline": "bob\nx",
    "header": "bob\r\nX-Evil: 1",
    "nul": "bob\x00",
    "tab": "bob\tx",
    "surrogate": "bob\udc80",
}


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in HOSTILE.items()])
def test_a_hostile_value_stays_one_segment_on_the_same_host(value: str) -> None:
    """S29. Red when `_encoded` returns its value as it is (tried)."""
    path = path_of("GET", PERMISSION, {"owner": "acme", "repo": "widget", "login": value})
    url = httpx.Client(base_url="https://api.github.com/").build_request("GET", path).url
    assert (url.scheme, url.host, url.port, url.query, url.fragment) == ("https", "api.github.com", None, b"", "")
    assert url.raw_path.count(b"/") == PERMISSION.count("/")
    assert httpx.URL(f"https://x/{url.raw_path.decode().split('/')[5]}").path == f"/{value}"


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in IMPOSSIBLE.items()])
def test_a_value_no_path_can_hold_is_refused(value: str) -> None:
    with pytest.raises(Unprocessable, match="cannot be part of a request's path"):
        path_of("GET", PERMISSION, {"owner": "acme", "repo": "widget", "login": value})


@pytest.mark.parametrize("branch", ["backspace/../main", "backspace//x", "backspace/.", "../x", "backspace/"])
def test_a_branch_keeps_its_slashes_and_nothing_else(branch: str) -> None:
    template = "/repos/{owner}/{repo}/git/ref/heads/{+branch}"
    fine = path_of("GET", template, {"owner": "a", "repo": "b", "branch": "backspace/1-x?y"})
    assert fine == "/repos/a/b/git/ref/heads/backspace/1-x%3Fy"
    with pytest.raises(Unprocessable):
        path_of("GET", template, {"owner": "a", "repo": "b", "branch": branch})


@pytest.mark.parametrize(
    ("method", "template"),
    [
        ("DELETE", "/repos/{owner}/{repo}"),
        ("PUT", "/repos/{owner}/{repo}/pulls/{number}/merge"),
        ("POST", "/repos/{owner}/{repo}/pulls/{number}/reviews"),
        ("PUT", "/repos/{owner}/{repo}/contents/{path}"),
        ("POST", "/graphql"),
        ("GET", "https://evil.example/"),
        ("get", "/app"),
    ],
)
def test_what_is_not_on_the_list_is_our_mistake_and_never_leaves(method: str, template: str) -> None:
    """S28. Red when `repeatable` answers False for what it does not know (tried)."""
    with pytest.raises(NotAllowed):
        path_of(method, template, {"owner": "a", "repo": "b", "number": 1, "path": "x"})


def test_graphql_is_asked_for_one_mutation_and_no_call_brings_a_document_of_its_own() -> None:
    """S28; `/graphql` alone is refused above."""
    assert path_of("POST", READY_FOR_REVIEW, {}) == "/graphql"
    assert list(DOCUMENTS) == [READY_FOR_REVIEW]
    assert DOCUMENTS[READY_FOR_REVIEW].startswith("mutation($id: ID!) { markPullRequestReadyForReview(")


@pytest.mark.parametrize(
    ("api_url", "url"),
    [
        ("https://api.github.com", "https://api.github.com/graphql"),
        ("https://api.acme.ghe.com/", "https://api.acme.ghe.com/graphql"),
        ("https://ghe.example/api/v3", "https://ghe.example/api/graphql"),
        ("https://ghe.example/api/v3/", "https://ghe.example/api/graphql"),
    ],
)
def test_graphql_lies_where_github_documents_it(api_url: str, url: str) -> None:
    assert graphql_url(api_url) == url


def test_only_what_makes_something_new_and_visible_must_not_be_repeated_blindly() -> None:
    once = sorted(f"{method} {template}" for method, template in ALLOWED if not repeatable(method, template))
    assert once == [
        "POST /repos/{owner}/{repo}/check-runs",
        "POST /repos/{owner}/{repo}/git/refs",
        "POST /repos/{owner}/{repo}/issues/{number}/comments",
        "POST /repos/{owner}/{repo}/pulls",
    ]


@pytest.mark.parametrize(
    ("location", "path"),
    [
        pytest.param("https://ghe.example/api/v3/repositories/7", "/repositories/7", id="by-id"),
        pytest.param("https://ghe.example/api/v3/repos/new/name", "/repos/new/name", id="by-name"),
        pytest.param("/api/v3/repositories/7", "/repositories/7", id="without-host"),
        pytest.param("https://GHE.example:443/api/v3/repositories/7", "/repositories/7", id="same-host-spelled-out"),
        pytest.param("", None, id="nothing"),
        pytest.param("https://evil.example/api/v3/repositories/7", None, id="other-host"),
        pytest.param("//evil.example/api/v3/repositories/7", None, id="other-host-without-scheme"),
        pytest.param("http://ghe.example/api/v3/repositories/7", None, id="without-tls"),
        pytest.param("https://ghe.example:8443/api/v3/repositories/7", None, id="other-port"),
        pytest.param("https://u:p@ghe.example/api/v3/repositories/7", None, id="with-password"),
        pytest.param("https://ghe.example@evil.example/api/v3/repositories/7", None, id="host-as-user"),
        pytest.param("https://ghe.example.evil.example/api/v3/repositories/7", None, id="longer-host"),
        pytest.param("https://ghe.example/repositories/7", None, id="outside-the-api"),
        pytest.param("https://ghe.example/api/v3/repositories/7/../8", "/repositories/8", id="dots-stay-inside"),
        pytest.param("https://ghe.example/api/v3/repositories/7?x=1", None, id="query"),
        pytest.param("https://ghe.example/api/v3/repositories/x", None, id="not-a-number"),
        pytest.param("https://ghe.example/api/v3/repos/a/b/pulls", None, id="deeper"),
        pytest.param("https://ghe.example/api/v3/user", None, id="other-endpoint"),
        pytest.param("javascript:alert(1)", None, id="script"),
        pytest.param("file:///etc/passwd", None, id="file"),
        pytest.param("https://[bad", None, id="no-url"),
        pytest.param("https://ghe.example\\@evil.example/api/v3/repositories/7", None, id="backslash"),
    ],
)
def test_only_a_renamed_repository_on_the_same_host_is_followed(location: str, path: str | None) -> None:
    """S29. Red when `renamed_path` compares no host (tried)."""
    assert renamed_path(location, base_url="https://ghe.example/api/v3/") == path
