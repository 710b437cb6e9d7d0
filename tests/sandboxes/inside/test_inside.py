"""The helper's source runs on every Python a sandbox may have, and keeps output as it says."""

import ast
import re
import sys
from pathlib import Path

import pytest

import bot.sandboxes.inside
from bot.sandboxes.inside.running import Kept

LEFT_OUT = re.compile(rb"\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n")
SOURCES = sorted(Path(bot.sandboxes.inside.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_helper_is_python_3_9_of_the_standard_library(source: Path) -> None:
    tree = ast.parse(source.read_text(), feature_version=(3, 9))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    foreign = {name for name in modules if not name.startswith("bot.sandboxes.inside")}
    assert {name.split(".")[0] for name in foreign} <= sys.stdlib_module_names
    assert "dataclasses" not in modules or "slots=True" not in source.read_text()


@pytest.mark.parametrize("chunk", [1, 3, 7, 1000])
@pytest.mark.parametrize("limit", [0, 1, 10, 60, 100])
@pytest.mark.parametrize("size", [0, 1, 59, 60, 61, 99, 100, 101, 5000])
def test_output_is_whole_or_has_head_line_and_tail(size: int, limit: int, chunk: int) -> None:
    content = bytes(65 + number % 26 for number in range(size))
    kept = Kept(limit)
    for start in range(0, size, chunk):
        kept.add(content[start : start + chunk])
    value = kept.value()
    assert len(value) <= limit
    if size <= limit:
        assert (value, kept.cut) == (content, False)
        return
    assert kept.cut
    if line := LEFT_OUT.search(value):
        head, tail = value[: line.start()], value[line.end() :]
        assert len(head) + len(tail) + int(line[1]) == size
    else:
        head, tail = value[: limit // 4], value[limit // 4 :]
    assert content.startswith(head)
    assert content.endswith(tail)
