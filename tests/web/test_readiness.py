"""A database that can only be read makes no process ready."""

from bot.domain.errors import ProviderError
from bot.ports import Census
from tests.web.test_health import CALM, AwayStore, web


class ReadOnly(AwayStore):
    """Answers questions, and takes nothing."""

    async def prove(self) -> None:
        raise ProviderError("store", "attempt to write a readonly database")

    async def census(self) -> Census:
        return CALM


async def test_a_database_that_answers_and_takes_nothing_is_red() -> None:
    """R18. Red when readiness only reads: seen."""
    async with web(ReadOnly()) as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]["database"]["ok"]) == (503, False)
