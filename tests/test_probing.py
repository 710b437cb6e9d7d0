"""Whether the models of a chain can be asked: one that can is enough."""

import pytest

from bot.agent.rules import RuleModel
from bot.probing import problem_of
from tests.fakes import ScriptedModel

pytestmark = pytest.mark.anyio


class Away(ScriptedModel):
    def __init__(self, problem: str | None) -> None:
        super().__init__(lambda seen: [])
        self._problem = problem
        self.tried = 0

    async def problem(self) -> str | None:
        self.tried += 1
        return self._problem


async def test_a_chain_works_as_long_as_one_of_it_does() -> None:
    first, second, third = Away("The key is wrong."), Away(None), Away("No money.")
    assert await problem_of([first, second, third]) is None
    assert third.tried == 1, "its card is read too"
    assert await problem_of([first, RuleModel()]) is None, "the rule agent is never away"


async def test_a_chain_that_is_out_says_what_each_lacks() -> None:
    assert await problem_of([Away("The key is wrong."), Away("No money.")]) == "The key is wrong. No money."
