"""What a person can do on the pages: open, comment, label, close, merge, press a check's buttons, redeliver."""

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bot.standins.github import checks, threads
from bot.standins.github.git import GitFailed
from bot.standins.github.hooks import Hooks
from bot.standins.github.merging import merge
from bot.standins.github.problems import Problem, not_found
from bot.standins.github.state import Issue, Repository, User
from bot.standins.github.world import World

Act = Callable[[Request], Awaitable[Response]]


def actions(world: World, hooks: Hooks) -> Sequence[tuple[str, Act]]:
    forms = Forms(world, hooks)
    repo = "/{owner}/{repo}"
    return (
        (f"{repo}/issues/new", forms.open_issue),
        (f"{repo}/threads/{{number:int}}/{{verb}}", forms.change_thread),
        (f"{repo}/runs/{{id:int}}/{{verb}}", forms.press),
        ("/deliveries/{id:int}/redeliver", forms.redeliver),
    )


class Forms:
    """Each answers with a redirect back to the page, and remembers who was chosen."""

    def __init__(self, world: World, hooks: Hooks) -> None:
        self._world, self._hooks = world, hooks

    async def open_issue(self, request: Request) -> Response:
        fields = await fields_of(request)
        repo, who = self._repo(request), self._who(fields)
        body = fields.get("body", "").replace("\r\n", "\n")
        issue = threads.open_issue(self._world, repo, who, fields.get("title", ""), body)
        return _back(f"/{repo.full_name}/issues/{issue.number}", who)

    async def change_thread(self, request: Request) -> Response:
        fields = await fields_of(request)
        repo, who = self._repo(request), self._who(fields)
        issue = threads.issue_of(repo, request.path_params["number"])
        await self._change(request.path_params["verb"], repo, issue, who, fields)
        place = "pull" if issue.pull else "issues"
        return _back(f"/{repo.full_name}/{place}/{issue.number}#end", who)

    async def _change(self, verb: str, repo: Repository, issue: Issue, who: User, fields: dict[str, str]) -> None:
        world = self._world
        match verb:
            case "comment":
                threads.add_comment(world, repo, issue, who, fields.get("body", "").replace("\r\n", "\n"))
            case "label":
                threads.add_labels(world, repo, issue, who, [fields.get("name") or "backspace"])
            case "unlabel":
                threads.remove_label(world, repo, issue, who, fields.get("name", ""))
            case "close" | "reopen":
                threads.set_state(world, repo, issue, who, "closed" if verb == "close" else "open")
            case "merge":
                try:
                    await merge(world, repo, issue, who)
                except GitFailed:
                    raise Problem(409, "This branch has conflicts with its base that must be resolved.") from None
            case _:
                raise not_found()

    async def press(self, request: Request) -> Response:
        fields = await fields_of(request)
        repo, who = self._repo(request), self._who(fields)
        run = repo.check_runs.get(request.path_params["id"])
        if run is None:
            raise not_found()
        if request.path_params["verb"] == "rerequest":
            checks.tell(self._world, repo, run, "rerequested", who)
        else:
            identifier = request.path_params["verb"]
            checks.tell(self._world, repo, run, "requested_action", who, identifier=identifier)
        return _back(f"/{repo.full_name}/runs/{run.id}", who)

    async def redeliver(self, request: Request) -> Response:
        await fields_of(request)
        id = request.path_params["id"]
        delivery = next((one for one in self._world.deliveries if one.id == id), None)
        if delivery is None:
            raise not_found()
        self._hooks.redeliver(delivery)
        return RedirectResponse("/deliveries", 303)

    def _repo(self, request: Request) -> Repository:
        repo = self._world.repository(f"{request.path_params['owner']}/{request.path_params['repo']}")
        if repo is None:
            raise not_found()
        return repo

    def _who(self, fields: dict[str, str]) -> User:
        who = self._world.user(fields.get("as", ""))
        if who is None or who.type != "User":
            raise Problem(422, "Choose one of the people to act as.")
        return who


async def fields_of(request: Request) -> dict[str, str]:
    """The form's fields. Raises Problem 403 when another site's page posted it."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem(403, "This form was sent from another site.")
    body = (await request.body()).decode(errors="replace")
    return {name: values[-1] for name, values in parse_qs(body, keep_blank_values=True).items()}


def _back(path: str, who: User) -> Response:
    response = RedirectResponse(path, 303)
    response.set_cookie("as", who.login, httponly=True, samesite="strict")
    return response
