"""What is downloaded beside the API: the address a tarball request is redirected to, and attached files."""

from asyncio import to_thread

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from bot.standins.github.world import World


def routes(world: World) -> list[Route]:
    async def archive(request: Request) -> Response:
        """Each ticket is good once; the content is git's, so `export-ignore` and `export-subst` apply."""
        repo, sha = world.tickets.pop(request.query_params.get("token", ""), (None, ""))
        if repo is None or sha != request.path_params["sha"]:
            return PlainTextResponse("404: Not Found", 404)
        prefix = f"{repo.owner.login}-{repo.name}-{sha[:7]}"
        content = await to_thread(repo.git.run, "archive", "--format=tar.gz", f"--prefix={prefix}/", sha)
        headers = {"Content-Disposition": f"attachment; filename={prefix}.tar.gz"}
        return Response(content, headers=headers, media_type="application/x-gzip")

    async def attachment(request: Request) -> Response:
        """One redirect, and no credential: of a private repository only with what its HTML says, once signed in."""
        name = request.path_params["name"]
        if name not in world.attachments or request.query_params.get("jwt", "") != world.passes.get(name, ""):
            return PlainTextResponse("Not Found", 404)
        return RedirectResponse(f"/user-attachments/assets/{name}?kept=1", 302)

    async def kept(request: Request) -> Response:
        if "kept" not in request.query_params:
            return await attachment(request)
        content = world.attachments.get(request.path_params["name"])
        return PlainTextResponse("Not Found", 404) if content is None else Response(content)

    return [
        Route("/user-attachments/assets/{name}", kept, methods=["GET"]),
        Route("/codeload/{owner}/{repo}/legacy.tar.gz/{sha}", archive, methods=["GET"]),
    ]
