"""The one mutation over GraphQL that REST has not: a draft becomes a pull request that is ready for review.

GitHub answers 200 to what it refuses, with the reasons beside the data. An App's token needs to write pull requests
and contents for this one.
"""

import re

from bot.standins.github import threads
from bot.standins.github.api import Answer, Call, Route
from bot.standins.github.auth import AsInstallation
from bot.standins.github.problems import Problem
from bot.standins.github.shapes import node_id
from bot.standins.github.state import Issue, Json, PullRequest, Repository

FIELD = "markPullRequestReadyForReview"
NEEDS = ("pull_requests:write", "contents:write")
_DOCUMENT = re.compile(
    rf"\s*mutation\s*(?:\w+\s*)?\(\s*\$id\s*:\s*ID!\s*\)\s*\{{\s*{FIELD}\s*\(\s*input\s*:\s*"
    r"\{\s*pullRequestId\s*:\s*\$id\s*\}\s*\)\s*\{\s*pullRequest\s*\{\s*isDraft\s*\}\s*\}\s*\}\s*"
)


async def execute(call: Call) -> Answer:
    query, variables = call.body.get("query"), call.body.get("variables")
    if not isinstance(query, str):
        raise Problem(400, "A query attribute must be specified and must be a string.")
    if not _DOCUMENT.fullmatch(query):
        return Answer(200, {"errors": [{"message": "this stand-in knows one mutation", "locations": []}]})
    id = variables.get("id") if isinstance(variables, dict) else None
    if not isinstance(id, str):
        message = "Variable $id of type ID! was provided invalid value"
        return Answer(200, {"errors": [{"message": message, "locations": [{"line": 1, "column": 10}]}]})
    return _mark_ready(call, id)


def _mark_ready(call: Call, id: str) -> Answer:
    assert isinstance(call.caller, AsInstallation), "the route lets nobody else in"
    found = _seen_by(call, call.caller, id)
    if found is None:
        return _refused("NOT_FOUND", f"Could not resolve to a node with the global id of '{id}'")
    repo, issue, pull = found
    if not all(map(call.caller.allows, NEEDS)):
        return _refused("FORBIDDEN", "Resource not accessible by integration", extensions={"saml_failure": False})
    if not pull.draft:
        return _refused("UNPROCESSABLE", "Pull request is not a draft")
    pull.draft, issue.updated_at = False, call.world.now()
    threads.tell(call.world, repo, issue, "ready_for_review", call.actor)
    return Answer(200, {"data": {FIELD: {"pullRequest": {"isDraft": False}}}})


def _seen_by(call: Call, caller: AsInstallation, id: str) -> tuple[Repository, Issue, PullRequest] | None:
    for repo in call.world.repositories.values():
        for issue in repo.pulls() if caller.covers(repo) and caller.allows("pull_requests:read") else ():
            if issue.pull and node_id("PR", issue.pull.id) == id:
                return repo, issue, issue.pull
    return None


def _refused(type: str, message: str, **more: Json) -> Answer:
    error = {"type": type, "path": [FIELD], "locations": [{"line": 1, "column": 21}], "message": message, **more}
    return Answer(200, {"data": {FIELD: None}, "errors": [error]})


ROUTES = (Route("POST", "/graphql", execute, caller=AsInstallation),)
