"""Git objects, refs and differences as GitHub's JSON shows them."""

from datetime import UTC, datetime
from urllib.parse import quote

from bot.standins.github.differences import FileChange
from bot.standins.github.git import CommitObject, Entry, Signature
from bot.standins.github.shapes import node_id, page_url, repo_api, user
from bot.standins.github.state import Json, Repository, User
from bot.standins.github.world import World

SIGNATURE = "-----BEGIN PGP SIGNATURE-----\n\nsigned by the loopback GitHub\n-----END PGP SIGNATURE-----\n"


def ref(world: World, repo: Repository, name: str, kind: str, sha: str) -> Json:
    return {
        "ref": name,
        "node_id": node_id("REF", repo.id) + quote(name, safe=""),
        "url": repo_api(world, repo, f"/git/{quote(name)}"),
        "object": {"type": kind, "sha": sha, "url": repo_api(world, repo, f"/git/{kind}s/{sha}")},
    }


def verification(repo: Repository, it: CommitObject) -> Json:
    if it.sha not in repo.verified:
        nothing = dict.fromkeys(("signature", "payload", "verified_at"))
        return {"verified": False, "reason": "unsigned"} | nothing
    return {
        "verified": True,
        "reason": "valid",
        "signature": SIGNATURE,
        "payload": f"tree {it.tree}\n" + "".join(f"parent {one}\n" for one in it.parents) + f"\n{it.message}",
        "verified_at": utc(it.committer.date),
    }


def git_commit(world: World, repo: Repository, it: CommitObject) -> Json:
    """A commit of the Git Data API."""
    return {
        "sha": it.sha,
        "node_id": node_id("C", repo.id) + it.sha,
        "url": repo_api(world, repo, f"/git/commits/{it.sha}"),
        "html_url": page_url(world, repo, f"/commit/{it.sha}"),
        "author": _who(it.author),
        "committer": _who(it.committer),
        "tree": {"sha": it.tree, "url": repo_api(world, repo, f"/git/trees/{it.tree}")},
        "message": it.message,
        "parents": [
            {
                "sha": one,
                "url": repo_api(world, repo, f"/git/commits/{one}"),
                "html_url": page_url(world, repo, f"/commit/{one}"),
            }
            for one in it.parents
        ],
        "verification": verification(repo, it),
    }


def commit(world: World, repo: Repository, it: CommitObject) -> Json:
    """A commit of the repositories API, in branches, comparisons and pull requests."""
    here = repo_api(world, repo, f"/commits/{it.sha}")
    author, committer = _account(world, it.author), _account(world, it.committer)
    return {
        "sha": it.sha,
        "node_id": node_id("C", repo.id) + it.sha,
        "url": here,
        "html_url": page_url(world, repo, f"/commit/{it.sha}"),
        "comments_url": f"{here}/comments",
        "commit": {
            "url": repo_api(world, repo, f"/git/commits/{it.sha}"),
            "author": _who(it.author),
            "committer": _who(it.committer),
            "message": it.message,
            "tree": {"sha": it.tree, "url": repo_api(world, repo, f"/git/trees/{it.tree}")},
            "comment_count": 0,
            "verification": verification(repo, it),
        },
        "author": user(world, author) if author else None,
        "committer": user(world, committer) if committer else None,
        "parents": [
            {
                "sha": one,
                "url": repo_api(world, repo, f"/commits/{one}"),
                "html_url": page_url(world, repo, f"/commit/{one}"),
            }
            for one in it.parents
        ],
    }


def tree_entry(world: World, repo: Repository, it: Entry) -> Json:
    shown: Json = {"path": it.path, "mode": it.mode, "type": it.type, "sha": it.sha}
    if it.size is not None:
        shown["size"] = it.size
    if it.type != "commit":
        shown["url"] = repo_api(world, repo, f"/git/{it.type}s/{it.sha}")
    return shown


def file(world: World, repo: Repository, it: FileChange, head: str) -> Json:
    path = quote(it.path)
    shown: Json = {
        "sha": it.sha,
        "filename": it.path,
        "status": it.status,
        "additions": it.additions,
        "deletions": it.deletions,
        "changes": it.additions + it.deletions,
        "blob_url": page_url(world, repo, f"/blob/{head}/{path}"),
        "raw_url": page_url(world, repo, f"/raw/{head}/{path}"),
        "contents_url": repo_api(world, repo, f"/contents/{path}?ref={head}"),
    }
    if it.patch is not None:
        shown["patch"] = it.patch
    if it.previous_path is not None:
        shown["previous_filename"] = it.previous_path
    return shown


def utc(date: str) -> str:
    """An ISO 8601 date with an offset, in UTC as GitHub writes it."""
    return datetime.fromisoformat(date).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def noreply(who: User) -> str:
    """The address that credits an account: its id, then its login."""
    return f"{who.id}+{who.login}@users.noreply.github.com"


def _who(it: Signature) -> Json:
    return {"name": it.name, "email": it.email, "date": utc(it.date)}


def _account(world: World, it: Signature) -> User | None:
    return next((who for who in world.users.values() if noreply(who) == it.email), None)
