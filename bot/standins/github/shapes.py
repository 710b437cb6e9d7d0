"""People, repositories and Apps as GitHub's JSON shows them."""

import base64
from collections.abc import Mapping

from bot.standins.github.state import App, Installation, Json, Repository, Token, User, stamp, stamp_or_none
from bot.standins.github.world import World

REPOSITORY_LINKS = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}
USER_LINKS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}


def api(world: World, path: str) -> str:
    return f"{world.base_url}/api/v3{path}"


def repo_api(world: World, repository: Repository, path: str = "") -> str:
    return api(world, f"/repos/{repository.full_name}{path}")


def page_url(world: World, repository: Repository, path: str = "") -> str:
    return f"{world.base_url}/{repository.full_name}{path}"


def node_id(kind: str, id: int) -> str:
    return f"{kind}_" + base64.urlsafe_b64encode(f"{id}".encode()).decode().rstrip("=")


def user(world: World, who: User) -> Json:
    here = api(world, f"/users/{who.login}")
    page = f"apps/{who.login.removesuffix('[bot]')}" if who.type == "Bot" else who.login
    return {
        "login": who.login,
        "id": who.id,
        "node_id": node_id("U", who.id),
        "avatar_url": f"{world.base_url}/avatars/{who.id}",
        "gravatar_id": "",
        "url": here,
        "html_url": f"{world.base_url}/{page}",
        **{name: here + rest for name, rest in USER_LINKS.items()},
        "type": who.type,
        "user_view_type": "public",
        "site_admin": False,
    }


def full_user(world: World, who: User) -> Json:
    blank = dict.fromkeys(("company", "location", "email", "hireable", "bio", "twitter_username"))
    counts = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
    times = {"created_at": stamp(who.created_at), "updated_at": stamp(who.created_at)}
    return user(world, who) | blank | {"name": who.login, "blog": ""} | counts | times


def repository(world: World, repo: Repository, permissions: Mapping[str, str] | None = None) -> Json:
    page = page_url(world, repo)
    open_issues = sum(issue.state == "open" for issue in repo.issues.values())
    shown: Json = {
        "id": repo.id,
        "node_id": node_id("R", repo.id),
        "name": repo.name,
        "full_name": repo.full_name,
        "private": repo.private,
        "owner": user(world, repo.owner),
        "html_url": page,
        "description": repo.description,
        "fork": False,
        "url": repo_api(world, repo),
        **{name: repo_api(world, repo, rest) for name, rest in REPOSITORY_LINKS.items()},
        "git_url": page.replace("http://", "git://") + ".git",
        "ssh_url": f"git@localhost:{repo.full_name}.git",
        "clone_url": f"{page}.git",
        "svn_url": page,
        "mirror_url": None,
        "homepage": None,
        "language": None,
        "license": None,
        "topics": [],
        "size": 0,
        "default_branch": repo.default_branch,
        "visibility": "private" if repo.private else "public",
        "archived": repo.archived,
        "disabled": False,
        "is_template": False,
        "web_commit_signoff_required": False,
        "allow_forking": True,
        "pushed_at": stamp(repo.pushed_at),
        "created_at": stamp(repo.created_at),
        "updated_at": stamp(repo.pushed_at),
    }
    shown |= dict.fromkeys(("has_issues", "has_projects", "has_downloads", "has_wiki"), True)
    shown |= dict.fromkeys(("has_pages", "has_discussions"), False)
    shown |= dict.fromkeys(("stargazers_count", "watchers_count", "watchers", "forks_count", "forks"), 0)
    shown |= {"open_issues_count": open_issues, "open_issues": open_issues}
    if permissions is not None:
        shown["permissions"] = {
            "admin": False,
            "maintain": False,
            "push": permissions.get("contents") == "write",
            "triage": False,
            "pull": True,
        }
    return shown


def full_repository(world: World, repo: Repository, permissions: Mapping[str, str] | None = None) -> Json:
    """What `GET /repos/{owner}/{repo}` adds."""
    return repository(world, repo, permissions) | {"subscribers_count": 0, "network_count": 0, "temp_clone_token": ""}


def app(world: World, it: App) -> Json:
    return {
        "id": it.id,
        "client_id": it.client_id,
        "slug": it.slug,
        "node_id": node_id("A", it.id),
        "owner": user(world, it.owner),
        "name": it.name,
        "description": "",
        "external_url": it.webhook_url,
        "html_url": f"{world.base_url}/apps/{it.slug}",
        "created_at": stamp(it.created_at),
        "updated_at": stamp(it.created_at),
        "permissions": {"metadata": "read"} | it.permissions,
        "events": list(it.events),
    }


def installation(world: World, it: Installation) -> Json:
    return {
        "id": it.id,
        "account": user(world, it.account),
        "repository_selection": "all" if it.repositories is None else "selected",
        "access_tokens_url": api(world, f"/app/installations/{it.id}/access_tokens"),
        "repositories_url": api(world, "/installation/repositories"),
        "html_url": f"{world.base_url}/settings/installations/{it.id}",
        "app_id": it.app.id,
        "client_id": it.app.client_id,
        "app_slug": it.app.slug,
        "target_id": it.account.id,
        "target_type": it.account.type,
        "permissions": {"metadata": "read"} | it.permissions,
        "events": list(it.app.events),
        "created_at": stamp(it.created_at),
        "updated_at": stamp(it.created_at),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": None,
        "suspended_at": stamp_or_none(it.suspended_at),
    }


def token(world: World, it: Token) -> Json:
    shown: Json = {
        "token": it.value,
        "expires_at": stamp(it.expires_at),
        "permissions": {"metadata": "read"} | it.permissions,
        "repository_selection": "all" if it.repositories is None else "selected",
    }
    if it.repositories is not None:
        chosen = sorted(it.repositories)
        shown["repositories"] = [repository(world, world.repositories[id], it.permissions) for id in chosen]
    return shown
