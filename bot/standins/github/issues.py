"""Issues, comments, labels and reactions over REST."""

import re
from datetime import datetime
from html import escape

from bot.standins.github import thread_shapes as shapes
from bot.standins.github import threads
from bot.standins.github.api import Answer, Call, Route
from bot.standins.github.auth import AsInstallation
from bot.standins.github.problems import Problem
from bot.standins.github.state import Issue


async def get_issue(call: Call) -> Answer:
    return _with_html(call, Answer(200, shapes.issue(call.world, call.repo, _of(call), call.version)))


async def list_comments(call: Call) -> Answer:
    shown, headers = call.page(_of(call).comments)
    return Answer(200, [shapes.comment(call.world, call.repo, one) for one in shown], headers)


async def list_repository_comments(call: Call) -> Answer:
    """By id, or by what `sort` names; `since` is about the last change. `direction` counts with `sort` alone."""
    sort = call.query.get("sort", "")
    if sort not in ("", "created", "updated") or call.query.get("direction", "asc") not in ("asc", "desc"):
        raise Problem(422, "Validation Failed")
    since = _instant(call.query.get("since"))
    rows = [one for one in call.repo.comments.values() if int(one.updated_at) >= since]
    if sort:
        at = (lambda one: one.updated_at) if sort == "updated" else (lambda one: one.created_at)
        rows.sort(key=at, reverse=call.query.get("direction", "desc") == "desc")
    shown, headers = call.page(rows)
    return Answer(200, [shapes.comment(call.world, call.repo, one) for one in shown], headers)


async def create_comment(call: Call) -> Answer:
    comment = threads.add_comment(call.world, call.repo, _of(call), call.actor, call.body.get("body"), via_app=call.app)
    shown = shapes.comment(call.world, call.repo, comment)
    return Answer(201, shown, {"Location": shown["url"]})


async def get_comment(call: Call) -> Answer:
    comment = threads.comment_of(call.repo, call.number("id"))
    return _with_html(call, Answer(200, shapes.comment(call.world, call.repo, comment)))


async def edit_comment(call: Call) -> Answer:
    comment = threads.comment_of(call.repo, call.number("id"))
    threads.edit_comment(call.world, call.repo, comment, call.actor, call.body.get("body"))
    return Answer(200, shapes.comment(call.world, call.repo, comment))


async def create_reaction(call: Call) -> Answer:
    thread = threads.comment_of(call.repo, call.number("id")) if "id" in call.path else _of(call)
    one, is_new = threads.react(call.world, thread.reactions, call.actor, call.body.get("content"))
    return Answer(201 if is_new else 200, shapes.reaction(call.world, one))


def _of(call: Call) -> Issue:
    return threads.issue_of(call.repo, call.number("number"))


def _with_html(call: Call, answer: Answer) -> Answer:
    """For who asks for it: as GitHub's, it names attachments with a pass that is good for a while."""
    if "full+json" in call.accept or "html+json" in call.accept:
        html = escape(answer.body["body"] or "")
        for name, ticket in call.world.passes.items():
            html = re.sub(rf"[^\s()\[\]&]*/{name}", rf'<img src="\g<0>?jwt={ticket}&amp;x=1">', html)
        answer.body["body_html"] = f"<p>{html}</p>"
    return answer


def _instant(text: str | None) -> float:
    if text is None:
        return 0.0
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Problem(422, "Validation Failed") from None


READ = ("issues:read", "pull_requests:read")
WRITE = ("issues:write", "pull_requests:write")
ISSUE = "/repos/{owner}/{repo}/issues/{number}"
COMMENT = "/repos/{owner}/{repo}/issues/comments/{id}"

ROUTES = (
    Route("GET", "/repos/{owner}/{repo}/issues/comments", list_repository_comments, READ),
    Route("GET", COMMENT, get_comment, READ),
    Route("PATCH", COMMENT, edit_comment, WRITE, AsInstallation),
    Route("POST", f"{COMMENT}/reactions", create_reaction, WRITE, AsInstallation),
    Route("GET", ISSUE, get_issue, READ),
    Route("GET", f"{ISSUE}/comments", list_comments, READ),
    Route("POST", f"{ISSUE}/comments", create_comment, WRITE, AsInstallation),
    Route("POST", f"{ISSUE}/reactions", create_reaction, WRITE, AsInstallation),
)
