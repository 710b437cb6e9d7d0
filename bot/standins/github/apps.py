"""The App's own endpoints: who it is, where it is installed, installation tokens."""

from bot.standins.github import shapes
from bot.standins.github.api import Answer, Call, Route, rate
from bot.standins.github.auth import LEVELS, AsApp, AsInstallation, mint
from bot.standins.github.problems import Problem, not_found
from bot.standins.github.state import Installation, Repository


async def get_app(call: Call) -> Answer:
    ours = [one for one in call.world.installations.values() if one.app is call.app]
    return Answer(200, shapes.app(call.world, call.app) | {"installations_count": len(ours)})


async def list_installations(call: Call) -> Answer:
    ours = [one for one in call.world.installations.values() if one.app is call.app]
    shown, headers = call.page(ours)
    return Answer(200, [shapes.installation(call.world, one) for one in shown], headers)


async def get_installation(call: Call) -> Answer:
    return Answer(200, shapes.installation(call.world, _installation(call)))


async def repository_installation(call: Call) -> Answer:
    one = next(
        (one for one in call.world.installations.values() if one.app is call.app and one.covers(call.repo)), None
    )
    if one is None:
        raise not_found()
    return Answer(200, shapes.installation(call.world, one))


async def create_token(call: Call) -> Answer:
    """A token for all, or for the subset of repositories and permissions asked for; never for more than was granted."""
    installation = _installation(call)
    if installation.suspended_at is not None:
        raise Problem(403, "This installation has been suspended")
    chosen = _chosen(call, installation)
    asked = call.body.get("permissions")
    granted = installation.permissions
    if asked is None:
        permissions = dict(granted)
    else:
        if not isinstance(asked, dict) or not asked:
            raise Problem(422, "The permissions requested are not granted to this installation.")
        for name, level in asked.items():
            have = "read" if name == "metadata" else granted.get(name, "")
            if LEVELS.get(str(level), 9) > LEVELS.get(have, 0):
                raise Problem(422, "The permissions requested are not granted to this installation.")
        permissions = dict(asked)
    token = mint(call.world, installation, repositories=chosen, permissions=permissions)
    return Answer(201, shapes.token(call.world, token))


def _chosen(call: Call, installation: Installation) -> set[int] | None:
    ids, names = call.body.get("repository_ids"), call.body.get("repositories")
    if ids is None and names is None:
        return installation.repositories
    if not _all(ids, int) or not _all(names, str):
        raise Problem(422, "Invalid request.\n\nRepositories are a list of names, or of ids.")
    wanted: list[Repository | None] = [call.world.repositories.get(id) for id in ids or []]
    wanted += [call.world.repository(f"{installation.account.login}/{name}") for name in names or []]
    found = {one.id for one in wanted if one is not None and installation.covers(one)}
    if not wanted or len(found) < len({id(one) for one in wanted}):
        raise Problem(
            422,
            "There is at least one repository that does not exist or is not accessible to the parent installation.",
        )
    return found


def _all(rows: object, kind: type) -> bool:
    return rows is None or (isinstance(rows, list) and all(type(row) is kind for row in rows))


async def revoke_token(call: Call) -> Answer:
    if isinstance(call.caller, AsInstallation):
        del call.world.tokens[call.caller.token.value]
    return Answer(204)


async def installation_repositories(call: Call) -> Answer:
    caller = call.caller
    if not isinstance(caller, AsInstallation):
        raise not_found()
    ours = [one for one in call.world.repositories.values() if caller.covers(one)]
    shown, headers = call.page(ours)
    rows = [shapes.repository(call.world, one, caller.token.permissions) for one in shown]
    selection = "all" if caller.token.repositories is None else "selected"
    return Answer(200, {"total_count": len(ours), "repository_selection": selection, "repositories": rows}, headers)


async def rate_limit(call: Call) -> Answer:
    core = rate(call.world, call.caller)
    search = {"limit": 30, "remaining": 30, "reset": core["reset"], "used": 0}
    return Answer(200, {"resources": {"core": core, "search": search}, "rate": core})


async def get_user(call: Call) -> Answer:
    who = call.world.user(call.path["login"])
    if who is None:
        raise not_found()
    return Answer(200, shapes.full_user(call.world, who))


def _installation(call: Call) -> Installation:
    one = call.world.installations.get(call.number("id"))
    if one is None or one.app is not call.app:
        raise not_found()
    return one


ROUTES = (
    Route("GET", "/app", get_app, caller=AsApp),
    Route("GET", "/app/installations", list_installations, caller=AsApp),
    Route("GET", "/app/installations/{id}", get_installation, caller=AsApp),
    Route("POST", "/app/installations/{id}/access_tokens", create_token, caller=AsApp),
    Route("GET", "/repos/{owner}/{repo}/installation", repository_installation, caller=AsApp),
    Route("DELETE", "/installation/token", revoke_token, caller=AsInstallation),
    Route("GET", "/installation/repositories", installation_repositories, caller=AsInstallation),
    Route("GET", "/rate_limit", rate_limit),
    Route("GET", "/users/{login}", get_user),
)
