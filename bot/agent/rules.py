"""The model-free agent, as a model: it answers every conversation with the tool calls that its rules prescribe."""

import re
import shlex
from collections.abc import Generator

from bot.agent.ground import SCRATCH
from bot.agent.prompt import LOST_TREE, request_in
from bot.agent.recipes import (
    FORMATTERS,
    UNDERSTOOD,
    AddLine,
    ApplyPatch,
    DeletePath,
    Recipe,
    RenameFile,
    ReplaceText,
    RunFormatter,
    WriteFile,
    is_relative,
    recipes,
)
from bot.agent.review import DIFF_ID, NOTHING_CHANGED
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
SEARCHES = 20  # each shows at most 200 matches

Call = tuple[str, Json]
Script = Generator[Call, ToolResult, None]
Step = Generator[Call, ToolResult, None]


class Impossible(Exception):
    """A recipe cannot be carried out; the words are for the person who asked."""


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
            yield from _carry_out(recipe, number)
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
        "testing": "Nothing beyond the check that the harness ran.",
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


def described(recipe: Recipe) -> str:
    """One line, imperative, as a pull request title has it."""
    match recipe:
        case ApplyPatch(text):
            return f"Apply the given patch to {_patched(text)}"
        case WriteFile(path, _):
            return f"Write {path}"
        case ReplaceText(old, new, path):
            return f"Replace `{old}` with `{new}`" + (f" in {path}" if path else "")
        case RenameFile(old, new):
            return f"Rename {old} to {new}"
        case DeletePath(path, _):
            return f"Delete {path}"
        case RunFormatter(name):
            return f"Run `{name}`"
        case AddLine(line, path):
            return f"Add `{line}` to {path}"


def _patched(text: str) -> str:
    paths = re.findall(r"^(?:\+\+\+ b/|--- a/|rename to )(\S+)", text, re.M)
    names = list(dict.fromkeys(paths))
    return names[0] if len(names) == 1 else f"{len(names)} files" if names else "the repository"


# ---------------------------------------------------------------- recipes


def _carry_out(recipe: Recipe, number: int) -> Step:
    _check_paths(recipe)
    match recipe:
        case ApplyPatch(text):
            yield from _apply(text, number)
        case WriteFile(path, content):
            yield from _must("write", {"file_path": path, "content": content})
        case ReplaceText(old, new, None):
            yield from _replace_everywhere(old, new)
        case ReplaceText(old, new, str(path)):
            yield from _must("edit", _edit(path, old, new))
        case RenameFile(old, new):
            yield from _shell(_rename_command(old, new), f"{old} could not be renamed to {new}")
        case DeletePath(path, is_folder):
            flags = "-r" if is_folder else ""
            yield from _shell(f"rm {flags} -- {shlex.quote(path)}", f"{path} could not be deleted")
        case RunFormatter(name):
            yield from _shell(FORMATTERS[name], f"`{name}` failed")
        case AddLine(line, path):
            yield from _shell(_add_command(line, path), f"`{line}` could not be added to {path}")


def _check_paths(recipe: Recipe) -> None:
    paths: tuple[str, ...]
    match recipe:
        case WriteFile(path, _) | ReplaceText(_, _, str(path)) | DeletePath(path, _) | AddLine(_, path):
            paths = (path,)
        case RenameFile(old, new):
            paths = (old, new)
        case _:
            paths = ()
    for path in paths:
        if not is_relative(path):
            raise Impossible(f"`{path}` is not a path inside the repository.")


def _must(name: str, given: Json) -> Step:
    result = yield name, given
    if result.is_error:
        raise Impossible(result.text)


def _shell(command: str, failure: str) -> Step:
    result = yield "bash", {"command": command}
    if not result.text.startswith("exit 0,"):
        raise Impossible(f"{failure}: {_tail(result.text)}")


def _tail(text: str) -> str:
    return " ".join(text.split("\n", 1)[-1].split())[-400:]


def _edit(path: str, old: str, new: str) -> Json:
    return {"file_path": path, "old_string": old, "new_string": new, "replace_all": True}


def _apply(text: str, number: int) -> Step:
    """As written; then for files with CRLF line ends, which a web form cannot send; then by three-way merge."""
    plain, crlf = f"{SCRATCH}/request-{number}.patch", f"{SCRATCH}/request-{number}-crlf.patch"
    yield from _must("write", {"file_path": plain, "content": text})
    result = yield "bash", {"command": f"git apply --whitespace=nowarn {plain}"}
    if result.text.startswith("exit 0,"):
        return
    first_failure = _tail(result.text)
    yield from _must("write", {"file_path": crlf, "content": _with_crlf_lines(text)})
    for command in (f"git apply --whitespace=nowarn {crlf}", f"git add -A && git apply --3way {plain}"):
        result = yield "bash", {"command": command}
        if result.text.startswith("exit 0,"):
            return
    raise Impossible(f"The patch does not apply: {first_failure}")


def _with_crlf_lines(text: str) -> str:
    return re.sub(r"^([ +-](?!\+\+ |-- ).*)$", "\\1\r", text, flags=re.M)


def _replace_everywhere(old: str, new: str) -> Step:
    pattern = re.sub(r"([][\\.*+?(){}|^$])", r"\\\1", old)
    done: set[str] = set()
    for _ in range(SEARCHES):
        found = yield "grep", {"pattern": pattern}
        paths = dict.fromkeys(re.findall(r"^(.+?):\d+:", found.text, re.M))
        waiting = [path for path in paths if path not in done]
        for path in waiting:
            yield from _must("edit", _edit(path, old, new))
            done.add(path)
        if not waiting:
            break
    if not done:
        raise Impossible(f"`{old}` does not occur in the repository.")


def _rename_command(old: str, new: str) -> str:
    source, target = shlex.quote(old), shlex.quote(new)
    taken = shlex.quote(f"{new} exists already")
    return (
        f'if [ -e {target} ]; then echo {taken}; exit 1; fi; mkdir -p -- "$(dirname -- {target})" && '
        f"mv -- {source} {target}"
    )


def _add_command(line: str, path: str) -> str:
    """Append a line once, with the file's own line ends; only `.gitignore` may be new."""
    file, wanted = shlex.quote(path), shlex.quote(line)
    made = f"[ -e {file} ] || : > {file}" if path.split("/")[-1] == ".gitignore" else f"[ -f {file} ]"
    missing = shlex.quote(f"there is no file {path}")
    return (
        f"{made} || {{ echo {missing}; exit 1; }}; "
        f"tr -d '\\r' < {file} | grep -qxF -e {wanted} && exit 0; "
        f"end=; grep -q $'\\r$' {file} && end=$'\\r'; "
        f'if [ -s {file} ] && [ -n "$(tail -c 1 {file})" ]; then printf \'%s\\n\' "$end" >> {file}; fi; '
        f"printf '%s%s\\n' {wanted} \"$end\" >> {file}"
    )
