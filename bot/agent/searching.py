"""`glob` and `grep`: with git where the model left it in place, without it where not."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from bot.agent.ground import Ran, Refusal, inside
from bot.agent.output import MATCHES, PATHS, Listing, cleaned, listing, one_line
from bot.domain.conversation import Json
from bot.domain.errors import LimitReached
from bot.ports import ExecResult, Sandbox

SEARCH_SECONDS = 30.0
LISTING_BYTES = 5_000_000
LONGEST_PATTERN = 400  # characters
MOST_ALTERNATIVES = 64


async def glob(given: Json, sandbox: Sandbox) -> Ran:
    folder = inside(given.get("path") or ".")
    pattern = given["pattern"].removeprefix("./")
    below = "" if folder == "." else f"{folder}/"
    paths = [path.removeprefix(below) for path in await _files(sandbox) if path.startswith(below)]
    found = [below + path for path in matching(pattern, paths)]
    text = _bounded(listing(found, most=PATHS), "paths") if found else "no file matches"
    return Ran(text=text, same=text)


async def _files(sandbox: Sandbox) -> tuple[str, ...]:
    """What is there and not ignored; all that is there when git cannot say (the model may have removed `.git`)."""
    try:
        there = await sandbox.list_files()
    except (OSError, LimitReached) as error:
        raise Refusal(f"{error} Look with bash.") from None
    result = await sandbox.exec(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], timeout_s=SEARCH_SECONDS, max_output_bytes=LISTING_BYTES
    )
    if result.exit_code != 0 or result.truncated:
        return there
    known = set(result.stdout.decode("utf-8", "surrogateescape").split("\0"))
    return tuple(path for path in there if path in known)


async def grep(given: Json, sandbox: Sandbox) -> Ran:
    pattern, include = given["pattern"], given.get("include") or ""
    path = inside(given.get("path") or ".")
    if "\0" in pattern + include or not pattern:
        raise Refusal("pattern is empty or holds NUL.")
    flags = ["-i"] if given.get("ignore_case") else []
    result = await _exec(
        sandbox,
        ["git", "grep", "--untracked", "-nIE", "--no-color", *flags, "-e", pattern, "--", _pathspec(path, include)],
    )
    if result.exit_code not in (0, 1):
        only = [f"--include={include}"] if include else []
        result = await _exec(
            sandbox, ["grep", "-rnHIE", "--exclude-dir=.git", *only, *flags, "-e", pattern, "--", path]
        )
    if result.timed_out:
        raise Refusal(f"the search took longer than {SEARCH_SECONDS:.0f} s; narrow it with path or include.")
    if result.exit_code not in (0, 1) and not result.stdout:
        raise Refusal(f"the search failed: {one_line(cleaned(result.stderr), 300)}")
    lines = [line.removeprefix("./") for line in cleaned(result.stdout).strip("\n").split("\n") if line]
    lines.sort(key=lambda line: line.split(":", 1)[0])
    text = _bounded(listing(lines, most=MATCHES), "matches", more=result.truncated) if lines else "no match"
    return Ran(text=text, same=text)


def _pathspec(path: str, include: str) -> str:
    literal = "".join(f"\\{c}" if c in "*?[\\" else c for c in path)
    if not include:
        return f":(literal){path}"
    below = "" if path == "." else f"{literal}/"
    return f":(glob){below}**/{include}"


async def _exec(sandbox: Sandbox, argv: list[str]) -> ExecResult:
    return await sandbox.exec(argv, timeout_s=SEARCH_SECONDS, max_output_bytes=1_000_000)


def _bounded(shown: Listing, what: str, *, more: bool = False) -> str:
    if not shown.left_out and not more:
        return shown.text
    number = "more" if more else str(shown.left_out)
    return f"{shown.text}\n[{number} {what} left out; narrow the pattern or give a path]"


# ---------------------------------------------------------------- glob patterns


def matching(pattern: str, paths: Iterable[str]) -> tuple[str, ...]:
    """The paths that match, in their order: `**` crosses folders, `*` and `?` do not, `{a,b}` is either. A pattern
    without a slash matches file names at any depth.

    Work is bounded by pattern length times path length whatever the pattern. Raises Refusal.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise Refusal(f"pattern is longer than {LONGEST_PATTERN} characters.")
    wanted = [_segments(one) for one in alternatives(pattern)]
    return tuple(path for path in paths if any(_matches(parts, tuple(path.split("/"))) for parts in wanted))


def alternatives(pattern: str) -> list[str]:
    """`{a,b}` written out, nested braces too. Raises Refusal past 64 of them."""
    waiting, done = [pattern], []
    while waiting:
        one = waiting.pop()
        brace = re.search(r"\{([^{}]*,[^{}]*)\}", one)
        if brace is None:
            done.append(one)
        else:
            waiting += [one[: brace.start()] + choice + one[brace.end() :] for choice in brace[1].split(",")]
        if len(waiting) + len(done) > MOST_ALTERNATIVES:
            raise Refusal(f"pattern has more than {MOST_ALTERNATIVES} alternatives in braces.")
    return done


def _segments(pattern: str) -> tuple[str, ...]:
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if len(parts) == 1 and "/" not in pattern:
        parts.insert(0, "**")
    return tuple(part for i, part in enumerate(parts) if part != "**" or i == 0 or parts[i - 1] != "**")


def _matches(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    reached = {0}  # how many leading path segments the pattern so far can stand for
    for part in pattern:
        if part == "**":
            reached = set(range(min(reached), len(path) + 1))
        else:
            reached = {n + 1 for n in reached if n < len(path) and fnmatchcase(path[n], part)}
        if not reached:
            return False
    return len(path) in reached
