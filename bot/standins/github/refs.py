"""Branches and tags over REST, and what follows when one moves."""

from asyncio import to_thread

from bot.standins.github import git_shapes as shapes
from bot.standins.github import threads
from bot.standins.github.api import Answer, Call, Route
from bot.standins.github.auth import AsInstallation
from bot.standins.github.differences import measure
from bot.standins.github.git import ZERO_SHA, GitFailed, is_sha
from bot.standins.github.problems import Problem, existing, forbidden
from bot.standins.github.state import Repository, User
from bot.standins.github.world import World

CONTENT = "contents:read"


async def get_ref(call: Call) -> Answer:
    """One exact ref; 404 for a mere beginning of names."""
    name = f"refs/{call.path['ref']}"
    found = existing((await to_thread(call.repo.git.refs, name)).get(name))
    return Answer(200, shapes.ref(call.world, call.repo, name, *found))


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
    await moved(call.world, call.repo, name, str(sha), call.actor)
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
    await moved(call.world, call.repo, name, after, call.actor)
    return Answer(200, shapes.ref(call.world, call.repo, name, kind, after))


async def delete_ref(call: Call) -> Answer:
    name = f"refs/{call.path['ref']}"
    before = (await to_thread(call.repo.git.refs, name)).get(name)
    if before is None:
        raise Problem(422, "Reference does not exist")
    if name == f"refs/heads/{call.repo.default_branch}":
        raise Problem(422, "Cannot delete the default branch")
    await to_thread(call.repo.git.delete_ref, name)
    await moved(call.world, call.repo, name, ZERO_SHA, call.actor)
    return Answer(204)


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


async def moved(world: World, repo: Repository, name: str, after: str, by: User) -> None:
    """A ref was made, moved or deleted: pull requests follow their head."""
    repo.pushed_at = world.now()
    branch = name.removeprefix("refs/heads/")
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


REPO = "/repos/{owner}/{repo}"
WRITE = ("contents:write",)
ROUTES = (
    Route("GET", f"{REPO}/git/ref/{{ref:path}}", get_ref, (CONTENT,)),
    Route("POST", f"{REPO}/git/refs", create_ref, WRITE, AsInstallation),
    Route("PATCH", f"{REPO}/git/refs/{{ref:path}}", update_ref, WRITE, AsInstallation),
    Route("DELETE", f"{REPO}/git/refs/{{ref:path}}", delete_ref, WRITE, AsInstallation),
)
