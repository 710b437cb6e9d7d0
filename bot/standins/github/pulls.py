"""Pull requests over REST."""

from asyncio import to_thread
from collections.abc import Iterable

from bot.standins.github import thread_shapes as shapes
from bot.standins.github import threads
from bot.standins.github.api import Answer, Call, Route
from bot.standins.github.auth import AsInstallation
from bot.standins.github.differences import measure
from bot.standins.github.problems import Problem, existing, invalid, refused
from bot.standins.github.state import Issue, PullRequest, Repository, User


async def list_pulls(call: Call) -> Answer:
    """Newest first; `head` is `owner:branch`, as GitHub ignores other forms."""
    state, head, base = call.query.get("state", "open"), call.query.get("head", ""), call.query.get("base")
    owner, _, branch = head.partition(":")
    rows = [
        (issue, issue.pull)
        for issue in call.repo.pulls()
        if issue.pull
        and state in ("all", issue.state)
        and (not branch or (branch == issue.pull.head_ref and owner.lower() == call.repo.owner.login.lower()))
        and (base is None or base == issue.pull.base_ref)
    ]
    newest_first = call.query.get("direction", "desc") == "desc"
    rows.sort(key=lambda row: row[0].number, reverse=newest_first)
    shown, headers = call.page(rows)
    return Answer(
        200, [shapes.pull_simple(call.world, call.repo, issue, pull, call.version) for issue, pull in shown], headers
    )


async def create_pull(call: Call) -> Answer:
    """422 for branches that are not there, that hold nothing to merge, or that have one open."""
    title = threads.check_title("PullRequest", call.body.get("title"))
    body = threads.check_body("PullRequest", call.body.get("body"))
    head, base = call.body.get("head"), call.body.get("base")
    for name, value in (("head", head), ("base", base)):
        if not isinstance(value, str) or not value:
            raise Problem(422, f'Invalid request.\n\n"{name}" wasn\'t supplied.')
    repo, base = call.repo, str(base)
    owner, _, branch = str(head).rpartition(":")
    refs = await to_thread(repo.git.refs, "refs/heads/")
    if (owner and owner.lower() != repo.owner.login.lower()) or f"refs/heads/{branch}" not in refs:
        raise invalid("PullRequest", "head", "invalid")
    if f"refs/heads/{base}" not in refs:
        raise invalid("PullRequest", "base", "invalid")
    head_sha, base_sha = refs[f"refs/heads/{branch}"][1], refs[f"refs/heads/{base}"][1]
    size = await to_thread(measure, repo.git, base_sha, head_sha)
    if size.commits == 0:
        raise refused("PullRequest", f"No commits between {base} and {branch}")
    if any(one.state == "open" and one.pull and one.pull.head_ref == branch for one in _same_base(repo, base)):
        raise refused("PullRequest", f"A pull request already exists for {repo.owner.login}:{branch}.")
    now, next_id = call.world.now(), call.world.next_id
    issue = Issue(next_id(), threads.next_number(repo), call.actor, title, body, now, now, call.app)
    issue.pull = PullRequest(next_id(), branch, head_sha, base, base_sha, call.body.get("draft") is True, size)
    repo.issues[issue.number] = issue
    await to_thread(repo.git.move_ref, f"refs/pull/{issue.number}/head", head_sha)
    shown = _whole(call, issue).body
    return Answer(201, shown, {"Location": shown["url"]})


def _same_base(repo: Repository, base: str) -> Iterable[Issue]:
    return (issue for issue in repo.pulls() if issue.pull and issue.pull.base_ref == base)


async def get_pull(call: Call) -> Answer:
    return _whole(call, _of(call)[0])


async def edit_pull(call: Call) -> Answer:
    issue, _ = _of(call)
    issue.title = threads.check_title("PullRequest", call.body.get("title", issue.title))
    issue.body = threads.check_body("PullRequest", call.body.get("body", issue.body))
    issue.updated_at = call.world.now()
    return _whole(call, issue)


async def request_reviewers(call: Call) -> Answer:
    """Only collaborators may be asked, and never the author."""
    issue, pull = _of(call)
    logins = call.body.get("reviewers", [])
    wanted = [call.world.user(str(login)) for login in logins] if isinstance(logins, list) else [None]
    for who in wanted:
        if who is None or call.repo.role_of(who) == "none" or not _collaborates(call.repo, who):
            raise Problem(
                422,
                "Reviews may only be requested from collaborators. One or more of the users or teams you specified is "
                f"not a collaborator of the {call.repo.full_name} repository.",
            )
        if who is issue.author:
            raise Problem(422, "Review cannot be requested from pull request author.")
        if who not in pull.requested_reviewers:
            pull.requested_reviewers.append(who)
    return Answer(201, shapes.pull_simple(call.world, call.repo, issue, pull, call.version))


def _collaborates(repo: Repository, who: User) -> bool:
    return who is repo.owner or who.id in repo.roles


def _of(call: Call) -> tuple[Issue, PullRequest]:
    issue = threads.issue_of(call.repo, call.number("number"))
    return issue, existing(issue.pull)


def _whole(call: Call, issue: Issue) -> Answer:
    return Answer(200, shapes.pull_request(call.world, call.repo, issue, existing(issue.pull), call.version))


PULLS = "/repos/{owner}/{repo}/pulls"
READ, WRITE = ("pull_requests:read",), ("pull_requests:write",)
ROUTES = (
    Route("GET", PULLS, list_pulls, READ),
    Route("POST", PULLS, create_pull, WRITE, AsInstallation),
    Route("GET", f"{PULLS}/{{number}}", get_pull, READ),
    Route("PATCH", f"{PULLS}/{{number}}", edit_pull, WRITE, AsInstallation),
    Route("POST", f"{PULLS}/{{number}}/requested_reviewers", request_reviewers, WRITE, AsInstallation),
)
