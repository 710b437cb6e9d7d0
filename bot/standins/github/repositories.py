"""Repositories over REST: facts, who may do what, files, archives, comparisons."""

from asyncio import to_thread

from bot.standins.github import git_shapes
from bot.standins.github import shapes as common
from bot.standins.github.api import Answer, Call, Route
from bot.standins.github.auth import AsInstallation
from bot.standins.github.problems import Problem, existing

OLD_PERMISSION = {"admin": "admin", "maintain": "write", "write": "write", "triage": "read", "read": "read"}


async def get_repository(call: Call) -> Answer:
    permissions = call.caller.token.permissions if isinstance(call.caller, AsInstallation) else None
    more = {"subscribers_count": 0, "network_count": 0, "temp_clone_token": ""}
    return Answer(200, common.repository(call.world, call.repo, permissions) | more)


async def get_permission(call: Call) -> Answer:
    """`permission` is the old word, in which maintain is write and triage is read; `role_name` is exact."""
    if not (isinstance(call.caller, AsInstallation) and call.caller.covers(call.repo)):
        raise Problem(403, "Must have push access to view collaborator permission.")
    who = call.world.user(call.path["login"])
    if who is None:
        raise Problem(404, f"{call.path['login']} is not a user")
    role = call.repo.role_of(who)
    old = OLD_PERMISSION.get(role, "none")
    order = ("read", "triage", "write", "maintain", "admin")
    reached = order[: order.index(role) + 1] if role in order else ()
    flags = {"pull": "read", "triage": "triage", "push": "write", "maintain": "maintain", "admin": "admin"}
    shown = common.user(call.world, who) | {
        "permissions": {flag: level in reached for flag, level in flags.items()},
        "role_name": role,
    }
    return Answer(200, {"permission": old, "role_name": role, "user": shown})


async def list_commits(call: Call) -> Answer:
    """`sha` is a branch, a tag or a commit; without it the default branch is shown."""
    git = call.repo.git
    if not await to_thread(git.refs, "refs/heads/"):
        raise Problem(409, "Git Repository is empty.")
    head = existing(await to_thread(git.resolve, call.query.get("sha") or call.repo.default_branch))
    shown, headers = call.page(await to_thread(git.history, head))
    commits = [await to_thread(git.commit, sha) for sha in shown]
    return Answer(200, [git_shapes.commit(call.world, call.repo, one) for one in commits], headers)


REPO = "/repos/{owner}/{repo}"
CONTENT = ("contents:read",)
ROUTES = (
    Route("GET", REPO, get_repository),
    Route("GET", f"{REPO}/collaborators/{{login}}/permission", get_permission, caller=AsInstallation),
    Route("GET", f"{REPO}/commits", list_commits, CONTENT),
)
