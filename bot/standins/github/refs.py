"""Branches and tags over REST, and what follows when one moves."""

from asyncio import to_thread

from bot.standins.github import git_shapes as shapes
from bot.standins.github import shapes as common
from bot.standins.github import threads
from bot.standins.github.api import Answer, Call, Route
from bot.standins.github.auth import AsInstallation
from bot.standins.github.git import ZERO_SHA, GitFailed, is_sha
from bot.standins.github.measuring import measure
from bot.standins.github.problems import Problem, forbidden, not_found
from bot.standins.github.state import Repository, User
from bot.standins.github.world import World

CONTENT = "contents:read"


async def get_ref(call: Call) -> Answer:
    """One exact ref; 404 for a mere beginning of names."""
    name = f"refs/{call.path['ref']}"
    found = (await to_thread(call.repo.git.refs, name)).get(name)
    if found is None:
        raise not_found()
    return Answer(200, shapes.ref(call.world, call.repo, name, *found))


async def matching_refs(call: Call) -> Answer:
    found = await to_thread(call.repo.git.refs, f"refs/{call.path.get('ref', '')}")
    shown, headers = call.page([shapes.ref(call.world, call.repo, name, *it) for name, it in sorted(found.items())])
    return Answer(200, shown, headers)


async def create_ref(call: Call) -> Answer:
    name, sha = call.body.get("ref"), call.body.get("sha")
    git = call.repo.git
    if not isinstance(name, str) or not name.startswith("refs/") or name.count("/") < 2:
        raise Problem(422, "Reference name must start with 'refs/' and have at least two slashes.")
    if not await to_thread(git.valid_ref_name, name):
        raise Problem(422, f"{name} is not a valid ref name.")
    kind = await _object(call, sha)
    await _check_workflows(call, None, str(sha))
    try:
        await to_thread(git.move_ref, name, str(sha), old=ZERO_SHA)
    except GitFailed:
        if name in await to_thread(git.refs, name):
            raise Problem(422, "Reference already exists") from None
        raise Problem(422, "Reference update failed") from None
    await moved(call.world, call.repo, name, ZERO_SHA, str(sha), call.actor)
    shown = shapes.ref(call.world, call.repo, name, kind, str(sha))
    return Answer(201, shown, {"Location": shown["url"]})


async def update_ref(call: Call) -> Answer:
    """Forward only, unless `force` is true."""
    name, sha = f"refs/{call.path['ref']}", call.body.get("sha")
    git = call.repo.git
    before = (await to_thread(git.refs, name)).get(name)
    if before is None:
        raise Problem(422, "Reference does not exist")
    kind = await _object(call, sha)
    after = str(sha)
    if call.body.get("force") is not True and await to_thread(git.merge_base, before[1], after) != before[1]:
        raise Problem(422, "Update is not a fast forward")
    await _check_workflows(call, before[1], after)
    try:
        await to_thread(git.move_ref, name, after, old=before[1])
    except GitFailed:
        raise Problem(409, "Reference cannot be updated") from None
    await moved(call.world, call.repo, name, before[1], after, call.actor)
    return Answer(200, shapes.ref(call.world, call.repo, name, kind, after))


async def delete_ref(call: Call) -> Answer:
    name = f"refs/{call.path['ref']}"
    before = (await to_thread(call.repo.git.refs, name)).get(name)
    if before is None:
        raise Problem(422, "Reference does not exist")
    if name == f"refs/heads/{call.repo.default_branch}":
        raise Problem(422, "Cannot delete the default branch")
    await to_thread(call.repo.git.delete_ref, name)
    await moved(call.world, call.repo, name, before[1], ZERO_SHA, call.actor)
    return Answer(204)


async def get_branch(call: Call) -> Answer:
    name = call.path["branch"]
    sha = (await to_thread(call.repo.git.refs, f"refs/heads/{name}")).get(f"refs/heads/{name}")
    if sha is None:
        raise Problem(404, "Branch not found")
    commit = await to_thread(call.repo.git.commit, sha[1])
    here = common.repo_api(call.world, call.repo, f"/branches/{name}")
    checks = {"enforcement_level": "off", "contexts": [], "checks": []}
    return Answer(
        200,
        {
            "name": name,
            "commit": shapes.commit(call.world, call.repo, commit),
            "_links": {"self": here, "html": common.page_url(call.world, call.repo, f"/tree/{name}")},
            "protected": False,
            "protection": {"enabled": False, "required_status_checks": checks},
            "protection_url": f"{here}/protection",
        },
    )


async def list_branches(call: Call) -> Answer:
    found = await to_thread(call.repo.git.refs, "refs/heads/")
    rows = [
        {
            "name": name.removeprefix("refs/heads/"),
            "commit": {"sha": sha, "url": common.repo_api(call.world, call.repo, f"/commits/{sha}")},
            "protected": False,
        }
        for name, (_, sha) in sorted(found.items())
    ]
    shown, headers = call.page(rows)
    return Answer(200, shown, headers)


async def _object(call: Call, sha: object) -> str:
    if not isinstance(sha, str) or not is_sha(sha):
        raise Problem(422, "The sha parameter must be exactly 40 characters and contain only [0-9a-f].")
    kind = await to_thread(call.repo.git.kind, sha)
    if kind is None:
        raise Problem(422, "Object does not exist")
    return kind


async def _check_workflows(call: Call, before: str | None, after: str) -> None:
    """Workflow files need a permission of their own. A new ref is compared with the default branch."""
    if isinstance(call.caller, AsInstallation) and call.caller.allows("workflows:write"):
        return
    base = before or f"refs/heads/{call.repo.default_branch}"
    if await to_thread(call.repo.git.touches, base, after, ".github/workflows"):
        raise forbidden("workflows=write")


async def moved(world: World, repo: Repository, name: str, before: str, after: str, by: User) -> None:
    """A ref was made, moved or deleted: pull requests follow their head, and the Apps hear of the push."""
    repo.pushed_at = world.now()
    branch = name.removeprefix("refs/heads/")
    world.emit(
        repo,
        "push",
        None,
        {
            "ref": name,
            "before": before,
            "after": after,
            "created": before == ZERO_SHA,
            "deleted": after == ZERO_SHA,
            "forced": False,
            "base_ref": None,
            "compare": common.page_url(world, repo, f"/compare/{before[:12]}...{after[:12]}"),
            "commits": [],
            "head_commit": None,
            "pusher": {"name": by.login, "email": shapes.noreply(by)},
        },
        sender=by,
    )
    for issue in repo.pulls():
        pull = issue.pull
        if pull is None or issue.state == "closed" or branch not in (pull.head_ref, pull.base_ref):
            continue
        if after == ZERO_SHA:
            if branch == pull.head_ref:
                threads.set_state(world, repo, issue, by, "closed")
            continue
        if branch == pull.base_ref:
            pull.base_sha = after
        else:
            pull.head_sha = after
            await to_thread(repo.git.move_ref, f"refs/pull/{issue.number}/head", after)
        pull.size = await to_thread(measure, repo.git, pull.base_sha, pull.head_sha)
        issue.updated_at = world.now()
        if branch == pull.head_ref:
            threads.tell(world, repo, issue, "synchronize", by, {"before": before, "after": after})


REPO = "/repos/{owner}/{repo}"
WRITE = ("contents:write",)
ROUTES = (
    Route("GET", f"{REPO}/git/ref/{{ref:path}}", get_ref, (CONTENT,)),
    Route("GET", f"{REPO}/git/matching-refs/{{ref:path}}", matching_refs, (CONTENT,)),
    Route("POST", f"{REPO}/git/refs", create_ref, WRITE, AsInstallation),
    Route("PATCH", f"{REPO}/git/refs/{{ref:path}}", update_ref, WRITE, AsInstallation),
    Route("DELETE", f"{REPO}/git/refs/{{ref:path}}", delete_ref, WRITE, AsInstallation),
    Route("GET", f"{REPO}/branches", list_branches, (CONTENT,)),
    Route("GET", f"{REPO}/branches/{{branch:path}}", get_branch, (CONTENT,)),
)
