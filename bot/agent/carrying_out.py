"""A recipe is carried out: the tool calls it takes, each chosen by what the ones before it answered."""

import re
import shlex
from collections.abc import Generator

from bot.agent.ground import SCRATCH
from bot.agent.recipes import (
    FORMATTERS,
    AddLine,
    ApplyPatch,
    DeletePath,
    Recipe,
    RenameFile,
    ReplaceText,
    RunFormatter,
    WriteFile,
    is_relative,
)
from bot.domain.conversation import Json, ToolResult

SEARCHES = 20  # each shows at most 200 matches

Call = tuple[str, Json]
Script = Generator[Call, ToolResult, None]


class Impossible(Exception):
    """A recipe cannot be carried out; the words are for the person who asked."""


def carry_out(recipe: Recipe, number: int) -> Script:
    """`number`: its place in the request, which names its files. Raises Impossible."""
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


def _must(name: str, given: Json) -> Script:
    result = yield name, given
    if result.is_error:
        raise Impossible(result.text)


def _shell(command: str, failure: str) -> Script:
    result = yield "bash", {"command": command}
    if not result.text.startswith("exit 0,"):
        raise Impossible(f"{failure}: {_tail(result.text)}")


def _tail(text: str) -> str:
    return " ".join(text.split("\n", 1)[-1].split())[-400:]


def _edit(path: str, old: str, new: str) -> Json:
    return {"file_path": path, "old_string": old, "new_string": new, "replace_all": True}


def _apply(text: str, number: int) -> Script:
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


def _replace_everywhere(old: str, new: str) -> Script:
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
