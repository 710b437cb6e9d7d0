"""One repository on GitHub through its REST API: the GitHub port on githubkit."""

from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from copy import copy
from typing import Any

from bot.domain.errors import NotFound, Unprocessable
from bot.domain.job import PullRequest, Repo
from bot.github.answers import field, items, number, text
from bot.github.calls import READY_FOR_REVIEW
from bot.github.client import NOTHING, Answer, Client, Credentials, Json, Values
from bot.github.pace import Priority
from bot.github.settling import made, made_once
from bot.github.shapes import (
    comment_of,
    commit_of,
    issue_facts,
    pull_request_of,
    repository_facts,
    said,
    text_or_nothing,
    tree_entry,
)
from bot.ports import CheckRun, Comment, Commit, IssueFacts, Permission, Remote, RepositoryFacts, Said, TreeEntry

CHECK_NAME = "backspace"
OWN_BRANCHES = "backspace/"
_REPO = "/repos/{owner}/{repo}"
_PULL = _REPO + "/pulls/{number}"
_WITH_HTML = "application/vnd.github.full+json"
_PAGE = 100  # GitHub's largest
_COMMENT_PAGES = 3
_SUBJECTS = 8


class RestGitHub:
    """`ports.GitHub`; made by `App.repository`."""

    def __init__(self, client: Client, credentials: Credentials, *, app_id: int, git_url: str) -> None:
        self._client, self._credentials = client, credentials
        self._app_id, self._git_url, self._priority = app_id, git_url, Priority.RESULT

    def progress(self) -> "RestGitHub":
        other = copy(self)
        other._priority = Priority.PROGRESS
        return other

    # ------------------------------------------------------------ facts

    async def repository(self) -> RepositoryFacts:
        facts = repository_facts(await self._get(_REPO))
        if facts.repo.id != self._repo.id:
            raise NotFound("github", f"{self._repo.full_name} is another repository now", status=404)
        self._client.repo = facts.repo
        return facts

    async def permission(self, login: str) -> Permission:
        data = await self._get(_REPO + "/collaborators/{login}/permission", {"login": login})
        return Permission(number(data, "user", "id"), text(data, "role_name"), field(data, "user", "type") != "User")

    async def issue(self, number: int) -> IssueFacts:
        return issue_facts(await self._get(_REPO + "/issues/{number}", {"number": number}))

    async def remote(self) -> Remote:
        token = (await self._credentials.authorization()).removeprefix("Bearer ")
        basic = b64encode(f"x-access-token:{token}".encode()).decode()
        return Remote(f"{self._git_url}/{self._repo.full_name}.git", f"Authorization: Basic {basic}")

    # ------------------------------------------------------------ refs

    async def ref(self, branch: str) -> str | None:
        try:
            data = await self._get(_REPO + "/git/ref/heads/{+branch}", {"branch": branch})
        except NotFound:
            return None
        return text(data, "object", "sha")

    async def create_ref(self, branch: str, sha: str) -> None:
        body = {"ref": f"refs/heads/{_own(branch)}", "sha": sha}

        async def find() -> str | None:
            head = await self.ref(branch)
            return head if head == sha else None

        async def write() -> str:
            await self._call("POST", _REPO + "/git/refs", body=body)
            return sha

        await made_once(write, find, sleep=self._client.sleep)

    async def advance_ref(self, branch: str, sha: str) -> None:
        body = {"sha": sha, "force": False}
        await self._call("PATCH", _REPO + "/git/refs/heads/{+branch}", body=body, at={"branch": _own(branch)})

    async def delete_ref(self, branch: str) -> None:
        try:
            await self._call("DELETE", _REPO + "/git/refs/heads/{+branch}", at={"branch": _own(branch)})
        except NotFound:
            return
        except Unprocessable as error:
            if "does not exist" not in error.message:
                raise

    # ------------------------------------------------------------ objects

    async def commit(self, sha: str) -> Commit:
        return commit_of(await self._get(_REPO + "/git/commits/{sha}", {"sha": sha}))

    async def subjects(self, sha: str) -> tuple[str, ...]:
        answer = await self._call("GET", _REPO + "/commits", query={"sha": sha, "per_page": _SUBJECTS})
        messages = (text(commit, "commit", "message") for commit in items(answer.data))
        return tuple(message.strip().split("\n")[0].rstrip() for message in messages)

    async def create_blob(self, content: bytes) -> str:
        """Its bytes are checked here: base64 would hide what is spelt backwards in them."""
        if self._client.check is not None:
            self._client.check(content, "a file that was about to be sent to GitHub")
        body = {"content": b64encode(content).decode(), "encoding": "base64"}
        return text(await self._post(_REPO + "/git/blobs", body), "sha")

    async def create_tree(self, base_tree: str, entries: Sequence[TreeEntry]) -> str:
        tree = [tree_entry(entry) for entry in entries]
        return text(await self._post(_REPO + "/git/trees", {"base_tree": base_tree, "tree": tree}), "sha")

    async def create_commit(self, message: str, *, tree: str, parents: Sequence[str]) -> Commit:
        """Neither author nor committer is sent: then GitHub signs the commit in the App's name."""
        body = {"message": message, "tree": tree, "parents": list(parents)}
        return commit_of(await self._post(_REPO + "/git/commits", body))

    # ------------------------------------------------------------ pull requests

    async def find_pull_request(self, branch: str) -> PullRequest | None:
        query: Values = {
            "head": f"{self._repo.owner}:{branch}",
            "state": "all",
            "sort": "created",
            "direction": "desc",
            "per_page": 20,
        }
        answer = await self._call("GET", _REPO + "/pulls", query=query)
        ours = (
            found
            for found in items(answer.data)
            if field(found, "head", "ref") == branch and field(found, "head", "repo", "id") == self._repo.id
        )
        return next(map(pull_request_of, ours), None)

    async def create_pull_request(self, *, title: str, body: str, head: str, base: str, draft: bool) -> PullRequest:
        fields = {"title": title, "body": body, "head": head, "base": base, "draft": draft}

        async def write() -> PullRequest:
            return pull_request_of(await self._post(_REPO + "/pulls", fields))

        return await made_once(write, lambda: self.find_pull_request(head), sleep=self._client.sleep)

    async def pull_request(self, number: int) -> PullRequest:
        return pull_request_of(await self._get(_PULL, {"number": number}))

    async def update_pull_request(self, number: int, *, title: str, body: str) -> None:
        await self._call("PATCH", _PULL, body={"title": title, "body": body}, at={"number": number})

    async def mark_ready(self, number: int) -> None:
        shown = await self._get(_PULL, {"number": number})
        if field(shown, "draft") is not True:
            return
        refused = field(await self._post(READY_FOR_REVIEW, {"id": text(shown, "node_id")}), "errors")
        if refused and (await self.pull_request(number)).draft:
            raise Unprocessable("github", f"{text(items(refused)[0], 'message')[:300]!a} ({READY_FOR_REVIEW})")

    async def request_review(self, number: int, login: str) -> None:
        await self._call("POST", f"{_PULL}/requested_reviewers", body={"reviewers": [login]}, at={"number": number})

    # ------------------------------------------------------------ the thread

    async def react_to_comment(self, comment_id: int, content: str) -> None:
        template = _REPO + "/issues/comments/{comment_id}/reactions"
        await self._call("POST", template, body={"content": content}, at={"comment_id": comment_id})

    async def react_to_issue(self, number: int, content: str) -> None:
        template = _REPO + "/issues/{number}/reactions"
        await self._call("POST", template, body={"content": content}, at={"number": number})

    async def find_comment(self, issue: int, marker: str) -> Comment | None:
        return await self._newest_comment(issue, lambda body: marker in body)

    async def _newest_comment(self, issue: int, wanted: Callable[[str], bool]) -> Comment | None:
        async with aclosing(self._last_pages(issue, _COMMENT_PAGES)) as pages:
            async for page in pages:
                for comment in reversed(page):
                    if self._is_own(comment) and wanted(text_or_nothing(comment, "body")):
                        return comment_of(comment)
        return None

    async def comments(self, issue: int) -> tuple[Said, ...]:
        """Those of the last two pages, the oldest first."""
        pages = [page async for page in self._last_pages(issue, 2)]
        return tuple(said(comment) for page in reversed(pages) for comment in page)

    async def _last_pages(self, issue: int, most: int) -> AsyncGenerator[list[object], None]:
        """At most `most` pages of comments, from the last one on: GitHub lists the oldest first."""
        template, at = _REPO + "/issues/{number}/comments", {"number": issue}
        first = await self._call("GET", template, at=at, query={"per_page": _PAGE})
        for page in range(first.last_page, max(0, first.last_page - most), -1):
            query = {"per_page": _PAGE, "page": page}
            yield items((first if page == 1 else await self._call("GET", template, at=at, query=query)).data)

    async def rendered(self, issue: int, comments: Sequence[int]) -> str:
        shown = [await self._html(_REPO + "/issues/{number}", {"number": issue})]
        for one in comments:
            shown.append(await self._html(_REPO + "/issues/comments/{comment_id}", {"comment_id": one}))
        return "\n".join(shown)

    async def _html(self, template: str, at: Values) -> str:
        answer = await self._client.call("GET", template, at=at, priority=self._priority, accept=_WITH_HTML)
        return text_or_nothing(answer.data, "body_html")

    async def create_comment(self, issue: int, body: str) -> Comment:
        async def write() -> Comment:
            return comment_of(await self._post(_REPO + "/issues/{number}/comments", {"body": body}, {"number": issue}))

        def same(other: str) -> bool:
            """Line ends and outer space may change in GitHub's storing."""
            return other.split() == body.split()

        return await made(write, lambda: self._newest_comment(issue, same), sleep=self._client.sleep)

    async def update_comment(self, comment_id: int, body: str) -> None:
        template = _REPO + "/issues/comments/{comment_id}"
        await self._call("PATCH", template, body={"body": body}, at={"comment_id": comment_id})

    # ------------------------------------------------------------ check runs

    async def find_check_run(self, head_sha: str, external_id: str) -> int | None:
        query: Values = {"check_name": CHECK_NAME, "app_id": self._app_id, "filter": "all", "per_page": _PAGE}
        answer = await self._call("GET", _REPO + "/commits/{sha}/check-runs", at={"sha": head_sha}, query=query)
        ids = (
            number(run, "id")
            for run in items(answer.data, "check_runs")
            if field(run, "external_id") == external_id and field(run, "head_sha") == head_sha
        )
        return max(ids, default=None)

    async def create_check_run(self, head_sha: str, check: CheckRun, *, external_id: str, details_url: str) -> int:
        body = {"name": CHECK_NAME, "head_sha": head_sha, "external_id": external_id, **_check(check)}
        if details_url:
            body["details_url"] = details_url

        async def write() -> int:
            return number(await self._post(_REPO + "/check-runs", body), "id")

        return await made(write, lambda: self.find_check_run(head_sha, external_id), sleep=self._client.sleep)

    async def update_check_run(self, check_run_id: int, check: CheckRun) -> None:
        template = _REPO + "/check-runs/{check_run_id}"
        await self._call("PATCH", template, body=_check(check), at={"check_run_id": check_run_id})

    # ------------------------------------------------------------

    @property
    def _repo(self) -> Repo:
        if self._client.repo is None:
            raise ValueError("a client without a repository")
        return self._client.repo

    def _is_own(self, comment: object) -> bool:
        """Anybody can paste our marker: only what this App wrote in its own name counts."""
        written_by = field(comment, "performed_via_github_app", "id")
        return written_by == self._app_id and field(comment, "user", "type") == "Bot"

    async def _call(
        self, method: str, template: str, *, body: Json | None = None, query: Values = NOTHING, at: Values = NOTHING
    ) -> Answer:
        return await self._client.call(method, template, body=body, query=query, at=at, priority=self._priority)

    async def _get(self, template: str, at: Values = NOTHING) -> object:
        return (await self._call("GET", template, at=at)).data

    async def _post(self, template: str, body: Json, at: Values = NOTHING) -> object:
        return (await self._call("POST", template, at=at, body=body)).data


def _own(branch: str) -> str:
    """The bot writes below `backspace/` and nowhere else, whoever asks."""
    if not branch.startswith(OWN_BRANCHES):
        raise Unprocessable("github", f"the bot never writes to the branch {branch[:80]!a}")
    return branch


def _check(check: CheckRun) -> dict[str, Any]:
    output = {"title": check.title, "summary": check.summary}
    if check.text:
        output["text"] = check.text
    body: dict[str, Any] = {"status": check.status, "output": output}
    if check.conclusion is not None:
        body["conclusion"] = check.conclusion.value
    return body
