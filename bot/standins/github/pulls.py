"""Pull requests over REST."""

from asyncio import to_thread
from collections.abc import Iterable

from bot.standins.github import git_shapes, threads
from bot.standins.github import shapes as common
from bot.standins.github import thread_shapes as shapes
from bot.standins.github.api import Answer, Call, Route
from bot.standins.github.auth import AsInstallation
from bot.standins.github.differences import changes, diff_text, parting
from bot.standins.github.measuring import measure
from bot.standins.github.problems import Problem, invalid, not_found, refused
from bot.standins.github.state import App, Issue, PullRequest, Repository, User
from bot.standins.github.world import World


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
    title = threads.check_title("PullRequest", call.body.get("title"))
    body = threads.check_body("PullRequest", call.body.get("body"))
    head, base = call.body.get("head"), call.body.get("base")
    for name, value in (("head", head), ("base", base)):
        if not isinstance(value, str) or not value:
            raise Problem(422, f'Invalid request.\n\n"{name}" wasn\'t supplied.')
    issue = await open_pull(
        call.world,
        call.repo,
        call.actor,
        title=title,
        body=body,
        head=str(head),
        base=str(base),
        draft=call.body.get("draft") is True,
        maintainer_can_modify=call.body.get("maintainer_can_modify", True) is True,
        via_app=call.app,
    )
    answer = _whole(call, issue, 201)
    return Answer(201, answer.body, {"Location": answer.body["url"]})


async def open_pull(
    world: World,
    repo: Repository,
    author: User,
    *,
    title: str,
    body: str | None,
    head: str,
    base: str,
    draft: bool = False,
    maintainer_can_modify: bool = True,
    via_app: App | None = None,
) -> Issue:
    """Raises Problem 422 for branches that are not there, that hold nothing to merge, or that have one open."""
    owner, _, branch = head.rpartition(":")
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
    now = world.now()
    issue = Issue(world.next_id(), threads.next_number(repo), author, title, body, now, now, via_app)
    issue.pull = PullRequest(world.next_id(), branch, head_sha, base, base_sha, draft, maintainer_can_modify, size)
    repo.issues[issue.number] = issue
    await to_thread(repo.git.move_ref, f"refs/pull/{issue.number}/head", head_sha)
    threads.tell(world, repo, issue, "opened", author)
    return issue


def _same_base(repo: Repository, base: str) -> Iterable[Issue]:
    return (issue for issue in repo.pulls() if issue.pull and issue.pull.base_ref == base)


async def get_pull(call: Call) -> Answer:
    issue, pull = _of(call)
    if "diff" in call.accept:
        base = await to_thread(parting, call.repo.git, pull.base_sha, pull.head_sha)
        text = await to_thread(diff_text, call.repo.git, base, pull.head_sha)
        return Answer(200, raw=text.encode(), headers={"Content-Type": "application/vnd.github.diff; charset=utf-8"})
    return _whole(call, issue)


async def edit_pull(call: Call) -> Answer:
    issue, pull = _of(call)
    title = threads.check_title("PullRequest", call.body.get("title", issue.title))
    body = threads.check_body("PullRequest", call.body.get("body", issue.body))
    threads.edit_issue(call.world, call.repo, issue, call.actor, title=title, body=body)
    base = call.body.get("base")
    if isinstance(base, str):
        sha = (await to_thread(call.repo.git.refs, f"refs/heads/{base}")).get(f"refs/heads/{base}")
        if sha is None:
            raise invalid("PullRequest", "base", "invalid")
        pull.base_ref, pull.base_sha = base, sha[1]
        pull.size = await to_thread(measure, call.repo.git, pull.base_sha, pull.head_sha)
    if "state" in call.body:
        threads.set_state(call.world, call.repo, issue, call.actor, call.body["state"])
    return _whole(call, issue)


async def list_files(call: Call) -> Answer:
    _, pull = _of(call)
    base = await to_thread(parting, call.repo.git, pull.base_sha, pull.head_sha)
    shown, headers = call.page(await to_thread(changes, call.repo.git, base, pull.head_sha))
    return Answer(200, [git_shapes.file(call.world, call.repo, one, pull.head_sha) for one in shown], headers)


async def list_commits(call: Call) -> Answer:
    _, pull = _of(call)
    shown, headers = call.page(await to_thread(call.repo.git.between, pull.base_sha, pull.head_sha))
    commits = [await to_thread(call.repo.git.commit, sha) for sha in shown]
    return Answer(200, [git_shapes.commit(call.world, call.repo, one) for one in commits], headers)


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
            more = {"requested_reviewer": common.user(call.world, who)}
            threads.tell(call.world, call.repo, issue, "review_requested", call.actor, more)
    return Answer(201, shapes.pull_simple(call.world, call.repo, issue, pull, call.version))


def _collaborates(repo: Repository, who: User) -> bool:
    return who is repo.owner or who.id in repo.roles


def _of(call: Call) -> tuple[Issue, PullRequest]:
    issue = threads.issue_of(call.repo, call.number("number"))
    if issue.pull is None:
        raise not_found()
    return issue, issue.pull


def _whole(call: Call, issue: Issue, status: int = 200) -> Answer:
    if issue.pull is None:
        raise not_found()
    return Answer(status, shapes.pull_request(call.world, call.repo, issue, issue.pull, call.version))


PULLS = "/repos/{owner}/{repo}/pulls"
READ, WRITE = ("pull_requests:read",), ("pull_requests:write",)
ROUTES = (
    Route("GET", PULLS, list_pulls, READ),
    Route("POST", PULLS, create_pull, WRITE, AsInstallation),
    Route("GET", f"{PULLS}/{{number}}", get_pull, READ),
    Route("PATCH", f"{PULLS}/{{number}}", edit_pull, WRITE, AsInstallation),
    Route("GET", f"{PULLS}/{{number}}/files", list_files, READ),
    Route("GET", f"{PULLS}/{{number}}/commits", list_commits, READ),
    Route("POST", f"{PULLS}/{{number}}/requested_reviewers", request_reviewers, WRITE, AsInstallation),
)
