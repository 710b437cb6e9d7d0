"""Files that are no plain text: seen for what they are, and out of the change unless they were changed on purpose."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from bot.domain.job import Patch
from bot.ports import Entry, Remote
from bot.publish.mirror import Mirror
from bot.sandboxes.bubblewrap import Bubblewrap
from bot.standins.messages.script import Observed, Script, Use, by_turn, think, use
from tests.agent.test_real_parts import Place, claude, committed, submit_again
from tests.fakes import MemoryJournal

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
BINARY = bytes(range(256)) * 40
HUGE = b"0123456789abcde\n" * 700_000  # 11 MB
FILES = {
    ".gitattributes": b"*.psd filter=lfs diff=lfs merge=lfs -text\n",
    ".gitmodules": b'[submodule "vendor/library"]\n\tpath = vendor/library\n\turl = https://example.test/library\n',
    "logo.psd": POINTER,
    "image.png": BINARY,
    "huge.csv": HUGE,
    "dos.txt": b"one\r\ntwo\r\n",
    "old name.sh": b"#!/bin/sh\r\necho hi\n",
}
WORDS = {"outcome": "changes", "title": "Tidy", "summary": "Tidied.", "testing": "Nothing."}


def repository(source: Path, library: Path) -> str:
    """One commit with all of them; its id. The submodule's commit is in a repository that nobody reads."""
    for folder in (source, library):
        folder.mkdir()
    (library / "lib.c").write_bytes(b"int x;\n")
    link = f"160000,{committed(library)},vendor/library"
    for path, content in FILES.items():
        (source / path).write_bytes(content)
    (source / "old name.sh").chmod(0o755)
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for argv in (["init", "-q", "-b", "main"], ["update-index", "--add", "--cacheinfo", link]):
        subprocess.run(["git", *argv], cwd=source, env=env, check=True)
    (source / "vendor/library").mkdir(parents=True)
    return committed(source)


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    source = tmp_path / "source"
    sha = await asyncio.to_thread(repository, source, tmp_path / "library")
    workspace = await Mirror(tmp_path / "mirror").pin(Remote(str(source), ""), repo_id=1, sha=sha)
    return Place(workspace, Bubblewrap())


async def worked(place: Place, script: Script) -> tuple[Patch, list[Entry]]:
    journal = MemoryJournal()
    async with claude(script) as (model, server), place.filled() as sandbox:
        outcome = await place.run(model, sandbox, journal=journal)
    assert server.refused == []
    assert outcome.patch is not None, outcome
    return outcome.patch, [entry for entry in journal.entries() if entry.key.startswith("result")]


async def test_what_cannot_be_shown_or_changed_is_said_and_stays_as_it_is(place: Place) -> None:
    looks = ("logo.psd", "image.png", "huge.csv", "dos.txt", "vendor/library")
    patch, said = await worked(
        place,
        by_turn(
            [
                think(),
                *(use("read", file_path=path) for path in looks),
                use("glob", pattern="**"),
                use("grep", pattern="0123"),
            ],
            [use("edit", file_path="logo.psd", old_string="12345", new_string="1")],
            [use("write", file_path="logo.psd", content="x")],
            [use("edit", file_path="image.png", old_string="a", new_string="b")],
            [use("edit", file_path="dos.txt", old_string="one\ntwo", new_string="one\nand two")],
            use("submit", **WORDS),
            submit_again,
        ),
    )
    texts = [entry.data["text"] for entry in said]
    assert texts[0].endswith("[a Git LFS pointer: the file's content is not here; leave it as it is]")
    assert texts[1:3] == [
        "image.png is a binary file of 10240 bytes.",
        "huge.csv is larger than 10 MB; look at it with bash.",
    ]
    assert texts[3] == "1\tone\n2\ttwo\n[lines end in CRLF; edit keeps that]"
    assert texts[4] == "vendor/library is a folder; use glob to list it."
    assert "image.png" in texts[5]
    assert [entry.data["is_error"] for entry in said[7:10]] == [True, True, True]
    assert [(change.path, change.content) for change in patch.changes] == [("dos.txt", b"one\r\nand two\r\n")]


async def test_a_rename_keeps_mode_and_bytes_and_nothing_else_moves(place: Place) -> None:
    patch, _ = await worked(
        place,
        by_turn(
            [think(), use("bash", command="mkdir bin && git mv 'old name.sh' bin/new.sh && git status --short")],
            use("submit", **WORDS),
            submit_again,
        ),
    )
    assert {change.path: (change.mode, change.content) for change in patch.changes} == {
        "bin/new.sh": ("100755", b"#!/bin/sh\r\necho hi\n"),
        "old name.sh": (None, None),
    }


async def test_a_file_inside_a_submodule_is_named_at_submit_and_can_be_taken_back(place: Place) -> None:
    def tidied(seen: Observed) -> Use:
        assert "submodule" in seen.results[0].text
        return use("bash", command="rm vendor/library/lib.c; echo x > new.txt")

    patch, _ = await worked(
        place,
        by_turn(
            [think(), use("write", file_path="vendor/library/lib.c", content="int y;\n")],
            use("submit", **WORDS),
            tidied,
            use("submit", **WORDS),
            submit_again,
        ),
    )
    assert [change.path for change in patch.changes] == ["new.txt"]
