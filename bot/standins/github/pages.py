"""Pages for a person with a browser: repositories, threads, pull requests with their diff, checks, deliveries."""

import json
import time
from asyncio import to_thread
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from bot.standins.github import forms
from bot.standins.github.differences import changes, diff_text, parting
from bot.standins.github.hooks import Hooks
from bot.standins.github.markdown import rendered
from bot.standins.github.problems import Problem, not_found
from bot.standins.github.shapes import page_url
from bot.standins.github.state import CheckRun, Issue, Repository
from bot.standins.github.threads import issue_of
from bot.standins.github.world import World

HERE = Path(__file__).parent / "templates"
ASSETS = {"page.css": "text/css", "page.js": "text/javascript"}
SHOWN_LINES = 4_000  # of one file's diff; a longer one is cut
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
View = Callable[[Request], Awaitable[Response]]


def routes(world: World, hooks: Hooks) -> list[Route]:
    pages = Pages(world)
    repo = "/{owner}/{repo}"
    views: Sequence[tuple[str, View]] = (
        ("/", pages.index),
        ("/assets/{name}", asset),
        ("/avatars/{id:int}", pages.avatar),
        ("/deliveries", pages.deliveries),
        ("/deliveries/{id:int}", pages.delivery),
        (repo, pages.repository),
        (f"{repo}/issues", pages.repository),
        (f"{repo}/pulls", pages.repository),
        (f"{repo}/issues/new", pages.new_issue),
        (f"{repo}/issues/{{number:int}}", pages.thread),
        (f"{repo}/pull/{{number:int}}.diff", pages.plain_diff),
        (f"{repo}/pull/{{number:int}}", pages.thread),
        (f"{repo}/pull/{{number:int}}/files", pages.thread),
        (f"{repo}/commit/{{sha}}", pages.commit),
        (f"{repo}/runs/{{id:int}}", pages.check_run),
        (f"{repo}/tree/{{ref:path}}", pages.tree),
    )
    shown = [Route(path, _guarded(view), methods=["GET"]) for path, view in views]
    return shown + [Route(path, _guarded(act), methods=["POST"]) for path, act in forms.actions(world, hooks)]


def _guarded(view: View) -> View:
    async def answer(request: Request) -> Response:
        try:
            response = await view(request)
        except Problem as problem:
            reason = "; ".join(str(one.get("message", one)) for one in problem.errors if isinstance(one, dict))
            response = PlainTextResponse(f"{problem.message} {reason}".strip(), problem.status)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return answer


async def asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in ASSETS:
        raise not_found()
    return FileResponse(HERE / name, media_type=ASSETS[name])


class Pages:
    """One method a page. Templates get the state's own objects and only read them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._templates = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
        self._templates.globals["when"] = lambda at: time.strftime("%d %b %Y, %H:%M:%S", time.localtime(at))
        self._templates.filters["short"] = lambda sha: sha[:7]

    def _page(self, name: str, request: Request, **facts: Any) -> HTMLResponse:
        facts.setdefault("repo", None)
        people = self._world.people(facts["repo"])
        chosen = request.cookies.get("as", "")
        whole = {"people": people, "chosen": chosen, "world": self._world} | facts
        if facts["repo"] is not None:
            whole["md"] = partial(rendered, base=f"/{facts['repo'].full_name}")
        return HTMLResponse(self._templates.get_template(name).render(whole))

    def _repo(self, request: Request) -> Repository:
        name = f"{request.path_params['owner']}/{request.path_params['repo']}"
        repo = self._world.repository(name)
        if repo is None:
            raise not_found()
        return repo

    async def index(self, request: Request) -> Response:
        return self._page("index.html", request, repositories=list(self._world.repositories.values()))

    async def avatar(self, request: Request) -> Response:
        """A circle with a letter."""
        id = request.path_params["id"]
        who = next((one for one in self._world.users.values() if one.id == id), None)
        letter = who.login[0].upper() if who and who.login[0].isalnum() else "?"
        svg = (
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 40 40'>"
            f"<circle cx='20' cy='20' r='20' fill='hsl({id * 67 % 360} 45% 42%)'/>"
            "<text x='20' y='27' font-family='sans-serif' font-size='20' text-anchor='middle' fill='#fff'>"
            f"{letter}</text>"
            "</svg>"
        )
        return Response(svg, media_type="image/svg+xml")

    async def repository(self, request: Request) -> Response:
        repo = self._repo(request)
        newest = sorted(repo.issues.values(), key=lambda one: -one.number)
        readme = await to_thread(_readme, repo)
        branches = await to_thread(repo.git.refs, "refs/heads/")
        names = [name.removeprefix("refs/heads/") for name in branches]
        return self._page("repository.html", request, repo=repo, threads=newest, readme=readme, branches=names)

    async def new_issue(self, request: Request) -> Response:
        return self._page("new_issue.html", request, repo=self._repo(request))

    async def thread(self, request: Request) -> Response:
        """A pull request asked for as an issue is redirected, and the other way round, as on GitHub."""
        repo = self._repo(request)
        issue = issue_of(repo, request.path_params["number"])
        place = "pull" if issue.pull else "issues"
        if request.url.path.split("/")[3] != place:
            return RedirectResponse(page_url(self._world, repo, f"/{place}/{issue.number}"), 302)
        facts: dict[str, Any] = {"files": (), "commits": (), "runs": _runs(repo, issue)}
        if issue.pull:
            git, pull = repo.git, issue.pull
            base = await to_thread(parting, git, pull.base_sha, pull.head_sha)
            shas = await to_thread(git.between, base, pull.head_sha)
            facts["files"] = await to_thread(changes, git, base, pull.head_sha)
            facts["commits"] = [await to_thread(git.commit, sha) for sha in shas]
        return self._page("thread.html", request, repo=repo, issue=issue, cut=SHOWN_LINES, **facts)

    async def plain_diff(self, request: Request) -> Response:
        repo = self._repo(request)
        pull = issue_of(repo, request.path_params["number"]).pull
        if pull is None:
            raise not_found()
        base = await to_thread(parting, repo.git, pull.base_sha, pull.head_sha)
        return PlainTextResponse(await to_thread(diff_text, repo.git, base, pull.head_sha))

    async def commit(self, request: Request) -> Response:
        repo = self._repo(request)
        sha = await to_thread(repo.git.resolve, request.path_params["sha"])
        if sha is None:
            raise not_found()
        commit = await to_thread(repo.git.commit, sha)
        files = await to_thread(changes, repo.git, commit.parents[0], sha) if commit.parents else ()
        runs = [run for run in repo.check_runs.values() if run.head_sha == sha]
        return self._page("commit.html", request, repo=repo, commit=commit, files=files, runs=runs, cut=SHOWN_LINES)

    async def tree(self, request: Request) -> Response:
        repo = self._repo(request)
        sha = await to_thread(repo.git.resolve, request.path_params["ref"])
        if sha is None:
            raise not_found()
        entries = await to_thread(repo.git.entries, sha, recursive=True)
        files = [one for one in entries if one.type != "tree"]
        return self._page("tree.html", request, repo=repo, ref=request.path_params["ref"], sha=sha, files=files)

    async def check_run(self, request: Request) -> Response:
        repo = self._repo(request)
        run = repo.check_runs.get(request.path_params["id"])
        if run is None:
            raise not_found()
        return self._page("check_run.html", request, repo=repo, run=run)

    async def deliveries(self, request: Request) -> Response:
        return self._page("deliveries.html", request, deliveries=self._world.deliveries[::-1][:200])

    async def delivery(self, request: Request) -> Response:
        id = request.path_params["id"]
        one = next((one for one in self._world.deliveries if one.id == id), None)
        if one is None:
            raise not_found()
        payload = json.dumps(json.loads(one.payload), indent=2)
        return self._page("delivery.html", request, delivery=one, payload=payload)


def _runs(repo: Repository, issue: Issue) -> list[CheckRun]:
    if issue.pull is None:
        return []
    return [run for run in repo.check_runs.values() if run.head_sha == issue.pull.head_sha]


def _readme(repo: Repository) -> str | None:
    sha = repo.git.resolve(repo.default_branch)
    if sha is None or repo.git.kind_at(sha, "README.md") != "blob":
        return None
    return repo.git.run("cat-file", "blob", f"{sha}:README.md").decode(errors="replace")
