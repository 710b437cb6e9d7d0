"""Issues, comments, reactions, labels and pull requests as GitHub's JSON shows them."""

from collections.abc import Sequence

from bot.standins.github.shapes import app, node_id, page_url, repo_api, repository, user
from bot.standins.github.state import (
    Comment,
    Issue,
    Json,
    Label,
    PullRequest,
    Reaction,
    Repository,
    User,
    stamp,
    stamp_or_none,
)
from bot.standins.github.world import World

CONTENTS = ("+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes")
OLDEST_VERSION = "2022-11-28"


def association(repo: Repository, who: User) -> str:
    if who is repo.owner:
        return "OWNER"
    return "COLLABORATOR" if who.id in repo.roles else "NONE"


def rollup(url: str, reactions: Sequence[Reaction]) -> Json:
    counts = {content: sum(r.content == content for r in reactions) for content in CONTENTS}
    return {"url": f"{url}/reactions", "total_count": len(reactions)} | counts


def reaction(world: World, it: Reaction) -> Json:
    return {
        "id": it.id,
        "node_id": node_id("REA", it.id),
        "user": user(world, it.user),
        "content": it.content,
        "created_at": stamp(it.created_at),
    }


def label(world: World, repo: Repository, it: Label) -> Json:
    return {
        "id": it.id,
        "node_id": node_id("LA", it.id),
        "url": repo_api(world, repo, f"/labels/{it.name}"),
        "name": it.name,
        "color": it.color,
        "default": False,
        "description": it.description,
        "archived_at": None,
        "archived_by": None,
    }


def comment(world: World, repo: Repository, it: Comment) -> Json:
    here = repo_api(world, repo, f"/issues/comments/{it.id}")
    place = "pull" if it.issue.pull else "issues"
    return {
        "id": it.id,
        "node_id": node_id("IC", it.id),
        "url": here,
        "html_url": page_url(world, repo, f"/{place}/{it.issue.number}#issuecomment-{it.id}"),
        "issue_url": repo_api(world, repo, f"/issues/{it.issue.number}"),
        "user": user(world, it.author),
        "created_at": stamp(it.created_at),
        "updated_at": stamp(it.updated_at),
        "author_association": association(repo, it.author),
        "body": it.body,
        "reactions": rollup(here, it.reactions),
        "performed_via_github_app": app(world, it.via_app) if it.via_app else None,
    }


def issue(world: World, repo: Repository, it: Issue, version: str = "") -> Json:
    here = repo_api(world, repo, f"/issues/{it.number}")
    page = page_url(world, repo, f"/{'pull' if it.pull else 'issues'}/{it.number}")
    shown: Json = {
        "id": it.id,
        "node_id": node_id("PR" if it.pull else "I", it.id),
        "url": here,
        "repository_url": repo_api(world, repo),
        "labels_url": f"{here}/labels{{/name}}",
        "comments_url": f"{here}/comments",
        "events_url": f"{here}/events",
        "timeline_url": f"{here}/timeline",
        "html_url": page,
        "number": it.number,
        "title": it.title,
        "body": it.body,
        "user": user(world, it.author),
        "labels": [label(world, repo, one) for one in it.labels],
        "state": it.state,
        "state_reason": it.state_reason,
        "locked": it.locked,
        "active_lock_reason": it.lock_reason,
        "assignees": [],
        "milestone": None,
        "comments": len(it.comments),
        "created_at": stamp(it.created_at),
        "updated_at": stamp(it.updated_at),
        "closed_at": stamp_or_none(it.closed_at),
        "closed_by": user(world, it.closed_by) if it.closed_by else None,
        "author_association": association(repo, it.author),
        "reactions": rollup(here, it.reactions),
        "performed_via_github_app": app(world, it.via_app) if it.via_app else None,
    }
    if version == OLDEST_VERSION:
        shown["assignee"] = None
    if it.pull:
        shown["draft"] = it.pull.draft
        shown["pull_request"] = {
            "url": repo_api(world, repo, f"/pulls/{it.number}"),
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "merged_at": stamp_or_none(it.pull.merged_at),
        }
    return shown


def pull_simple(world: World, repo: Repository, it: Issue, pull: PullRequest, version: str = "") -> Json:
    """A pull request in a list."""
    here = repo_api(world, repo, f"/pulls/{it.number}")
    thread = repo_api(world, repo, f"/issues/{it.number}")
    page = page_url(world, repo, f"/pull/{it.number}")
    links = {
        "html": page,
        "issue": thread,
        "comments": f"{thread}/comments",
        "commits": f"{here}/commits",
        "statuses": repo_api(world, repo, f"/statuses/{pull.head_sha}"),
        "review_comments": f"{here}/comments",
        "review_comment": repo_api(world, repo, "/pulls/comments{/number}"),
    }
    shown: Json = {
        "id": pull.id,
        "node_id": node_id("PR", pull.id),
        "url": here,
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "issue_url": thread,
        **{f"{name}_url": url for name, url in links.items() if name not in ("html", "issue")},
        "_links": {"self": {"href": here}} | {name: {"href": url} for name, url in links.items()},
        "number": it.number,
        "state": it.state,
        "locked": it.locked,
        "title": it.title,
        "user": user(world, it.author),
        "body": it.body,
        "labels": [label(world, repo, one) for one in it.labels],
        "milestone": None,
        "active_lock_reason": it.lock_reason,
        "created_at": stamp(it.created_at),
        "updated_at": stamp(it.updated_at),
        "closed_at": stamp_or_none(it.closed_at),
        "merged_at": stamp_or_none(pull.merged_at),
        "assignees": [],
        "requested_reviewers": [user(world, one) for one in pull.requested_reviewers],
        "requested_teams": [],
        "head": _end(world, repo, pull.head_ref, pull.head_sha),
        "base": _end(world, repo, pull.base_ref, pull.base_sha),
        "author_association": association(repo, it.author),
        "auto_merge": None,
        "draft": pull.draft,
    }
    if version == OLDEST_VERSION:
        shown |= {"assignee": None, "merge_commit_sha": pull.merge_commit_sha}
    return shown


def pull_request(world: World, repo: Repository, it: Issue, pull: PullRequest, version: str = "") -> Json:
    mergeable = pull.size.mergeable
    clean = "clean" if mergeable else "dirty"
    return pull_simple(world, repo, it, pull, version) | {
        "merged": pull.merged_at is not None,
        "mergeable": None if it.state == "closed" else mergeable,
        "rebaseable": None if it.state == "closed" else mergeable,
        "mergeable_state": "unknown" if it.state == "closed" else ("draft" if pull.draft else clean),
        "merged_by": user(world, pull.merged_by) if pull.merged_by else None,
        "comments": len(it.comments),
        "review_comments": 0,
        "maintainer_can_modify": pull.maintainer_can_modify,
        "commits": pull.size.commits,
        "additions": pull.size.additions,
        "deletions": pull.size.deletions,
        "changed_files": pull.size.changed_files,
    }


def _end(world: World, repo: Repository, ref: str, sha: str) -> Json:
    return {
        "label": f"{repo.owner.login}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": user(world, repo.owner),
        "repo": repository(world, repo),
    }
