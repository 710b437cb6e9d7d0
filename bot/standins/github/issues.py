"""Issues, comments, labels and reactions over REST."""

import re
from datetime import datetime
from html import escape

from bot.standins.github import thread_shapes as shapes
from bot.standins.github import threads
from bot.standins.github.api import Answer, Call, Route
from bot.standins.github.auth import AsInstallation
from bot.standins.github.problems import Problem, not_found
from bot.standins.github.state import Issue, Reaction


async def list_issues(call: Call) -> Answer:
    """Newest first, pull requests included, open ones unless `state` says otherwise."""
    state = call.query.get("state", "open")
    names = [name.lower() for name in call.query.get("labels", "").split(",") if name]
    rows = [
        issue
        for issue in sorted(call.repo.issues.values(), key=lambda one: -one.number)
        if state in ("all", issue.state) and all(n in {label.name.lower() for label in issue.labels} for n in names)
    ]
    shown, headers = call.page(rows)
    return Answer(200, [shapes.issue(call.world, call.repo, one, call.version) for one in shown], headers)


async def create_issue(call: Call) -> Answer:
    title = threads.check_title("Issue", call.body.get("title"))
    body = threads.check_body("Issue", call.body.get("body"))
    issue = threads.open_issue(call.world, call.repo, call.actor, title, body, via_app=call.app)
    threads.add_labels(call.world, call.repo, issue, call.actor, _names(call.body.get("labels", [])))
    return _issue(call, issue, 201)


async def get_issue(call: Call) -> Answer:
    return _with_html(call, _issue(call, _of(call)))


async def edit_issue(call: Call) -> Answer:
    issue = _of(call)
    title = threads.check_title("Issue", call.body.get("title", issue.title))
    body = threads.check_body("Issue", call.body.get("body", issue.body))
    threads.edit_issue(call.world, call.repo, issue, call.actor, title=title, body=body)
    if "state" in call.body:
        threads.set_state(call.world, call.repo, issue, call.actor, call.body["state"], call.body.get("state_reason"))
    if "labels" in call.body:
        wanted = _names(call.body["labels"])
        for label in [one for one in issue.labels if one.name not in wanted]:
            threads.remove_label(call.world, call.repo, issue, call.actor, label.name)
        threads.add_labels(call.world, call.repo, issue, call.actor, wanted)
    return _issue(call, issue)


async def lock(call: Call) -> Answer:
    reason = call.body.get("lock_reason")
    threads.set_lock(call.world, call.repo, _of(call), call.actor, locked=True, reason=reason)
    return Answer(204)


async def unlock(call: Call) -> Answer:
    threads.set_lock(call.world, call.repo, _of(call), call.actor, locked=False, reason=None)
    return Answer(204)


# ---------------------------------------------------------------- comments


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


async def delete_comment(call: Call) -> Answer:
    threads.delete_comment(call.world, call.repo, threads.comment_of(call.repo, call.number("id")), call.actor)
    return Answer(204)


# ---------------------------------------------------------------- labels


async def list_labels(call: Call) -> Answer:
    shown, headers = call.page(_of(call).labels)
    return Answer(200, [shapes.label(call.world, call.repo, one) for one in shown], headers)


async def add_labels(call: Call) -> Answer:
    issue = _of(call)
    names = _names(call.body.get("labels", call.body.get("", [])))
    threads.add_labels(call.world, call.repo, issue, call.actor, names)
    return Answer(200, [shapes.label(call.world, call.repo, one) for one in issue.labels])


async def remove_label(call: Call) -> Answer:
    issue = _of(call)
    threads.remove_label(call.world, call.repo, issue, call.actor, call.path["name"])
    return Answer(200, [shapes.label(call.world, call.repo, one) for one in issue.labels])


# ---------------------------------------------------------------- reactions


async def list_reactions(call: Call) -> Answer:
    shown, headers = call.page(_reactions(call))
    return Answer(200, [shapes.reaction(call.world, one) for one in shown], headers)


async def create_reaction(call: Call) -> Answer:
    one, is_new = threads.react(call.world, _reactions(call), call.actor, call.body.get("content"))
    return Answer(201 if is_new else 200, shapes.reaction(call.world, one))


async def delete_reaction(call: Call) -> Answer:
    rows = _reactions(call)
    one = next((row for row in rows if row.id == call.number("reaction")), None)
    if one is None or one.user is not call.actor:
        raise not_found()
    rows.remove(one)
    return Answer(204)


def _reactions(call: Call) -> list[Reaction]:
    if "id" in call.path:
        return threads.comment_of(call.repo, call.number("id")).reactions
    return _of(call).reactions


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


def _issue(call: Call, issue: Issue, status: int = 200) -> Answer:
    return Answer(status, shapes.issue(call.world, call.repo, issue, call.version))


def _instant(text: str | None) -> float:
    if text is None:
        return 0.0
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Problem(422, "Validation Failed") from None


def _names(labels: object) -> list[str]:
    """Names from GitHub's two forms: a list of strings, or of objects with a name."""
    names: list[str] = []
    for one in labels if isinstance(labels, list) else [None]:
        name = one.get("name") if isinstance(one, dict) else one
        if not isinstance(name, str) or not name:
            raise Problem(422, "Validation Failed")
        names.append(name)
    return names


READ = ("issues:read", "pull_requests:read")
WRITE = ("issues:write", "pull_requests:write")
ISSUE = "/repos/{owner}/{repo}/issues/{number}"
COMMENT = "/repos/{owner}/{repo}/issues/comments/{id}"

ROUTES = (
    Route("GET", "/repos/{owner}/{repo}/issues", list_issues, ("issues:read",)),
    Route("POST", "/repos/{owner}/{repo}/issues", create_issue, ("issues:write",), AsInstallation),
    Route("GET", "/repos/{owner}/{repo}/issues/comments", list_repository_comments, READ),
    Route("GET", COMMENT, get_comment, READ),
    Route("PATCH", COMMENT, edit_comment, WRITE, AsInstallation),
    Route("DELETE", COMMENT, delete_comment, WRITE, AsInstallation),
    Route("GET", f"{COMMENT}/reactions", list_reactions, READ),
    Route("POST", f"{COMMENT}/reactions", create_reaction, WRITE, AsInstallation),
    Route("DELETE", f"{COMMENT}/reactions/{{reaction}}", delete_reaction, WRITE, AsInstallation),
    Route("GET", ISSUE, get_issue, READ),
    Route("PATCH", ISSUE, edit_issue, WRITE, AsInstallation),
    Route("PUT", f"{ISSUE}/lock", lock, ("issues:write",), AsInstallation),
    Route("DELETE", f"{ISSUE}/lock", unlock, ("issues:write",), AsInstallation),
    Route("GET", f"{ISSUE}/comments", list_comments, READ),
    Route("POST", f"{ISSUE}/comments", create_comment, WRITE, AsInstallation),
    Route("GET", f"{ISSUE}/labels", list_labels, READ),
    Route("POST", f"{ISSUE}/labels", add_labels, WRITE, AsInstallation),
    Route("DELETE", f"{ISSUE}/labels/{{name}}", remove_label, WRITE, AsInstallation),
    Route("GET", f"{ISSUE}/reactions", list_reactions, READ),
    Route("POST", f"{ISSUE}/reactions", create_reaction, WRITE, AsInstallation),
    Route("DELETE", f"{ISSUE}/reactions/{{reaction}}", delete_reaction, WRITE, AsInstallation),
)
