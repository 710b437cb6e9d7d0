"""Small real git repositories the journeys work on, each with a request, a script and the files it must end in."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.standins.messages import Script, Step, by_turn, say, think, use

CHECK = ".github/backspace.yml"


@dataclass(frozen=True)
class Case:
    """`changed`: path to (git mode, bytes) after the job; everything else must be as it was."""

    name: str
    request: str
    script: Script
    changed: Mapping[str, tuple[str, bytes]]
    receipt: str


def write(root: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def commit(root: Path) -> Path:
    """Every file below `root` as one commit, modes and links as they are on disk."""
    identity = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.test"}
    identity |= {"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.test"}
    env = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    for arguments in (
        ("init", "-q", "-b", "main"),
        ("-c", "core.autocrlf=false", "add", "-A"),
        ("commit", "-q", "-m", "Start"),
    ):
        subprocess.run(["git", "-C", str(root), *arguments], check=True, env=env)
    return root


def submit(**more: str) -> tuple[Step, Step]:
    """The last two steps of a script: submit, then submit again with the id that was shown."""
    words = {"outcome": "changes", "title": "Mend it", "summary": "It was broken.", "testing": "Ran the tests.", **more}
    return (
        use("submit", **words),
        lambda seen: use("submit", **words, diff_id=seen.find(r"diff_id:? ?`?([0-9a-f]{12})")),
    )


MEAN = b"""def mean(numbers):
    return sum(numbers) / (len(numbers) - 1)
"""
MEAN_TEST = b"""import unittest

from calc.mean import mean


class MeanTest(unittest.TestCase):
    def test_mean_of_three(self):
        self.assertEqual(mean([1, 2, 3]), 2)
"""


def python_bug(root: Path) -> Path:
    """A package whose test fails."""
    write(
        root,
        {
            "calc/__init__.py": b"",
            "calc/mean.py": MEAN,
            "tests/__init__.py": b"",
            "tests/test_mean.py": MEAN_TEST,
            ".gitignore": b"__pycache__/\n",
            CHECK: b"test: python3 -m unittest -q\n",
        },
    )
    return commit(root)


PYTHON = Case(
    name="python",
    request="/backspace the mean of three numbers is wrong, please mend it",
    script=by_turn(
        [think(), say("I look first."), use("read", file_path="calc/mean.py"), use("grep", pattern="mean")],
        use("bash", command="python3 -m unittest -q"),
        use("edit", file_path="calc/mean.py", old_string="(len(numbers) - 1)", new_string="len(numbers)"),
        use("bash", command="python3 -m unittest -q && touch scratch.pyc && rm scratch.pyc"),
        *submit(title="Divide the sum by the count", summary="The mean divided by one less than the count."),
    ),
    changed={"calc/mean.py": ("100644", MEAN.replace(b"(len(numbers) - 1)", b"len(numbers)"))},
    receipt="python3 -m unittest -q",
)

GREET = b"""export function greet(name) {
  return `Hello, ${name}`;
}
"""
GREET_TEST = b"""import assert from 'node:assert';
import test from 'node:test';
import { greet } from '../src/greet.js';

test('greets with an exclamation mark', () => {
  assert.strictEqual(greet('Ada'), 'Hello, Ada!');
});
"""


def javascript_package(root: Path) -> Path:
    write(
        root,
        {
            "package.json": b'{\n  "name": "greet",\n  "type": "module",\n  "scripts": {"test": "node --test"}\n}\n',
            "src/greet.js": GREET,
            "test/greet.test.js": GREET_TEST,
            CHECK: b"test: node --test\n",
        },
    )
    return commit(root)


JAVASCRIPT = Case(
    name="javascript",
    request="/backspace greet with an exclamation mark and add a changelog",
    script=by_turn(
        [use("glob", pattern="**/*.js"), use("read", file_path="src/greet.js")],
        use("edit", file_path="src/greet.js", old_string="${name}`", new_string="${name}!`"),
        [
            use("write", file_path="CHANGELOG.md", content="# Changelog\n\n- Greets louder\n"),
            use("bash", command="node --test"),
        ],
        *submit(title="Greet louder"),
    ),
    changed={
        "src/greet.js": ("100644", GREET.replace(b"${name}`", b"${name}!`")),
        "CHANGELOG.md": ("100644", b"# Changelog\n\n- Greets louder\n"),
    },
    receipt="node --test",
)

WINDOWS = b"\xef\xbb\xbffirst line\r\nsecond line\r\n\ttabbed\r\nlast, without an end"


def awkward(root: Path) -> Path:
    """CRLF with a byte-order mark, an executable, links, export attributes, a hole of a name, and 5,000 files."""
    write(root, {f"data/{n // 100:02}/{n:04}.txt": b"%d\n" % n for n in range(5_000)})
    write(
        root,
        {
            "windows.txt": WINDOWS,
            "latin.txt": b"caf\xe9 and more\n",
            "run.sh": b"#!/bin/sh\necho old\n",
            "secret-of-export.txt": b"$Format:%H$\n",
            ".gitattributes": b"secret-of-export.txt export-subst\ndata export-ignore\n*.md text eol=crlf\n",
            "notes.md": b"kept with LF in git\n",
            "with space and \xc3\xbc.txt".encode("latin-1").decode("utf-8"): b"umlaut\n",
            "binary.bin": bytes(range(256)) * 20,
        },
    )
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("data/00/0000.txt")
    return commit(root)


AWKWARD = Case(
    name="awkward",
    request="/backspace change the second line, let the script say new, and drop two files",
    script=by_turn(
        [use("read", file_path="windows.txt"), use("read", file_path="run.sh"), use("read", file_path="latin.txt")],
        [
            use("edit", file_path="windows.txt", old_string="second line", new_string="2nd line"),
            use("edit", file_path="run.sh", old_string="echo old", new_string="echo new"),
            use("edit", file_path="latin.txt", old_string="and more", new_string="and less"),
        ],
        use("bash", command="rm data/49/4999.txt binary.bin; chmod +x data/00/0001.txt; printf x > $'bad\\xff.txt'"),
        use("submit", outcome="changes", title="Tidy", summary="As asked.", testing="None."),
        lambda seen: (
            use("bash", command="rm bad*.txt") if "bad\\xff.txt" in seen.results[0].text else say("unexpected")
        ),
        *submit(title="Tidy the awkward files"),
    ),
    changed={
        "windows.txt": ("100644", WINDOWS.replace(b"second", b"2nd")),
        "run.sh": ("100755", b"#!/bin/sh\necho new\n"),
        "latin.txt": ("100644", b"caf\xe9 and less\n"),
        "data/00/0001.txt": ("100755", b"1\n"),
        "data/49/4999.txt": ("", b""),
        "binary.bin": ("", b""),
    },
    receipt="Not run",
)
