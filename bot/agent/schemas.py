"""The seven tools as the model is told about them, and whether a call fits its schema."""

from typing import Any

from bot.domain.conversation import UNREADABLE, Json, ToolSpec, ToolUse

MOST_TIMEOUT_MS = 600_000


def _text(description: str = "") -> dict[str, Any]:
    return {"type": "string", "description": description} if description else {"type": "string"}


def _spec(name: str, description: str, properties: dict[str, Any], *required: str) -> ToolSpec:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }
    return ToolSpec(name, description, schema, strict=True)


_PATH = _text("Path relative to the repository root, such as src/app.py.")

# Names and parameters are those of Anthropic's agent_toolset_20260401, which models have seen; submit is our own.
TOOLS: tuple[ToolSpec, ...] = (
    _spec(
        "bash",
        "Run a command with bash -c in the repository root. Each call is a fresh process: cd and variables do not "
        "carry over. No stdin, no tty, no network. Use it for builds, tests and looking at git, for example "
        '{"command": "python -m pytest -q tests/test_cli.py"}. The first line of the result says how it ended. '
        "Do not commit or push.",
        {
            "command": _text("Shell text to run."),
            "timeout_ms": {
                "type": "integer",
                "description": f"Deadline in milliseconds; default 120000, at most {MOST_TIMEOUT_MS}.",
            },
        },
        "command",
    ),
    _spec(
        "read",
        "Show a text file with line numbers (number, tab, line). At most 2000 lines or 48 kB a call; use view_range "
        'for more, for example {"file_path": "src/app.py", "view_range": [40, 80]}. Characters that cannot be seen '
        "are shown as \\u{200B}.",
        {
            "file_path": _PATH,
            "view_range": {
                "type": "array",
                "items": {"type": "integer"},
                "description": "[first, last], 1-based, inclusive; last -1 means the end of the file.",
            },
        },
        "file_path",
    ),
    _spec(
        "write",
        "Create a file or replace its whole content. Parent folders are made. Prefer edit for existing files. "
        'For example {"file_path": "docs/new.md", "content": "# New\\n"}.',
        {"file_path": _PATH, "content": _text("The whole file, with its last newline.")},
        "file_path",
        "content",
    ),
    _spec(
        "edit",
        "Replace old_string by new_string in a file. old_string must match exactly, whitespace included, and occur "
        "once; add surrounding lines until it is unique, or set replace_all. Leave out the line numbers that read "
        'shows. For example {"file_path": "a.py", "old_string": "x = 1", "new_string": "x = 2"}.',
        {
            "file_path": _PATH,
            "old_string": _text("Text to find."),
            "new_string": _text("Text to put there; an empty string deletes."),
            "replace_all": {"type": "boolean", "description": "Replace every occurrence; default false."},
        },
        "file_path",
        "old_string",
        "new_string",
    ),
    _spec(
        "glob",
        "List files matching a pattern such as src/**/*.py, tracked or untracked but not ignored. A pattern without "
        "a slash matches names in every folder. At most 200 paths.",
        {"pattern": _text("** crosses folders, * does not, {a,b} is either."), "path": _text("Folder to start in.")},
        "pattern",
    ),
    _spec(
        "grep",
        "Search file contents with an extended regular expression. Answers path:line:text, at most 200 matches, "
        'ignored and binary files left out. For example {"pattern": "def (load|save)_", "include": "*.py"}.',
        {
            "pattern": _text("POSIX extended regular expression."),
            "path": _text("File or folder to search."),
            "include": _text("Glob filter on file names, such as *.ts."),
            "ignore_case": {"type": "boolean"},
        },
        "pattern",
    ),
    _spec(
        "submit",
        "Finish. First call: the harness shows the whole diff and runs the checks. Read that diff; if it is what you "
        "want, call submit again with the shown diff_id. If it is not, fix it and submit again. Use outcome no_change "
        "when nothing should change, blocked when you cannot go on (summary then says what you tried).",
        {
            "outcome": {"type": "string", "enum": ["changes", "no_change", "blocked"]},
            "title": _text("Pull request title, imperative, at most 70 characters."),
            "summary": _text("What changed and why, for a reviewer. Markdown, no headings above ###."),
            "testing": _text("What was run and what it showed. Say plainly what was not tested."),
            "follow_ups": {"type": "array", "items": {"type": "string"}},
            "diff_id": _text("The id shown with the diff you reviewed."),
        },
        "outcome",
        "title",
        "summary",
        "testing",
    ),
)

_BY_NAME = {tool.name: tool for tool in TOOLS}
_WORDS = {"string": "a string", "integer": "an integer", "boolean": "true or false", "array": "a list"}


def misfit(call: ToolUse) -> str | None:
    """Why a call cannot be run, naming the field, or None when tool and input fit."""
    tool = _BY_NAME.get(call.name)
    if tool is None:
        return f"there is no tool {call.name!r}; the tools are {', '.join(_BY_NAME)}."
    if not isinstance(call.input, dict):
        return f"{call.name}: the input is not an object."
    if UNREADABLE in call.input:
        return f"{call.name}: the input was not one JSON object; send the call again."
    properties = tool.input_schema["properties"]
    for name in tool.input_schema["required"]:
        if name not in call.input:
            return f"{call.name}: {name} is missing."
    for name, value in call.input.items():
        if name not in properties:
            return f"{call.name}: there is no field {name!r}; the fields are {', '.join(properties)}."
        problem = _wrong(value, properties[name])
        if problem:
            return f"{call.name}: {name} {problem}."
    return None


def _wrong(value: object, schema: Json) -> str | None:
    kind = schema["type"]
    if not _is(value, kind):
        return f"must be {_WORDS[kind]}, not {type(value).__name__}"
    if isinstance(value, str):
        return _wrong_text(value, schema)
    if isinstance(value, list):
        return next(
            (f"holds an item that {_problem}" for _problem in (_wrong(v, schema["items"]) for v in value) if _problem),
            None,
        )
    return None


def _is(value: object, kind: str) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "boolean": bool, "array": list}[kind])


def _wrong_text(value: str, schema: Json) -> str | None:
    if "enum" in schema and value not in schema["enum"]:
        return f"must be one of {', '.join(schema['enum'])}"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which no file can hold"
    return None
