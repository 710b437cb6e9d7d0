"""Pages for a person with a browser."""

from starlette.routing import Route

from bot.standins.github.hooks import Hooks
from bot.standins.github.world import World


def routes(world: World, hooks: Hooks) -> list[Route]:
    return []
