"""Check runs over REST, with GitHub's documented limits."""

from asyncio import to_thread
from collections.abc import Mapping
from datetime import datetime

from bot.standins.github import shapes as common
from bot.standins.github.api import Answer, Call, Route
from bot.standins.github.auth import AsInstallation
from bot.standins.github.problems import Problem, invalid_request, not_found
from bot.standins.github.state import CheckRun, Json, Repository, User, stamp, stamp_or_none
from bot.standins.github.world import World

TEXT_LIMIT = 65_535  # characters of summary and of text
ANNOTATIONS_A_REQUEST = 50
ACTIONS = 3
ACTION_LIMITS = {"label": 20, "description": 40, "identifier": 20}
STATUSES = ("queued", "in_progress", "completed")
CONCLUSIONS = ("action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out")
LEVELS = ("notice", "warning", "failure")
MESSAGE_LIMIT = 65_536  # characters of an annotation's message (64 kB)


async def create(call: Call) -> Answer:
    name, sha = _text(call.body, "name", required=True), _text(call.body, "head_sha", required=True)
    check_body(call.body, creating=True)
    if await to_thread(call.repo.git.kind, str(sha)) != "commit":
        raise Problem(422, f"No commit found for SHA: {sha}")
    id = call.world.next_id()
    suite = next((r.suite_id for r in call.repo.check_runs.values() if r.head_sha == sha and r.app is call.app), id)
    run = CheckRun(id, suite, call.app, str(sha), str(name), call.world.now())
    call.repo.check_runs[id] = run
    change(run, call.body, now=call.world.now())
    tell(call.world, call.repo, run, "created", call.actor)
    if run.status == "completed":
        tell(call.world, call.repo, run, "completed", call.actor)
    return Answer(201, shape(call.world, call.repo, run))


async def update(call: Call) -> Answer:
    run = _of(call)
    if run.app is not call.app:
        raise Problem(
            403,
            f"Invalid app_id `{call.app.id}` - check run can only be modified by the GitHub App that created it.",
        )
    check_body(call.body, creating=False)
    was_done = run.status == "completed"
    change(run, call.body, now=call.world.now())
    if run.status == "completed" and not was_done:
        tell(call.world, call.repo, run, "completed", call.actor)
    return Answer(200, shape(call.world, call.repo, run))


async def get(call: Call) -> Answer:
    return Answer(200, shape(call.world, call.repo, _of(call)))


async def list_annotations(call: Call) -> Answer:
    shown, headers = call.page(_of(call).annotations)
    return Answer(200, shown, headers)


async def list_for_ref(call: Call) -> Answer:
    """`filter=latest`, the default, keeps the newest run of each name and App."""
    sha = await to_thread(call.repo.git.resolve, call.path["ref"])
    if sha is None:
        raise Problem(422, f"No commit found for SHA: {call.path['ref']}")
    rows = [run for run in reversed(call.repo.check_runs.values()) if run.head_sha == sha and _wanted(run, call.query)]
    if call.query.get("filter", "latest") == "latest":
        rows = list({(run.app.id, run.name): run for run in reversed(rows)}.values())
    shown, headers = call.page(rows)
    runs = [shape(call.world, call.repo, run) for run in shown]
    return Answer(200, {"total_count": len(rows), "check_runs": runs}, headers)


def _wanted(run: CheckRun, asked: Mapping[str, str]) -> bool:
    return (
        asked.get("check_name", run.name) == run.name
        and asked.get("status", run.status) == run.status
        and asked.get("app_id", str(run.app.id)) == str(run.app.id)
    )


# ---------------------------------------------------------------- checking and changing


def check_body(body: Json, *, creating: bool) -> None:
    """Raises Problem 422 in GitHub's words."""
    if "status" in body and body["status"] not in STATUSES:
        raise invalid_request(f"For 'properties/status', {body['status']} is not a member of {list(STATUSES)}.")
    if body.get("conclusion") is not None and body["conclusion"] not in CONCLUSIONS:
        raise invalid_request(f"For 'properties/conclusion', {body['conclusion']} is not a member of the enum.")
    if body.get("status") == "completed" and body.get("conclusion") is None:
        raise invalid_request('"conclusion" wasn\'t supplied.')
    for moment in ("started_at", "completed_at"):
        if body.get(moment) is not None:
            _time(body[moment])
    url = body.get("details_url")
    if url is not None and not str(url).startswith(("http://", "https://")):
        raise invalid_request("details_url must use http or https scheme")
    if body.get("output") is not None:
        check_output(body["output"], creating=creating)
    actions = body.get("actions") or []
    _at_most(actions, ACTIONS)
    for action in actions:
        for part, limit in ACTION_LIMITS.items():
            _short(_text(action, part, required=True), limit)


def check_output(output: object, *, creating: bool) -> None:
    if not isinstance(output, dict):
        raise invalid_request(f"{output!r} is not an object.")
    _text(output, "title", required=creating)
    _short(_text(output, "summary", required=True), TEXT_LIMIT)
    _short(_text(output, "text", required=False), TEXT_LIMIT)
    annotations = output.get("annotations") or []
    _at_most(annotations, ANNOTATIONS_A_REQUEST)
    for one in annotations:
        for part in ("path", "message"):
            _short(_text(one, part, required=True), MESSAGE_LIMIT)
        if not all(isinstance(one.get(part), int) for part in ("start_line", "end_line")):
            raise invalid_request('"start_line", "end_line" weren\'t supplied.')
        if one.get("annotation_level") not in LEVELS:
            raise invalid_request(f"{one.get('annotation_level')} is not a member of {list(LEVELS)}.")


def change(run: CheckRun, body: Json, *, now: float) -> None:
    """A conclusion completes the run, whatever `status` says; annotations are added to those before."""
    if body.get("name"):
        run.name = str(body["name"])
    if "status" in body:
        run.status = body["status"]
        if run.status != "completed":
            run.conclusion, run.completed_at = None, None
    if body.get("conclusion") is not None:
        run.status, run.conclusion = "completed", body["conclusion"]
        run.completed_at = _time(body["completed_at"]) if body.get("completed_at") else now
    if body.get("started_at"):
        run.started_at = _time(body["started_at"])
    run.external_id = body.get("external_id") or run.external_id
    run.details_url = body.get("details_url") or run.details_url
    run.actions = body.get("actions", run.actions)
    output = body.get("output") or {}
    run.title = output.get("title", run.title)
    run.summary = output.get("summary", run.summary)
    run.text = output.get("text", run.text)
    run.annotations += [_annotation(one) for one in output.get("annotations") or []]


def _annotation(one: Json) -> Json:
    optional = ("start_column", "end_column", "title", "raw_details")
    return dict.fromkeys(optional) | one | {"blob_href": ""}


# ---------------------------------------------------------------- showing and telling


def shape(world: World, repo: Repository, run: CheckRun) -> Json:
    here = common.repo_api(world, repo, f"/check-runs/{run.id}")
    page = common.page_url(world, repo, f"/runs/{run.id}")
    ends = {"id": repo.id, "url": common.repo_api(world, repo), "name": repo.name}
    return {
        "id": run.id,
        "name": run.name,
        "node_id": common.node_id("CR", run.id),
        "head_sha": run.head_sha,
        "external_id": run.external_id,
        "url": here,
        "html_url": page,
        "details_url": run.details_url or page,
        "status": run.status,
        "conclusion": run.conclusion,
        "started_at": stamp(run.started_at),
        "completed_at": stamp_or_none(run.completed_at),
        "output": {
            "title": run.title,
            "summary": run.summary,
            "text": run.text,
            "annotations_count": len(run.annotations),
            "annotations_url": f"{here}/annotations",
        },
        "check_suite": {"id": run.suite_id},
        "app": common.app(world, run.app),
        "pull_requests": [
            {
                "id": pull.id,
                "number": issue.number,
                "url": common.repo_api(world, repo, f"/pulls/{issue.number}"),
                "head": {"ref": pull.head_ref, "sha": pull.head_sha, "repo": ends},
                "base": {"ref": pull.base_ref, "sha": pull.base_sha, "repo": ends},
            }
            for issue in repo.pulls()
            if (pull := issue.pull) and issue.state == "open" and pull.head_sha == run.head_sha
        ],
    }


def tell(
    world: World, repo: Repository, run: CheckRun, action: str, by: User, *, identifier: str | None = None
) -> None:
    """The `check_run` event, which goes to the run's own App only."""
    payload: Json = {"check_run": shape(world, repo, run)}
    if identifier is not None:
        payload["requested_action"] = {"identifier": identifier}
    world.emit(repo, "check_run", action, payload, sender=by, only=run.app)


def _of(call: Call) -> CheckRun:
    run = call.repo.check_runs.get(call.number("id"))
    if run is None:
        raise not_found()
    return run


def _text(body: Json, name: str, *, required: bool) -> str | None:
    value = body.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str):
        raise invalid_request(f'"{name}" wasn\'t supplied.' if value is None else f"{value!r} is not a string.")
    return value


def _short(text: str | None, limit: int) -> None:
    if text is not None and len(text) > limit:
        raise invalid_request(f"Only {limit} characters are allowed; {len(text)} were supplied.")


def _at_most(rows: object, limit: int) -> None:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise invalid_request("A list of objects was expected.")
    if len(rows) > limit:
        raise invalid_request(f"No more than {limit} items are allowed; {len(rows)} were supplied.")


def _time(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        raise invalid_request(f"{text} is not a valid date-time.") from None


REPO = "/repos/{owner}/{repo}"
READ, WRITE = ("checks:read",), ("checks:write",)
ROUTES = (
    Route("POST", f"{REPO}/check-runs", create, WRITE, AsInstallation),
    Route("GET", f"{REPO}/check-runs/{{id}}", get, READ),
    Route("PATCH", f"{REPO}/check-runs/{{id}}", update, WRITE, AsInstallation),
    Route("GET", f"{REPO}/check-runs/{{id}}/annotations", list_annotations, READ),
    Route("GET", f"{REPO}/commits/{{ref:path}}/check-runs", list_for_ref, READ),
)
