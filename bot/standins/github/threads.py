"""What can happen to an issue or a pull request's thread, whoever does it: each change sends its webhook."""

from collections.abc import Sequence

from bot.standins.github import thread_shapes as shapes
from bot.standins.github.problems import Problem, invalid, not_found
from bot.standins.github.state import App, Comment, Issue, Json, Label, Reaction, Repository, User
from bot.standins.github.world import World

BODY_LIMIT = 65_536  # characters, for issues, comments and pull requests alike
TITLE_LIMIT = 256


def open_issue(
    world: World, repo: Repository, author: User, title: str, body: str | None, *, via_app: App | None = None
) -> Issue:
    check_title("Issue", title)
    check_body("Issue", body)
    now = world.now()
    issue = Issue(world.next_id(), next_number(repo), author, title, body, now, now, via_app)
    repo.issues[issue.number] = issue
    tell(world, repo, issue, "opened", author)
    return issue


def next_number(repo: Repository) -> int:
    return max([0, *repo.issues, *repo.deleted_issues]) + 1


def delete_issue(world: World, repo: Repository, issue: Issue, by: User) -> None:
    """The number is never used again."""
    del repo.issues[issue.number]
    repo.deleted_issues.add(issue.number)
    for comment in issue.comments:
        del repo.comments[comment.id]
    tell(world, repo, issue, "deleted", by)


def add_comment(
    world: World, repo: Repository, issue: Issue, author: User, body: object, *, via_app: App | None = None
) -> Comment:
    text = check_comment(body)
    if issue.locked and via_app is None and repo.role_of(author) not in ("admin", "maintain", "write"):
        raise Problem(403, "Unable to create comment because issue is locked.")
    now = world.now()
    comment = Comment(world.next_id(), issue, author, text, now, now, via_app)
    issue.comments.append(comment)
    repo.comments[comment.id] = comment
    issue.updated_at = now
    tell_comment(world, repo, comment, "created", author)
    return comment


def edit_comment(world: World, repo: Repository, comment: Comment, by: User, body: object) -> None:
    before, comment.body = comment.body, check_comment(body)
    comment.updated_at = world.now()
    tell_comment(world, repo, comment, "edited", by, {"changes": {"body": {"from": before}}})


def delete_comment(world: World, repo: Repository, comment: Comment, by: User) -> None:
    comment.issue.comments.remove(comment)
    del repo.comments[comment.id]
    tell_comment(world, repo, comment, "deleted", by)


def edit_issue(world: World, repo: Repository, issue: Issue, by: User, *, title: str, body: str | None) -> None:
    check_title("Issue", title)
    check_body("Issue", body)
    changes: Json = {}
    if title != issue.title:
        changes["title"] = {"from": issue.title}
    if body != issue.body:
        changes["body"] = {"from": issue.body or ""}
    if changes:
        issue.title, issue.body, issue.updated_at = title, body, world.now()
        tell(world, repo, issue, "edited", by, {"changes": changes})


def set_state(world: World, repo: Repository, issue: Issue, by: User, state: object, reason: str | None = None) -> None:
    if state not in ("open", "closed"):
        raise invalid("Issue", "state", "invalid")
    if state == issue.state:
        return
    if issue.pull and issue.pull.merged_at is not None:
        raise invalid("PullRequest", "state", "invalid", "A merged pull request cannot be reopened.")
    issue.state = str(state)
    issue.state_reason = (reason or "completed") if state == "closed" else "reopened"
    issue.closed_at = issue.updated_at = world.now()
    issue.closed_by = by
    if state == "open":
        issue.closed_at = issue.closed_by = None
    tell(world, repo, issue, "closed" if state == "closed" else "reopened", by)


def set_lock(world: World, repo: Repository, issue: Issue, by: User, *, locked: bool, reason: str | None) -> None:
    if locked != issue.locked:
        issue.locked, issue.lock_reason = locked, reason if locked else None
        tell(world, repo, issue, "locked" if locked else "unlocked", by)


def add_labels(world: World, repo: Repository, issue: Issue, by: User, names: Sequence[str]) -> None:
    """A label that the repository does not have yet is made, as GitHub does."""
    for name in names:
        label = repo.labels.get(name.lower())
        if label is None:
            label = repo.labels[name.lower()] = Label(world.next_id(), name)
        if label not in issue.labels:
            issue.labels.append(label)
            issue.updated_at = world.now()
            tell(world, repo, issue, "labeled", by, {"label": shapes.label(world, repo, label)})


def remove_label(world: World, repo: Repository, issue: Issue, by: User, name: str) -> None:
    label = next((one for one in issue.labels if one.name.lower() == name.lower()), None)
    if label is None:
        raise Problem(404, "Label does not exist")
    issue.labels.remove(label)
    issue.updated_at = world.now()
    tell(world, repo, issue, "unlabeled", by, {"label": shapes.label(world, repo, label)})


def react(world: World, reactions: list[Reaction], by: User, content: object) -> tuple[Reaction, bool]:
    """The reaction, and whether it is new: everybody reacts once with the same content."""
    if content not in shapes.CONTENTS:
        raise invalid("Reaction", "content", "invalid")
    for reaction in reactions:
        if reaction.user is by and reaction.content == content:
            return reaction, False
    reactions.append(Reaction(world.next_id(), by, str(content), world.now()))
    return reactions[-1], True


# ---------------------------------------------------------------- telling


def tell(world: World, repo: Repository, issue: Issue, action: str, by: User, more: Json | None = None) -> None:
    """The `issues` or `pull_request` event of a change."""
    if issue.pull is None:
        shown: Json = {"issue": shapes.issue(world, repo, issue, shapes.OLDEST_VERSION)}
        world.emit(repo, "issues", action, shown | (more or {}), sender=by)
    else:
        whole = shapes.pull_request(world, repo, issue, issue.pull, shapes.OLDEST_VERSION)
        shown = {"number": issue.number, "pull_request": whole}
        world.emit(repo, "pull_request", action, shown | (more or {}), sender=by)


def tell_comment(
    world: World, repo: Repository, comment: Comment, action: str, by: User, more: Json | None = None
) -> None:
    shown = {
        "issue": shapes.issue(world, repo, comment.issue, shapes.OLDEST_VERSION),
        "comment": shapes.comment(world, repo, comment),
    }
    world.emit(repo, "issue_comment", action, shown | (more or {}), sender=by)


# ---------------------------------------------------------------- looking up, checking


def issue_of(repo: Repository, number: int) -> Issue:
    """Raises Problem 404, or 410 for one that was deleted."""
    if number in repo.deleted_issues:
        raise Problem(410, "This issue was deleted")
    issue = repo.issues.get(number)
    if issue is None:
        raise not_found()
    return issue


def comment_of(repo: Repository, id: int) -> Comment:
    comment = repo.comments.get(id)
    if comment is None:
        raise not_found()
    return comment


def check_title(resource: str, title: object) -> str:
    if not isinstance(title, str) or not title.strip():
        raise invalid(resource, "title", "missing_field")
    if len(title) > TITLE_LIMIT:
        raise invalid(resource, "title", "custom", f"title is too long (maximum is {TITLE_LIMIT} characters)")
    return title


def check_body(resource: str, body: object) -> str | None:
    if body is None:
        return None
    if not isinstance(body, str):
        raise invalid(resource, "body", "invalid")
    if len(body) > BODY_LIMIT:
        raise invalid(resource, "body", "custom", f"body is too long (maximum is {BODY_LIMIT} characters)")
    return body


def check_comment(body: object) -> str:
    text = check_body("IssueComment", body)
    if text is None or not text.strip():
        raise invalid("IssueComment", "body", "missing_field")
    return text
