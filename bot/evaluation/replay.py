"""A known change as a model would make it: read, edit, write, bash and submit calls that lead to exactly its tree."""

import base64
import difflib
import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.agent.edit import Edited, decoded, edit, is_binary, line_numbers, only_crlf
from bot.evaluation.material import Difference
from bot.standins.messages import Answer, Observed, Part, Script, ScriptError, answer, say, think, use
from bot.standins.messages.script import Use

CONTEXT = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89)  # lines on each side of a change, until it is unique in the file
MOST_CHANGING_TURNS = 40  # a job has 60; files beyond that many share a turn
READS_TOGETHER = 10
SHELL_PIECE = 90_000  # characters of base64 in one command: Linux takes 131,072 bytes in an argument
LINK = "120000"
EXECUTABLE = "100755"


@dataclass(frozen=True, slots=True)
class Replay:
    """`reads` can go side by side; each of `changes` is one path's calls, to be made in order."""

    reads: tuple[Use, ...]
    changes: tuple[tuple[Use, ...], ...]


def replay(differences: Sequence[Difference]) -> Replay:
    """The calls that turn the one side of `differences` into the other. What goes, goes first: a file may make room
    for a folder."""
    going = [one for one in differences if one.new is None]
    moved = [one for one in differences if one.new is not None and one.was != one.path]
    rest = [one for one in differences if one.new is not None and one.was == one.path]
    changes = tuple(tuple(_calls(one)) for one in (*going, *moved, *rest))
    edited = {call.input["file_path"] for calls in changes for call in calls if call.name == "edit"}
    was = {one.path: one.was for one in differences}
    return Replay(tuple(use("read", file_path=was[path]) for path in sorted(edited)), changes)


def edits(before: bytes, after: bytes) -> tuple[tuple[str, str], ...] | None:
    """Exact replacements, (old, new), each unique where it is made, that lead from one content to the other in order.

    None where `edit` cannot: binary files, files that are new or become empty, changes of encoding or of line ends.
    """
    if is_binary(before) or b"\0" in after or not before or not after:
        return None
    (old_text, encoding), (new_text, new_encoding) = decoded(before), decoded(after)
    if encoding != new_encoding:
        return None
    if only_crlf(old_text) and only_crlf(new_text):  # as a model sees the lines and quotes them
        old_text, new_text = old_text.replace("\r\n", "\n"), new_text.replace("\r\n", "\n")
    made = tuple(_replacements(_lines(old_text), _lines(new_text)))
    content = before
    for old, new in made:
        done = edit(content, old, new)
        if not isinstance(done, Edited):
            return None
        content = done.content
    return made if content == after else None


def script(plan: Replay, *, title: str, summary: str) -> Script:
    """Plays the model. It looks at every answer: a tool that fails ends it, the shown `diff_id` is what it submits."""
    turns = _turns(plan)
    words = {"title": title, "summary": summary, "testing": "The repository's own checks, as shown below."}

    def played(seen: Observed) -> Answer:
        for result in seen.results:
            failed = result.is_error or (result.tool == "bash" and not result.text.startswith("exit 0"))
            if failed and result.tool != "submit":
                raise ScriptError(f"turn {seen.turn}: {result.tool} answered {result.text[:300]}")
        if seen.turn < len(turns):
            return answer(*turns[seen.turn])
        shown = next((result.text for result in seen.results if result.tool == "submit"), None)
        if shown is None:
            return answer(use("submit", outcome="changes", **words))
        if match := re.search(r"diff_id: ([0-9a-f]{12})", shown):
            return answer(use("submit", outcome="changes", **words, diff_id=match[1]))
        return answer(use("submit", outcome="blocked", title=title, summary=shown[:2000], testing="None."))

    return played


def _turns(plan: Replay) -> list[tuple[Part, ...]]:
    reads: list[tuple[Part, ...]] = [
        plan.reads[at : at + READS_TOGETHER] for at in range(0, len(plan.reads), READS_TOGETHER)
    ] or [(use("glob", pattern="*"),)]
    together = -(-len(plan.changes) // MOST_CHANGING_TURNS) or 1
    changes: list[tuple[Part, ...]] = [
        tuple(call for calls in plan.changes[at : at + together] for call in calls)
        for at in range(0, len(plan.changes), together)
    ]
    first = (think(), say("I look at what is there first."), *reads[0])
    return [first, *reads[1:], *changes, (use("bash", command="git status --short"),)]


def _calls(one: Difference) -> Iterator[Use]:
    path = one.path
    if one.new is None:
        yield _bash(["rm", "-f", "--", path], *_emptied(path))
        return
    if one.was != path:
        yield _bash(*_folder(path), ["mv", "--", one.was, path], *_emptied(one.was))
    was_link, is_link = one.old_mode == LINK, one.new_mode == LINK
    if is_link:
        target = one.new.decode("utf-8", "surrogateescape")
        yield _bash(*_folder(path), ["rm", "-f", "--", path], ["ln", "-s", "--", target, path])
        return
    if was_link:
        yield _bash(["rm", "-f", "--", path])
    if was_link or one.old != one.new:
        yield from _content(path, None if was_link else one.old, one.new)
    if one.new_mode != ("100644" if one.old_mode is None or was_link else one.old_mode):
        yield _bash(["chmod", "755" if one.new_mode == EXECUTABLE else "644", "--", path])


def _content(path: str, before: bytes | None, after: bytes) -> Iterator[Use]:
    made = None if before is None else edits(before, after)
    if made is not None:
        yield from (use("edit", file_path=path, old_string=old, new_string=new) for old, new in made)
        return
    text, encoding = decoded(after)
    if encoding == "utf-8" and "\0" not in text:
        yield use("write", file_path=path, content=text)
        return
    coded = base64.b64encode(after).decode()
    for at in range(0, len(coded), SHELL_PIECE):
        arrow = ">>" if at else ">"
        made_folder = "".join(f"{shlex.join(argv)} && " for argv in _folder(path))
        piece = coded[at : at + SHELL_PIECE]
        yield use("bash", command=f"{made_folder}printf %s {piece} | base64 -d {arrow} {shlex.quote('./' + path)}")


def _folder(path: str) -> list[list[str]]:
    folder = posixpath.dirname(path)
    return [["mkdir", "-p", "--", folder]] if folder else []


def _emptied(path: str) -> list[list[str]]:
    """Git has no empty folders, and a file may take the place of one."""
    folder = posixpath.dirname(path)
    return [["rmdir", "-p", "--ignore-fail-on-non-empty", "--", folder]] if folder else []


def _bash(*commands: list[str]) -> Use:
    return use("bash", command=" && ".join(shlex.join(command) for command in commands))


def _lines(text: str) -> list[str]:
    """With their ends, split at line feeds only."""
    return [line for line in re.split(r"(?<=\n)", text) if line]


def _replacements(before: list[str], after: list[str]) -> Iterator[tuple[str, str]]:
    """From the top down: what lies above a change has its new form already."""
    for old, new in _changed(before, after):
        current = "".join((*after[: new.start], *before[old.start :]))
        for around in (*CONTEXT, len(before) + len(after)):
            above = after[max(0, new.start - around) : new.start]
            below = before[old.stop : old.stop + around]
            quoted = "".join((*above, *before[old.start : old.stop], *below))
            if quoted and len(line_numbers(current, quoted)) == 1:
                yield quoted, "".join((*above, *after[new.start : new.stop], *below))
                break


def _changed(before: list[str], after: list[str]) -> Iterator[tuple[slice, slice]]:
    """The parts that differ; what both begin and end with is set aside first, which keeps long files quick."""
    most = min(len(before), len(after))
    head = next((at for at in range(most) if before[at] != after[at]), most)
    tail = next((at for at in range(most - head) if before[-1 - at] != after[-1 - at]), most - head)
    one, other = before[head : len(before) - tail], after[head : len(after) - tail]
    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind != "equal":
            yield slice(head + i1, head + i2), slice(head + j1, head + j2)
