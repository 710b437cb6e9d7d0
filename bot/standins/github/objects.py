"""The Git Data API: blobs, trees and commits, with real SHAs."""

import base64
import binascii
from asyncio import to_thread
from datetime import UTC, datetime

from bot.standins.github import git_shapes as shapes
from bot.standins.github import shapes as common
from bot.standins.github.api import Answer, Call, Route
from bot.standins.github.auth import AsInstallation
from bot.standins.github.git import GitFailed, Signature, is_sha
from bot.standins.github.problems import Problem, not_found
from bot.standins.github.state import Json

MODES = ("100644", "100755", "040000", "160000", "120000")
TYPES = {"100644": "blob", "100755": "blob", "120000": "blob", "040000": "tree", "160000": "commit"}
BLOB_LIMIT = 100_000_000  # bytes that GitHub's blob API takes
INLINE_LIMIT = 2_500_000  # bytes of inline content, about where GitHub's tree API gives up
LISTING_LIMIT = 100_000  # entries of one tree listing


async def create_blob(call: Call) -> Answer:
    content, encoding = call.body.get("content"), call.body.get("encoding", "utf-8")
    if not isinstance(content, str):
        raise Problem(422, 'Invalid request.\n\n"content" wasn\'t supplied.')
    if encoding == "base64":
        try:
            data = base64.b64decode("".join(content.split()), validate=True)
        except (binascii.Error, ValueError):
            raise Problem(422, "content is not valid Base64") from None
    elif encoding == "utf-8":
        data = content.encode()
    else:
        raise Problem(422, f"Invalid encoding: {encoding}")
    if len(data) > BLOB_LIMIT:
        raise Problem(422, "Sorry, your input was too large to process.")
    sha = await to_thread(call.repo.git.write_blob, data)
    url = common.repo_api(call.world, call.repo, f"/git/blobs/{sha}")
    return Answer(201, {"sha": sha, "url": url}, {"Location": url})


async def get_blob(call: Call) -> Answer:
    sha = call.path["sha"]
    if await to_thread(call.repo.git.kind, sha) != "blob":
        raise not_found()
    content = await to_thread(call.repo.git.blob, sha)
    if "raw" in call.accept:
        return Answer(200, raw=content, headers={"Content-Type": "application/vnd.github.raw"})
    return Answer(
        200,
        {
            "sha": sha,
            "node_id": common.node_id("B", call.repo.id) + sha,
            "size": len(content),
            "url": common.repo_api(call.world, call.repo, f"/git/blobs/{sha}"),
            "content": base64.encodebytes(content).decode(),
            "encoding": "base64",
        },
    )


async def create_tree(call: Call) -> Answer:
    rows = call.body.get("tree")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise Problem(422, "Invalid tree info")
    base = call.body.get("base_tree")
    git = call.repo.git
    if base is not None and await to_thread(git.kind, str(base)) not in ("tree", "commit"):
        raise Problem(422, "base_tree is not a valid tree oid")
    entries = [await _entry(call, row) for row in rows]
    await _check_objects(call, entries)
    gone = [path for path, _, sha in entries if sha is None]
    if gone:
        there = {one.path for one in await to_thread(git.entries, str(base), recursive=True)} if base else set()
        if not there.issuperset(gone):
            raise Problem(422, "GitRPC::BadObjectState")
    try:
        sha = await to_thread(git.write_tree, base, entries)
    except GitFailed:
        raise Problem(422, "tree.path contains a malformed path component") from None
    shown = await _tree(call, sha, recursive=False)
    return Answer(201, shown, {"Location": shown["url"]})


async def _entry(call: Call, row: Json) -> tuple[str, str, str | None]:
    path, mode, kind = row.get("path"), row.get("mode"), row.get("type")
    if not isinstance(path, str) or not path:
        raise Problem(422, "Must supply a valid tree.path")
    if path.startswith("/"):
        raise Problem(422, "tree.path cannot start with a slash")
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in path.split("/")) or "\0" in path:
        raise Problem(422, "tree.path contains a malformed path component")
    if mode not in MODES:
        raise Problem(422, "Must supply a valid tree.mode")
    if kind is not None and kind != TYPES[mode]:
        raise Problem(422, f"tree.type {kind} does not match tree.mode {mode}")
    if ("sha" in row) == ("content" in row):
        raise Problem(422, "Must supply either tree.sha or tree.content. Request will be rejected if both are present.")
    if "sha" in row:
        return path, mode, None if row["sha"] is None else str(row["sha"])
    content = str(row["content"]).encode()
    if len(content) > INLINE_LIMIT:
        raise Problem(502, "Server Error")
    return path, mode, await to_thread(call.repo.git.write_blob, content)


async def _check_objects(call: Call, entries: list[tuple[str, str, str | None]]) -> None:
    wanted = [(sha, TYPES[mode]) for _, mode, sha in entries if sha is not None and mode != "160000"]
    asked = [sha for sha, _ in wanted if is_sha(sha)]
    kinds = await to_thread(call.repo.git.kinds, asked) if asked else {}
    for sha, kind in wanted:
        if kinds.get(sha) != kind:
            raise Problem(422, f"tree.sha {sha} is not a valid {kind}")


async def get_tree(call: Call) -> Answer:
    """`recursive` with any value, even 0, lists what is below too."""
    sha = call.path["sha"]
    if await to_thread(call.repo.git.kind, sha) not in ("tree", "commit"):
        commit = await to_thread(call.repo.git.resolve, sha)
        if commit is None:
            raise not_found()
        sha = commit
    tree = await to_thread(call.repo.git.text, "rev-parse", f"{sha}^{{tree}}")
    return Answer(200, await _tree(call, tree, recursive="recursive" in call.query))


async def _tree(call: Call, sha: str, *, recursive: bool) -> Json:
    entries = await to_thread(call.repo.git.entries, sha, recursive=recursive)
    return {
        "sha": sha,
        "url": common.repo_api(call.world, call.repo, f"/git/trees/{sha}"),
        "tree": [shapes.tree_entry(call.world, call.repo, one) for one in entries[:LISTING_LIMIT]],
        "truncated": len(entries) > LISTING_LIMIT,
    }


async def create_commit(call: Call) -> Answer:
    """An App that names neither author nor committer gets its own bot as author and GitHub's signature."""
    message, tree, parents = call.body.get("message"), call.body.get("tree"), call.body.get("parents", [])
    git = call.repo.git
    if not isinstance(message, str) or not message.strip():
        raise Problem(422, 'Invalid request.\n\n"message" wasn\'t supplied.')
    if await to_thread(git.kind, str(tree)) != "tree":
        raise Problem(422, "Tree SHA does not exist")
    for parent in parents if isinstance(parents, list) else [None]:
        if await to_thread(git.kind, str(parent)) != "commit":
            raise Problem(422, "Parent SHA does not exist or is not a commit object")
    bot = call.actor
    now = datetime.fromtimestamp(call.world.now(), UTC).isoformat(timespec="seconds")
    own = Signature(bot.login, shapes.noreply(bot), now)
    signed = "author" not in call.body and "committer" not in call.body
    author = _signature(call.body.get("author"), own)
    committer = Signature("GitHub", "noreply@github.com", now) if signed else author
    if "committer" in call.body:
        committer = _signature(call.body["committer"], author)
    sha = await to_thread(
        git.write_commit, message=message, tree=str(tree), parents=parents, author=author, committer=committer
    )
    if signed:
        call.repo.verified.add(sha)
    shown = shapes.git_commit(call.world, call.repo, await to_thread(git.commit, sha))
    return Answer(201, shown, {"Location": shown["url"]})


async def get_commit(call: Call) -> Answer:
    sha = call.path["sha"]
    if await to_thread(call.repo.git.kind, sha) != "commit":
        raise not_found()
    return Answer(200, shapes.git_commit(call.world, call.repo, await to_thread(call.repo.git.commit, sha)))


def _signature(given: object, otherwise: Signature) -> Signature:
    if given is None:
        return otherwise
    if not isinstance(given, dict) or not given.get("name") or not given.get("email"):
        raise Problem(422, 'Invalid request.\n\n"name", "email" weren\'t supplied.')
    date = str(given.get("date") or otherwise.date)
    try:
        when = datetime.fromisoformat(date)
    except ValueError:
        raise Problem(422, f"Invalid request.\n\n{date} is not a valid date.") from None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return Signature(str(given["name"]), str(given["email"]), when.isoformat(timespec="seconds"))


GIT = "/repos/{owner}/{repo}/git"
READ, WRITE = ("contents:read",), ("contents:write",)
ROUTES = (
    Route("POST", f"{GIT}/blobs", create_blob, WRITE, AsInstallation),
    Route("GET", f"{GIT}/blobs/{{sha}}", get_blob, READ),
    Route("POST", f"{GIT}/trees", create_tree, WRITE, AsInstallation),
    Route("GET", f"{GIT}/trees/{{sha:path}}", get_tree, READ),
    Route("POST", f"{GIT}/commits", create_commit, WRITE, AsInstallation),
    Route("GET", f"{GIT}/commits/{{sha}}", get_commit, READ),
)
