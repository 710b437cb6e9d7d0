"""`edit` and `write`: first what a file would become, then the file."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.agent.edit import Edited, closest, decoded, edit, is_binary
from bot.agent.ground import Ran, Refusal, content_of, digest, inside, refused
from bot.agent.output import is_pointer, visible
from bot.domain.conversation import Json, ToolUse
from bot.domain.errors import LimitReached
from bot.ports import Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """The new content of one file, ready to be written; hashes are SHA-256, `before` "" for a file that is new."""

    path: str
    before: str
    content: bytes
    text: str

    @property
    def after(self) -> str:
        return digest(self.content)


async def replacement(call: ToolUse, *, sandbox: Sandbox, seen: Mapping[str, str]) -> Replacement | Ran:
    """What an `edit` or `write` would put where; Ran with the reason when it cannot. Changes nothing."""
    try:
        path = inside(call.input["file_path"], for_writing=True)
        before = await _before(sandbox, path)
        if before is not None and is_pointer(decoded(before)[0]):
            raise Refusal(f"{path} is a Git LFS pointer: its content is not here, so it cannot be changed here.")
        if call.name == "write":
            content = call.input["content"].encode()
            verb = "created" if before is None else "replaced"
            return Replacement(path=path, before=_hash(before), content=content, text=f"{verb} {path}")
        if before is None:
            raise Refusal(f"there is no file {path}; use glob to find it or write to create it.")
        return _edited(call.input, path, before, seen)
    except Refusal as refusal:
        return refused(str(refusal))


async def _before(sandbox: Sandbox, path: str) -> bytes | None:
    try:
        return await content_of(sandbox, path)
    except FileNotFoundError:
        return None


def _hash(content: bytes | None) -> str:
    return "" if content is None else digest(content)


def _edited(given: Json, path: str, before: bytes, seen: Mapping[str, str]) -> Replacement | Ran:
    if seen.get(path, digest(before)) != digest(before):
        return _changed_meanwhile(given["old_string"], path, before)
    match edit(before, given["old_string"], given["new_string"], replace_all=given.get("replace_all", False)):
        case Edited(content, count, line):
            times = "1 replacement" if count == 1 else f"{count} replacements"
            text = f"edited {path}: {times}, the first at line {line}"
            return Replacement(path=path, before=digest(before), content=content, text=text)
        case problem:
            return refused(f"{path}: {problem.problem}")


def _changed_meanwhile(old: str, path: str, before: bytes) -> Ran:
    """The model decides again on what it sees now, so the new text counts as seen."""
    now = "" if is_binary(before) else visible(closest(decoded(before)[0], old))
    shown = f" The text most like old_string is now:\n{now}" if now else ""
    problem = f"{path} has changed since you read it; nothing was edited. Read it or edit again.{shown}"
    return Ran(text=problem, is_error=True, same=problem, seen={path: digest(before)})


async def put(sandbox: Sandbox, new: Replacement) -> Ran:
    try:
        await sandbox.write_file(new.path, new.content)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError, PermissionError) as error:
        return refused(f"{new.path} cannot be written: {error.strerror or error}")
    except LimitReached as error:
        return refused(f"{new.path} cannot be written: {error}")
    return done(new)


def done(new: Replacement) -> Ran:
    return Ran(text=new.text, same=f"{new.text} {new.after}", seen={new.path: new.after})
