"""Repositories over REST: facts, who may do what, files, archives, comparisons."""

import base64
import secrets
from asyncio import to_thread

from bot.standins.github import git_shapes
from bot.standins.github import shapes as common
from bot.standins.github.api import Answer, Call, Route
from bot.standins.github.auth import AsInstallation
from bot.standins.github.differences import changes
from bot.standins.github.git import Entry
from bot.standins.github.problems import Problem, not_found
from bot.standins.github.state import Json

OLD_PERMISSION = {"admin": "admin", "maintain": "write", "write": "write", "triage": "read", "read": "read"}
INLINE_LIMIT = 1_000_000  # bytes that the contents API still encodes
FILE_LIMIT = 100_000_000  # bytes above which it refuses
COMPARED_FILES = 300


async def get_repository(call: Call) -> Answer:
    permissions = call.caller.token.permissions if isinstance(call.caller, AsInstallation) else None
    return Answer(200, common.full_repository(call.world, call.repo, permissions))


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


# ---------------------------------------------------------------- files


async def get_contents(call: Call) -> Answer:
    ref = call.query.get("ref") or call.repo.default_branch
    sha = await to_thread(call.repo.git.resolve, ref)
    if sha is None:
        raise Problem(404, f"No commit found for the ref {ref}")
    path = call.path.get("path", "").strip("/")
    entry = await to_thread(_entry, call, sha, path)
    if entry is None:
        rows = await to_thread(call.repo.git.entries, f"{sha}:{path}", recursive=False)
        shown = [_content(call, one, f"{path}/{one.path}".lstrip("/"), ref) for one in rows]
        return Answer(200, shown)
    if entry.type == "commit":
        return Answer(200, _content(call, entry, path, ref) | {"submodule_git_url": None})
    if (entry.size or 0) > FILE_LIMIT:
        raise Problem(403, "This API returns blobs up to 100 MB in size.")
    content = await to_thread(call.repo.git.blob, entry.sha)
    if "raw" in call.accept:
        return Answer(200, raw=content, headers={"Content-Type": "application/vnd.github.raw; charset=utf-8"})
    inline = len(content) <= INLINE_LIMIT
    body = {"encoding": "base64", "content": base64.encodebytes(content).decode()}
    return Answer(200, _content(call, entry, path, ref) | (body if inline else {"encoding": "none", "content": ""}))


def _entry(call: Call, sha: str, path: str) -> Entry | None:
    """The file at `path`; None for a folder. Raises Problem 404 where there is nothing."""
    if not path:
        return None
    folder, _, name = path.rpartition("/")
    kind = call.repo.git.kind_at(sha, folder)
    rows = call.repo.git.entries(f"{sha}:{folder}", recursive=False) if kind == "tree" else ()
    found = next((one for one in rows if one.path == name), None)
    if found is None:
        raise not_found()
    return None if found.type == "tree" else found


def _content(call: Call, entry: Entry, path: str, ref: str) -> Json:
    here = common.repo_api(call.world, call.repo, f"/contents/{path}?ref={ref}")
    kinds = {"120000": "symlink", "160000": "submodule", "040000": "dir"}
    kind = kinds.get(entry.mode, "file")
    git_url = common.repo_api(call.world, call.repo, f"/git/{entry.type}s/{entry.sha}")
    page = common.page_url(call.world, call.repo, f"/{'tree' if kind == 'dir' else 'blob'}/{ref}/{path}")
    return {
        "type": kind,
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": entry.sha,
        "size": entry.size or 0,
        "url": here,
        "git_url": git_url,
        "html_url": page,
        "download_url": page.replace("/blob/", "/raw/") if kind == "file" else None,
        "_links": {"self": here, "git": git_url, "html": page},
    }


async def tarball(call: Call) -> Answer:
    """A redirect to a short-lived address, as GitHub's to codeload."""
    ref = call.path.get("ref") or call.repo.default_branch
    sha = await to_thread(call.repo.git.resolve, ref)
    if sha is None:
        raise not_found()
    ticket = secrets.token_urlsafe(20)
    call.world.tickets[ticket] = (call.repo, sha)
    where = f"{call.world.base_url}/codeload/{call.repo.full_name}/legacy.tar.gz/{sha}?token={ticket}"
    return Answer(302, headers={"Location": where})


# ---------------------------------------------------------------- commits


async def list_commits(call: Call) -> Answer:
    """`sha` is a branch, a tag or a commit; without it the default branch is shown."""
    git = call.repo.git
    if not await to_thread(git.refs, "refs/heads/"):
        raise Problem(409, "Git Repository is empty.")
    head = await to_thread(git.resolve, call.query.get("sha") or call.repo.default_branch)
    if head is None:
        raise not_found()
    shown, headers = call.page(await to_thread(git.history, head))
    commits = [await to_thread(git.commit, sha) for sha in shown]
    return Answer(200, [git_shapes.commit(call.world, call.repo, one) for one in commits], headers)


async def get_commit(call: Call) -> Answer:
    sha = await to_thread(call.repo.git.resolve, call.path["ref"])
    if sha is None:
        raise Problem(422, f"No commit found for SHA: {call.path['ref']}")
    commit = await to_thread(call.repo.git.commit, sha)
    shown = git_shapes.commit(call.world, call.repo, commit)
    if commit.parents:
        files = await to_thread(changes, call.repo.git, commit.parents[0], sha)
        added, removed = sum(one.additions for one in files), sum(one.deletions for one in files)
        shown["stats"] = {"total": added + removed, "additions": added, "deletions": removed}
        shown["files"] = [git_shapes.file(call.world, call.repo, one, sha) for one in files]
    return Answer(200, shown)


async def compare(call: Call) -> Answer:
    base_name, dots, head_name = call.path["basehead"].partition("...")
    git = call.repo.git
    base, head = await to_thread(git.resolve, base_name), await to_thread(git.resolve, head_name)
    if not dots or base is None or head is None:
        raise not_found()
    start = await to_thread(git.merge_base, base, head)
    if start is None:
        raise Problem(404, f"No common ancestor between {base_name} and {head_name}.")
    ahead, behind = await to_thread(git.between, base, head), await to_thread(git.between, head, base)
    status = {(True, True): "diverged", (True, False): "ahead", (False, True): "behind"}.get(
        (bool(ahead), bool(behind)), "identical"
    )
    files = await to_thread(changes, git, start, head)
    shown, headers = call.page(ahead)
    here = common.repo_api(call.world, call.repo, f"/compare/{base_name}...{head_name}")
    page = common.page_url(call.world, call.repo, f"/compare/{base_name}...{head_name}")
    base_commit, start_commit = await to_thread(git.commit, base), await to_thread(git.commit, start)
    commits = [await to_thread(git.commit, sha) for sha in shown]
    return Answer(
        200,
        {
            "url": here,
            "html_url": page,
            "permalink_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "base_commit": git_shapes.commit(call.world, call.repo, base_commit),
            "merge_base_commit": git_shapes.commit(call.world, call.repo, start_commit),
            "status": status,
            "ahead_by": len(ahead),
            "behind_by": len(behind),
            "total_commits": len(ahead),
            "commits": [git_shapes.commit(call.world, call.repo, one) for one in commits],
            "files": [git_shapes.file(call.world, call.repo, one, head) for one in files[:COMPARED_FILES]],
        },
        headers,
    )


REPO = "/repos/{owner}/{repo}"
CONTENT = ("contents:read",)
ROUTES = (
    Route("GET", REPO, get_repository),
    Route("GET", f"{REPO}/collaborators/{{login}}/permission", get_permission, caller=AsInstallation),
    Route("GET", f"{REPO}/contents", get_contents, CONTENT),
    Route("GET", f"{REPO}/contents/{{path:path}}", get_contents, CONTENT),
    Route("GET", f"{REPO}/tarball", tarball, CONTENT),
    Route("GET", f"{REPO}/tarball/{{ref:path}}", tarball, CONTENT),
    Route("GET", f"{REPO}/commits", list_commits, CONTENT),
    Route("GET", f"{REPO}/commits/{{ref:path}}", get_commit, CONTENT),
    Route("GET", f"{REPO}/compare/{{basehead:path}}", compare, CONTENT),
)
