"""The text of a comment becomes a command, by the first line a reader would take for one."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from difflib import get_close_matches

from bot.domain.job import (
    Approve,
    Cancel,
    Command,
    Continue,
    Help,
    Options,
    Plan,
    Retry,
    Start,
    Status,
    Unclear,
    Undo,
)

PROMPT_LIMIT = 32_768  # bytes of UTF-8: half of what GitHub takes in a comment, and more than anybody has asked for

# ASCII letters only: without re.ASCII, IGNORECASE takes U+212A (the Kelvin sign) for a k. A no-break space counts as a
# space because keyboards type it unasked.
_COMMAND_LINE = re.compile(r" {0,3}/backspace(?:[:,]?[ \t\u00a0]+(?P<rest>.*)|[:,]?)", re.IGNORECASE | re.ASCII)
_QUOTE = re.compile(r" {0,3}>")
_FENCE = re.compile(r" {0,3}(?:(?:[-*+]|[0-9]{1,9}[.)]) {1,3})?(?P<marks>`{3,}(?=[^`]*$)|~{3,})(?P<rest>.*)")
_BACKTICKS = re.compile(r"`+")
_WORD = re.compile(r"[ \t\u00a0]*([^ \t\u00a0]+)")

# What a reader of the rendered comment does not see as a line of prose: from the first string to the second.
_OPAQUE = {"<!--": "-->", "<pre": "</pre>", "<script": "</script>", "<style": "</style>", "<![cdata[": "]]>"}
_OPENING = re.compile("|".join(re.escape(start) for start in _OPAQUE))

_PLAIN_WORDS: dict[str, Callable[[], Command]] = {
    "approve": Approve,
    "cancel": Cancel,
    "retry": Retry,
    "undo": Undo,
    "status": Status,
    "help": Help,
}
_WORDS = frozenset(_PLAIN_WORDS) | {"plan", "continue"}
_WITH_VALUE = ("--model", "--budget", "--base")
_SWITCHES: dict[str, Callable[[Options], Options]] = {
    "--draft": lambda options: replace(options, draft=True),
    "--dry-run": lambda options: replace(options, dry_run=True),
    "--new": lambda options: replace(options, new=True),
}
_FLAGS = (*_WITH_VALUE, *_SWITCHES)

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,99}")
_BUDGET = re.compile(r"\$?([0-9]{1,4}(?:\.[0-9]{1,2})?)")
# The rules of git-check-ref-format(1) that a branch name can break, kept to ASCII; never an option.
_BRANCH = re.compile(r"(?!.*(?:\.\.|@\{|//|/\.|\.lock(?:/|$)|\.$|/$))[A-Za-z0-9_][A-Za-z0-9._/@+#=-]{0,199}")

_ENDS = frozenset({"stop", "abort", "halt", "kill", "quit"})  # what others call `cancel`
_NEARLY = 0.75  # of `difflib`: one or two letters wrong, missing, doubled or in the wrong order

NO_PROMPT = (
    "Say what to do after `/backspace`, as in `/backspace add a --json flag to the export command`; "
    "`/backspace help` lists what I understand."
)


class _Mistake(Exception):
    """Words for the author of a command that cannot be carried out as written."""


def command_in(text: str) -> Command | None:
    """The command of a comment, or None when no line of it is one.

    A command line starts with `/backspace` (any case, at most three spaces before it) outside quotes, code blocks, raw
    HTML blocks and HTML comments. The first one counts; the prompt is the rest of its line and every line below it,
    word for word. A comment whose every line ends in CRLF (as browsers send them) is read with LF instead, so that a
    patch in it is a patch; one with both kinds is left as it is.
    """
    if "/backspace" not in text.lower():
        return None
    lines = _lines(text)
    for at, line in _prose(lines):
        if match := _COMMAND_LINE.fullmatch(line.rstrip("\r")):
            try:
                return _command(match["rest"] or "", lines[at + 1 :])
            except _Mistake as mistake:
                return Unclear(str(mistake))
    return None


def prompt_problem(prompt: str) -> str | None:
    """Why this text cannot be a prompt, as a sentence for its author; None when it can."""
    if not any(character.isprintable() and not character.isspace() for character in prompt):
        return NO_PROMPT
    size = len(prompt.encode())
    if size > PROMPT_LIMIT:
        return f"The prompt has {size:,} bytes and {PROMPT_LIMIT:,} is the most I take: shorten it or split the work."
    return None


def _lines(text: str) -> list[str]:
    """Split at line feeds only: `splitlines` also splits at U+2028, form feeds and others that show no new line."""
    if text.count("\n") == text.count("\r\n"):
        text = text.replace("\r\n", "\n")
    return text.split("\n")


def _prose(lines: list[str]) -> Iterator[tuple[int, str]]:
    """The lines outside quotes, fenced code and hidden or preformatted HTML, with their index."""
    fence = ""
    closing = ""
    for at, line in enumerate(lines):
        if fence:
            fence = "" if _closes(line, fence) else fence
        elif closing:
            closing = _still_open(line, closing)
        elif match := _FENCE.fullmatch(line.rstrip("\r")):
            fence = match["marks"]
        elif not _QUOTE.match(line):
            yield at, line
            closing = _opens(line)


def _closes(line: str, fence: str) -> bool:
    marks = line.strip()
    return len(marks) >= len(fence) and not marks.strip(fence[0]) and not line.startswith("    ")


def _opens(line: str) -> str:
    """What ends the hidden stretch that this line leaves open, or "" when it leaves none."""
    shown = _without_code_spans(line).lower() if "<" in line else ""
    at = 0
    while begun := _OPENING.search(shown, at):
        closing = _OPAQUE[begun[0]]
        end = shown.find(closing, begun.end())
        if end < 0:
            return closing
        at = end + len(closing)
    return ""


def _still_open(line: str, closing: str) -> str:
    _, found, after = line.lower().partition(closing)
    return _opens(after) if found else closing


def _without_code_spans(line: str) -> str:
    """A code span ends at the next run of as many backticks as began it; a run without such a partner is text."""
    runs = [match.span() for match in _BACKTICKS.finditer(line)]
    partner: list[int | None] = []
    latest: dict[int, int] = {}
    for index in range(len(runs) - 1, -1, -1):
        length = runs[index][1] - runs[index][0]
        partner.append(latest.get(length))
        latest[length] = index
    partner.reverse()
    kept, start, index = [], 0, 0
    while index < len(runs):
        other = partner[index]
        if other is not None:
            kept.append(line[start : runs[index][0]])
            start = runs[other][1]
        index = index + 1 if other is None else other + 1
    return "".join(kept) + line[start:]


def _command(first_line: str, following: list[str]) -> Command:
    word, options, rest = _words(first_line)
    if word in _PLAIN_WORDS or word == "continue":
        return _plain(word, options, rest)
    prompt = _block([rest, *following])
    problem = prompt_problem(prompt) or _mistyped(prompt, meant=bool(word) or "--" in first_line.split())
    if problem is not None:
        raise _Mistake(problem)
    return Plan(prompt, options) if word == "plan" else Start(prompt, options)


def _mistyped(prompt: str, *, meant: bool) -> str | None:
    """One word that is nearly a command would make a job that nobody wants. `meant`: it follows `plan` or `--`."""
    if meant or not (prompt.isascii() and prompt.rstrip(".!?").isalpha()):
        return None
    said = prompt.rstrip(".!?").lower()
    near = ["cancel"] if said in _ENDS else get_close_matches(said, sorted(_WORDS), n=1, cutoff=_NEARLY)
    if not near:
        return None
    return (
        f"{_quoted(prompt)} is no command: did you mean `/backspace {near[0]}`? "
        f"Write `/backspace -- {_quoted(prompt)[1:]} if it is a prompt."
    )


def _block(lines: list[str]) -> str:
    """Lines without the blank ones around them; the first keeps its indentation."""
    first = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
    return "\n".join(lines[first:]).rstrip()


def _words(line: str) -> tuple[str, Options, str]:
    """Flags and at most one command word at the start of a command line, and what comes after them."""
    word, options, given = "", Options(), set[str]()
    while match := _WORD.match(line):
        token, after = _dashes(match[1]), line[match.end() :]
        plain = token.rstrip(".!?").lower() if token.isascii() else ""
        if token == "--":
            return word, options, after.lstrip()
        if token.startswith("--"):
            name, equals, value = token.partition("=")
            if name in given:
                raise _Mistake(f"The flag `{name}` is there twice: keep one.")
            options, line = _with_flag(options, name, value if equals else None, after)
            given.add(name)
        elif plain in _WORDS and not word:
            word, line = plain, after
        else:
            break
    return word, options, line.lstrip(" \t\u00a0")


def _dashes(token: str) -> str:
    """Phones turn a typed `--` into one long dash."""
    if token[0] in "\u2013\u2014" and f"--{token[1:].partition('=')[0]}" in _FLAGS:
        return f"--{token[1:]}"
    return token


def _with_flag(options: Options, name: str, value: str | None, after: str) -> tuple[Options, str]:
    if name in _SWITCHES:
        if value is not None:
            raise _Mistake(f"The flag `{name}` takes no value.")
        return _SWITCHES[name](options), after
    if name not in _WITH_VALUE:
        raise _Mistake(
            f"I do not know the flag {_quoted(name)}: there are {', '.join(f'`{flag}`' for flag in _FLAGS)}; "
            "write `--` before a prompt that starts with dashes."
        )
    if value is None and (match := _WORD.match(after)):
        value, after = match[1], after[match.end() :]
    return _with_value(options, name, value or ""), after


def _with_value(options: Options, name: str, value: str) -> Options:
    match name:
        case "--model" if _MODEL.fullmatch(value):
            return replace(options, model=value)
        case "--base" if _BRANCH.fullmatch(value):
            return replace(options, base=value)
        case "--budget" if (dollars := _BUDGET.fullmatch(value)) and float(dollars[1]) > 0:
            return replace(options, budget_usd=float(dollars[1]))
    wanted = {
        "--model": "the name of a model",
        "--base": "the name of a branch",
        "--budget": "an amount in dollars such as 5 or 2.50, below 10,000",
    }[name]
    raise _Mistake(f"The flag `{name}` needs {wanted}, not {_quoted(value) if value else 'nothing'}.")


def _plain(word: str, options: Options, rest: str) -> Command:
    if rest:
        raise _Mistake(
            f"`/backspace {word}` takes nothing after it on the line: leave the rest out, or, if this was a prompt, "
            f"write `/backspace -- {word} ...`."
        )
    if word == "continue":
        allowed = Options(model=options.model, budget_usd=options.budget_usd)
        if options != allowed:
            raise _Mistake("`/backspace continue` takes the flags `--model` and `--budget` only.")
        return Continue(options)
    if options != Options():
        raise _Mistake(f"`/backspace {word}` takes no flags.")
    return _PLAIN_WORDS[word]()


def _quoted(token: str) -> str:
    """What somebody wrote, fit to be said back to them: short, printable, and dead inside a code span."""
    shown = "".join(c if c.isprintable() and c != "`" else "?" for c in token[:40])
    return f"`{shown}{'...' if len(token) > 40 else ''}`"
