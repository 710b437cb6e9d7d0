"""Whether the models of a chain can be asked: one that can is enough."""

import pytest

from bot.probing import problem_of

pytestmark = pytest.mark.anyio


class Away:
    def __init__(self, problem: str | None) -> None:
        self._problem = problem
        self.asked = 0

    async def problem(self) -> str | None:
        self.asked += 1
        return self._problem


async def test_a_chain_works_as_long_as_one_of_it_does() -> None:
    first, second, third = Away("The key is wrong."), Away(None), Away("No money.")
    assert await problem_of([first, second, third]) is None
    assert third.asked == 0, "one that works is enough"


async def test_a_chain_that_is_out_says_what_each_lacks() -> None:
    assert await problem_of([Away("The key is wrong."), Away("No money.")]) == "The key is wrong. No money."
