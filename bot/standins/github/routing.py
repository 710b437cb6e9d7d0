"""Every address the stand-in answers at, as one application."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount

from bot.standins.github import (
    apps,
    archives,
    checks,
    graphql,
    issues,
    objects,
    pages,
    pulls,
    refs,
    repositories,
    smart_http,
)
from bot.standins.github.api import starlette_route
from bot.standins.github.hooks import Hooks
from bot.standins.github.hooks import routes as hook_routes
from bot.standins.github.problems import not_found
from bot.standins.github.world import World


def application(world: World, hooks: Hooks) -> Starlette:
    """The API at the root, as github.com has it, and below `/api`, as an Enterprise Server has it."""
    families = (apps, issues, pulls, refs, objects, checks, repositories)
    api = [starlette_route(world, route) for family in families for route in family.ROUTES]
    api += [starlette_route(world, route) for route in hook_routes(hooks)]
    graph = [starlette_route(world, route) for route in graphql.ROUTES]
    routes: list[BaseRoute] = [Mount("/api/v3", routes=[*api]), *api, Mount("/api", routes=[*graph]), *graph]
    routes += archives.routes(world)
    routes += pages.routes(world, hooks)
    routes += smart_http.routes(world)
    return Starlette(routes=routes, exception_handlers={404: _nothing_here, 405: _nothing_here})


async def _nothing_here(request: Request, error: Exception) -> Response:
    return JSONResponse(not_found().body(), 404)
