"""What a job's journal says about a run: entries in, conversation and progress out, always the same."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import reduce

from bot.agent.entries import receipt_of, usage_of
from bot.agent.progress import FIRST_MAX_TOKENS, Progress
from bot.domain.conversation import (
    AssistantTurn,
    Conversation,
    Json,
    Picture,
    Text,
    ToolResult,
    ToolSpec,
    Turn,
    UserTurn,
    calls_of,
)
from bot.ports import Entry

MOST_MAX_TOKENS = 128_000
SAME_TREE = "same"  # a new sandbox was given the tree of the one before


def fold(entries: Iterable[Entry]) -> Progress:
    """The run that these entries tell; a longer journal's conversation has a shorter one's as its exact prefix."""
    return reduce(advance, entries, Progress())


def advance(progress: Progress, entry: Entry) -> Progress:
    """One entry further. Entries of other parts of the job (`effect`s of publishing) change nothing."""
    match entry.kind, entry.key.split(" ")[0]:
        case "effect", "header":
            return _begun(progress, entry.data)
        case "effect", "begun":
            return replace(progress, tree=progress.tree.after(entry.data["tree"]))
        case "effect", "user":
            return _user_turn(progress, entry.data)
        case "effect", "steering":
            return replace(progress, unheard=(*progress.unheard, entry.data), said=(*progress.said, entry.data))
        case "effect", "sealed":
            return replace(progress, is_sealed=True)
        case "effect", "reopened":
            return replace(progress, is_sealed=False, accepted=None, untold=(*progress.untold, *entry.data["texts"]))
        case "effect", "model":
            return _switched(progress, entry.data)
        case "effect", "sandbox":
            return _moved(progress, entry.data)
        case "model", "reply":
            return _replied(progress, entry.data)
        case "model", "discarded":
            return _discarded(progress, entry.data)
        case "model", "warm":
            return replace(_paid(progress, entry.data), warmed=progress.warmed + 1)
        case "tool", "start":
            return replace(progress, started={**progress.started, entry.data["place"]: entry.data})
        case "tool", "result":
            return _returned(progress, entry.data)
    return progress


def _begun(progress: Progress, data: Json) -> Progress:
    tools = tuple(
        ToolSpec(t["name"], t["description"], t["input_schema"], t.get("strict", False)) for t in data["tools"]
    )
    pictures = tuple(Picture(**picture) for picture in data.get("pictures", ()))
    first = UserTurn(tuple(Text(text) for text in data["user"]), pictures=pictures)
    return replace(
        progress,
        conversation=Conversation(data["system"], tools, (first,), data.get("effort")),
        first=first,
        chosen=data.get("model", ""),
        family=data.get("family", ""),
        nonce=data["nonce"],
        unheard=progress.unheard[data.get("heard", 0) :],
        check=data["check"],
        sandbox=data["sandbox"],
    )


def _with_turn(progress: Progress, turn: Turn) -> Conversation:
    if progress.conversation is None:
        raise ValueError("the journal has no header before this entry")
    return replace(progress.conversation, turns=(*progress.conversation.turns, turn))


def _user_turn(progress: Progress, data: Json) -> Progress:
    results = tuple(
        ToolResult(call.id, progress.results[place]["text"], progress.results[place]["is_error"])
        for place, call in enumerate(progress.calls)
    )
    turn = UserTurn((*results, *(Text(text) for text in data["texts"])), tuple(data.get("notes", ())))
    return replace(
        progress,
        conversation=_with_turn(progress, turn),
        calls=(),
        started={},
        results={},
        untold=(),
        unheard=progress.unheard[data.get("heard", 0) :],
        is_void=False,
        user_turns=progress.user_turns + 1,
        nudges=progress.nudges + bool(data["nudge"]),
        pauses=0,
        told=progress.told | frozenset(data["told"]),
        bad_replies=progress.bad_replies if progress.awaits_model else progress.bad_streak,
    )


def _switched(progress: Progress, data: Json) -> Progress:
    """Another model, or a new conversation, or both: `progress` is the text that follows the first turn then, or ""."""
    switched = replace(
        progress,
        chosen=data["model"],
        family=data["family"],
        cached=0,
        setbacks=(*progress.setbacks, data["setback"]) if data["setback"] else progress.setbacks,
        switches=progress.switches + 1,
    )
    if not data["progress"] or progress.conversation is None:
        return switched
    blocks = (*progress.first.blocks, Text(data["progress"]), *map(Text, progress.untold))
    opening = replace(progress.first, blocks=blocks)
    return replace(
        switched,
        conversation=replace(progress.conversation, turns=(opening,)),
        calls=(),
        started={},
        results={},
        untold=(),
        is_void=False,
        stop_reason="",
        last_prompt=0,
        max_tokens=FIRST_MAX_TOKENS,
        pauses=0,
        bad_replies=0,
        seen={},
    )


def _moved(progress: Progress, data: Json) -> Progress:
    """A new sandbox. With the base tree, nothing the model knew about files, diffs and checks holds any more."""
    texts = tuple(data["texts"])
    told = progress.awaits_model and bool(texts)
    moved = replace(
        progress,
        conversation=_with_turn(progress, UserTurn(tuple(map(Text, texts)))) if told else progress.conversation,
        untold=progress.untold if told else (*progress.untold, *texts),
        sandbox=data["sandbox"],
        sandboxes=progress.sandboxes + 1,
    )
    if data.get("tree") == SAME_TREE:
        elsewhere = {place: {**start, "elsewhere": True} for place, start in progress.started.items()}
        return replace(moved, started=elsewhere)
    return replace(
        moved,
        is_void=not told,
        tree=progress.tree.void(),
        seen={},
        shown={},
        repeats={},
        most_repeated=0,
        accepted=None,
    )


def _replied(progress: Progress, data: Json) -> Progress:
    usage = usage_of(data["usage"])
    blocks = tuple(data["blocks"])
    return replace(
        _paid(progress, data),
        conversation=_with_turn(progress, AssistantTurn(blocks, data["message_id"])),
        replies=progress.replies + 1,
        first_prompt=progress.first_prompt if progress.has_answer else usage.input,
        last_prompt=usage.input,
        cached=usage.input - usage.fresh,
        model=data["model"],
        answered=(*progress.answered, data["model"]) if data["model"] not in progress.answered else progress.answered,
        stop_reason=data["stop_reason"],
        last_text=data["text"],
        calls=calls_of(blocks),
        pauses=progress.pauses + (data["stop_reason"] == "pause_turn"),
    )


def _discarded(progress: Progress, data: Json) -> Progress:
    longer = data["remedy"] == "longer"
    return replace(
        _paid(progress, data),
        discarded=progress.discarded + 1,
        max_tokens=min(MOST_MAX_TOKENS, progress.max_tokens * 2) if longer else progress.max_tokens,
    )


def _paid(progress: Progress, data: Json) -> Progress:
    """What any call of a model cost."""
    usd = data["usd"]
    return replace(
        progress,
        usage=progress.usage + usage_of(data["usage"]),
        usd=None if progress.usd is None or usd is None else progress.usd + usd,
        known_usd=progress.known_usd + (usd or 0.0),
        elapsed=data["elapsed"],
    )


def _returned(progress: Progress, data: Json) -> Progress:
    fresh_start = data["tool"] in ("edit", "write") and not data["is_error"] and data["same"] not in progress.repeats
    before: Mapping[str, int] = {} if fresh_start else progress.repeats
    repeats = {**before, data["same"]: before.get(data["same"], 0) + 1} if data["same"] else dict(before)
    edit_error, edit_errors = progress.edit_error, progress.edit_errors
    if data["tool"] == "edit":
        edit_errors = 0 if not data["is_error"] else edit_errors + 1 if data["text"] == edit_error else 1
        edit_error = data["text"] if data["is_error"] else ""
    return replace(
        progress,
        edit_error=edit_error,
        edit_errors=edit_errors,
        results={**progress.results, data["place"]: data},
        tool_calls=progress.tool_calls + 1,
        elapsed=data["elapsed"],
        repeats=repeats,
        most_repeated=max(repeats.values(), default=0),
        seen={**progress.seen, **data.get("seen", {})},
        shown={**progress.shown, data["diff_id"]: receipt_of(data["receipt"])}
        if data.get("diff_id")
        else progress.shown,
        rejections=progress.rejections + bool(data.get("checks_failed")),
        accepted=data["accepted"] if data.get("accepted") else progress.accepted,
        tree=progress.tree.after(data["tree"]) if "tree" in data else progress.tree,
    )
