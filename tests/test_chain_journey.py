"""A chain of models seen from the thread: who took over and why, in the comment, the log and the pull request."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.domain.events import Conclusion, ModelSwitched
from bot.stage import Stage, staged
from bot.standins.messages import Answer, Fault, LoopbackMessages, Observed, Status, use
from bot.standins.serving import serve
from tests.repositories import PYTHON, python_bug
from tests.test_journey import KEY, asked, assert_published, end_of

pytestmark = pytest.mark.anyio

CHAIN = "claude-opus-5-5,claude-sonnet-5-5,gpt-6.1-sol,rules"


@asynccontextmanager
async def bot(tmp_path: Path, faults: Mapping[int, Fault]) -> AsyncIterator[tuple[Stage, LoopbackMessages]]:
    source = tmp_path / "source"
    source.mkdir()
    messages = LoopbackMessages(wherever_it_stands, api_key=KEY, faults=faults)
    async with serve(messages.asgi()) as url:
        settings = {
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": url,
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"{url}/v1",
            "BACKSPACE_MODEL": CHAIN,
        }
        async with staged(tmp_path / "stage", source=python_bug(source), settings=settings) as stage:
            yield stage, messages


WORDS = {"outcome": "changes", "title": "Divide the sum by the count", "summary": "As asked.", "testing": "unittest"}


def wherever_it_stands(seen: Observed) -> Answer:
    """The known good change; in a new conversation, what is left of it: to submit."""
    if "<progress-" not in seen.task:
        return PYTHON.script(seen)
    newest = "".join(result.text for result in seen.results)
    shown = {"diff_id": seen.find(r"diff_id: (\w+)")} if "diff_id: " in newest else {}
    return Answer((use("submit", **WORDS, **shown),))


async def test_each_switch_of_the_model_is_told_in_the_thread_and_the_pull_request_names_all(tmp_path: Path) -> None:
    spent = Status(status=429, code="enforced_spend_limit_reached")
    async with bot(tmp_path, {2: spent, 5: Status(status=403)}) as (stage, messages):
        issue = await asked(stage, PYTHON.request)
        end = await end_of(stage, issue)
        assert end.conclusion is Conclusion.SUCCESS, end.message
        assert_published(stage, PYTHON)
        (comment,) = [c for c in stage.github.comments(stage.repository, issue) if c.author.type == "Bot"]
        (opened,) = stage.github.pull_requests(stage.repository)
        (row,) = await stage.store.jobs_on(stage.repository.id, issue)
        events = [recorded.event for recorded in await stage.store.events(row.job.id)]
    switches = [(event.before, event.after) for event in events if isinstance(event, ModelSwitched)]
    assert switches == [("claude-opus-5-5", "claude-sonnet-5-5"), ("claude-sonnet-5-5", "gpt-6.1-sol")]
    assert (
        "claude-opus-5-5 is set aside for this run, claude-sonnet-5-5 goes on in its place: "
        "The spending limit of the Claude account is reached (HTTP 429)."
    ) in comment.body
    assert (
        "claude-sonnet-5-5 is set aside for this run, gpt-6.1-sol goes on in a new conversation, from a summary of the "
        "work so far: The API key may not use claude-sonnet-5-5 (HTTP 403)."
    ) in comment.body
    assert "`claude-opus-5-5 then claude-sonnet-5-5 then gpt-6.1-sol`" in (opened.body or "")
    assert {body["model"] for body in messages.requests[5:]} == {"gpt-6.1-sol"}, "nobody set aside comes back"


async def test_the_rule_agent_at_the_end_of_the_chain_does_what_the_request_spells_out(tmp_path: Path) -> None:
    """No key is accepted anywhere; the operator is told, the requester gets the change."""
    faults = {number: Status(status=401) for number in range(1, 9)}
    async with bot(tmp_path, faults) as (stage, _):
        issue = await asked(stage, "/backspace replace `(len(numbers) - 1)` with `len(numbers)` in calc/mean.py")
        assert (await end_of(stage, issue)).conclusion is Conclusion.SUCCESS
        assert_published(stage, PYTHON)
        (opened,) = stage.github.pull_requests(stage.repository)
        assert "`rules`" in (opened.body or "")


async def test_when_no_model_can_go_on_the_thread_says_what_is_wrong_with_each(tmp_path: Path) -> None:
    faults = {number: Status(status=401) for number in range(1, 9)}
    async with bot(tmp_path, faults) as (stage, _):
        issue = await asked(stage, PYTHON.request)
        end = await end_of(stage, issue)
    assert end.conclusion is Conclusion.FAILURE
    for name in CHAIN.split(",")[:-1]:
        assert f"{name}: " in end.message.replace("\\", "")
