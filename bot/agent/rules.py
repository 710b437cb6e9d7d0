"""The model-free agent, as a model: it answers every conversation with the tool calls that its rules prescribe."""

import re

from bot.agent.carrying_out import Call, Impossible, Script, carry_out
from bot.agent.prompt import LOST_TREE, request_in
from bot.agent.recipes import UNDERSTOOD, Recipe, described, recipes
from bot.agent.review import NOTHING_CHANGED
from bot.agent.showing import DIFF_ID
from bot.domain.conversation import (
    AssistantTurn,
    Conversation,
    Json,
    Reply,
    Text,
    ToolResult,
    Turn,
    Usage,
    UserTurn,
    calls_of,
)
from bot.domain.pricing import FREE

NAME = "rules"
MOST_SUBMITS = 6


class RuleModel:
    """Implements `Model` as a pure function of the conversation: the same one always gets the same reply.

    It understands what `recipes.UNDERSTOOD` lists. If any recipe of a request fails, nothing is submitted.
    """

    name = family = NAME
    price = FREE
    effort = ""
    longest_prompt = 2**63 - 1  # it reads all of a conversation, whatever its length

    async def ask(self, conversation: Conversation, *, max_tokens: int) -> Reply:
        turn, results = _since_the_tree_was_new(conversation.turns)
        request = request_in(turn) if isinstance(turn, UserTurn) else ""
        number = sum(isinstance(turn, AssistantTurn) for turn in conversation.turns) + 1
        return _reply(number, _next_call(request, results))


def _since_the_tree_was_new(turns: tuple[Turn, ...]) -> tuple[Turn, list[ToolResult]]:
    """The opening turn, and what was done to the work tree as it is now."""
    results: list[ToolResult] = []
    for turn in turns:
        if not isinstance(turn, UserTurn):
            continue
        results += [block for block in turn.blocks if isinstance(block, ToolResult)]
        if any(isinstance(block, Text) and block.text == LOST_TREE for block in turn.blocks):
            results.clear()
    return turns[0], results


def _next_call(request: str, results: list[ToolResult]) -> Call | None:
    """Play the script from its beginning against what happened so far."""
    script = _script(request)
    try:
        call = next(script)
        for result in results:
            call = script.send(result)
    except StopIteration:
        return None
    return call


def _reply(number: int, call: Call | None) -> Reply:
    """Without a call the script has come to its end: a plain text ends the run."""
    blocks: tuple[Json, ...] = ({"type": "text", "text": "There is nothing left to do."},)
    if call is not None:
        name, given = call
        blocks = ({"type": "tool_use", "id": f"rule_{number}", "name": name, "input": given},)
    return Reply(
        model=NAME,
        message_id=f"rules_{number}",
        stop_reason="tool_use" if call else "end_turn",
        blocks=blocks,
        text="" if call else blocks[0]["text"],
        calls=calls_of(blocks),
        usage=Usage(),
    )


# ---------------------------------------------------------------- the script


def _script(request: str) -> Script:
    wanted = recipes(request)
    if not wanted:
        yield from _blocked(
            "Understand the request",
            "This bot runs without a language model and found nothing in the request that it understands. "
            f"It understands:\n\n{UNDERSTOOD}",
        )
        return
    try:
        for number, recipe in enumerate(wanted, 1):
            yield from carry_out(recipe, number)
    except Impossible as problem:
        yield from _blocked("Carry out the request", f"{problem} Nothing was changed.")
        return
    yield from _submitted(wanted)


def _submitted(wanted: tuple[Recipe, ...]) -> Script:
    """Submit until it is accepted: first to see the change, then with its id."""
    words = {
        "outcome": "changes",
        "title": _title(wanted),
        "summary": "As written in the request, without a language model:\n\n" + _listed(wanted),
        "testing": "",
    }
    shown: dict[str, str] = {}
    for _ in range(MOST_SUBMITS):
        result = yield "submit", {**words, **shown}
        found = re.search(rf"^{DIFF_ID}(?P<id>\w+)$", result.text, re.M)
        if found:
            shown = {"diff_id": found["id"]}
        elif NOTHING_CHANGED in result.text:
            yield (
                "submit",
                {**words, "outcome": "no_change", "summary": "The repository is already as the request wants it."},
            )
            return
        else:
            yield from _blocked("Submit the change", result.text)
            return


def _blocked(title: str, summary: str) -> Script:
    yield "submit", {"outcome": "blocked", "title": title, "summary": summary, "testing": "Nothing was run."}


def _title(wanted: tuple[Recipe, ...]) -> str:
    lines = [described(recipe) for recipe in wanted]
    return lines[0] if len(lines) == 1 else f"Apply {len(lines)} changes as requested"


def _listed(wanted: tuple[Recipe, ...]) -> str:
    return "\n".join(f"- {described(recipe)}" for recipe in wanted)
