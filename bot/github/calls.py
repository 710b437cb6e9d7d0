"""Every request the bot may make of GitHub: an allow-list of method and path template, nothing else leaves."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from bot.domain.errors import Unprocessable
from bot.github.pace import Kind

GRAPHQL = "/graphql"
READY_FOR_REVIEW = f"{GRAPHQL} markPullRequestReadyForReview"
_REPO = "/repos/{owner}/{repo}"
_SLOT = re.compile(r"\{(\+?)([a-z_]+)\}")

# The value says whether repeating the call after a lost answer is harmless: it changes nothing, sets a state, adds
# an object that is named by its content (or that nothing points at yet), or is refused the second time by design.
ALLOWED: Mapping[tuple[str, str], bool] = {
    ("GET", "/app"): True,
    ("GET", "/app/installations"): True,
    ("GET", "/app/installations/{installation_id}"): True,
    ("POST", "/app/installations/{installation_id}/access_tokens"): True,
    ("GET", "/app/hook/config"): True,
    ("GET", "/app/hook/deliveries"): True,
    ("POST", "/app/hook/deliveries/{delivery_id}/attempts"): True,
    ("GET", "/installation/repositories"): True,
    ("DELETE", "/installation/token"): True,
    ("GET", "/repositories/{repository_id}"): True,
    ("GET", _REPO): True,
    ("GET", _REPO + "/collaborators/{login}/permission"): True,
    ("GET", _REPO + "/issues/comments"): True,
    ("GET", _REPO + "/issues/{number}"): True,
    ("GET", _REPO + "/issues/{number}/comments"): True,
    ("POST", _REPO + "/issues/{number}/comments"): False,
    ("GET", _REPO + "/issues/comments/{comment_id}"): True,
    ("PATCH", _REPO + "/issues/comments/{comment_id}"): True,
    ("POST", _REPO + "/issues/{number}/reactions"): True,
    ("POST", _REPO + "/issues/comments/{comment_id}/reactions"): True,
    ("GET", _REPO + "/git/ref/heads/{+branch}"): True,
    ("POST", _REPO + "/git/refs"): False,
    ("PATCH", _REPO + "/git/refs/heads/{+branch}"): True,
    ("DELETE", _REPO + "/git/refs/heads/{+branch}"): True,
    ("GET", _REPO + "/git/commits/{sha}"): True,
    ("GET", _REPO + "/commits"): True,
    ("POST", _REPO + "/git/blobs"): True,
    ("POST", _REPO + "/git/trees"): True,
    ("POST", _REPO + "/git/commits"): True,
    ("GET", _REPO + "/pulls"): True,
    ("GET", _REPO + "/pulls/{number}"): True,
    ("PATCH", _REPO + "/pulls/{number}"): True,
    ("POST", _REPO + "/pulls"): False,
    ("POST", _REPO + "/pulls/{number}/requested_reviewers"): True,
    ("GET", _REPO + "/commits/{sha}/check-runs"): True,
    ("POST", _REPO + "/check-runs"): False,
    ("PATCH", _REPO + "/check-runs/{check_run_id}"): True,
    ("POST", READY_FOR_REVIEW): True,
}

# What REST has not is asked for in GraphQL, in these words and no others; a call's body holds the variables alone.
DOCUMENTS: Mapping[str, str] = {
    READY_FOR_REVIEW: "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) "
    "{ pullRequest { isDraft } } }",
}


class NotAllowed(Exception):
    """The code asked for a request that is not on the list: a mistake of ours, never of the requester."""


def repeatable(method: str, template: str) -> bool:
    """Raises NotAllowed for what is not on the list."""
    try:
        return ALLOWED[method, template]
    except KeyError:
        raise NotAllowed(f"{method} {template} is not a request this bot makes") from None


def kind_of(method: str, template: str) -> Kind:
    """What GitHub's limits take the request for. Asking for a delivery again makes no content of ours."""
    if method == "GET":
        return "read"
    if template.startswith(("/app/", "/installation/")):
        return "credential"
    return "object" if template.endswith(("/git/blobs", "/git/trees", "/git/commits")) else "content"


def path_of(method: str, template: str, segments: Mapping[str, str | int]) -> str:
    """The request's path, each value percent-encoded into one segment (`{+name}` keeps its slashes).

    Raises NotAllowed for what is not on the list, Unprocessable for a value that no path can hold.
    """
    repeatable(method, template)
    if template in DOCUMENTS:
        return GRAPHQL
    return _SLOT.sub(lambda slot: _encoded(str(segments[slot[2]]), keep_slashes=bool(slot[1])), template)


def _encoded(value: str, *, keep_slashes: bool) -> str:
    parts = value.split("/") if keep_slashes else [value]
    try:
        encoded = [quote(part, safe="") for part in parts]
    except UnicodeEncodeError:
        raise _unspeakable(value) from None
    if any(part in ("", ".", "..") for part in parts) or any(ord(letter) < 32 for letter in value):
        raise _unspeakable(value)
    return "/".join(encoded)


def _unspeakable(value: str) -> Unprocessable:
    return Unprocessable("github", f"{value[:80]!a} cannot be part of a request's path")
