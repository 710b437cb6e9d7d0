"""What a repository asks for in `.github/backspace.yml`, seen on its thread and its pull request."""

from pathlib import Path

import pytest

from bot.domain.events import Conclusion, ContextRead, JobStarted
from bot.stage import Stage, staged
from tests.repositories import commit, write
from tests.test_journey import asked, end_of

pytestmark = pytest.mark.anyio

RULES_ONLY = {"BACKSPACE_MODEL": "rules"}
WISHES = b"""model: [claude-opus-5-5, rules]
reviewers: [requester, bob, nobody-here]
instructions: docs/AGENT.md
ci: hold
"""
FILES = {
    ".github/backspace.yml": WISHES,
    ".github/PULL_REQUEST_TEMPLATE.md": b"## Description\n\n## Checklist\n- [ ] I read CONTRIBUTING.md\n",
    "docs/AGENT.md": b"Write like a poet.\n",
    "AGENTS.md": b"Be brief.\n",
    "hello.txt": b"hullo\n",
}
REPLACE = "replace `hullo` with `hello` in `hello.txt`"


def repository(root: Path, files: dict[str, bytes]) -> Path:
    root.mkdir()
    write(root, files)
    return commit(root)


def said_in(stage: Stage, issue: int) -> str:
    (comment,) = [c for c in stage.github.comments(stage.repository, issue) if c.author.type == "Bot"]
    return comment.body


async def test_its_model_reviewers_instructions_template_and_ci_are_as_it_says(tmp_path: Path) -> None:
    """Red when any of the five is not passed on (tried with each)."""
    source = repository(tmp_path / "source", FILES)
    async with staged(tmp_path / "stage", source=source, settings=RULES_ONLY) as stage:
        stage.github.set_role(stage.repository, "bob", "write")
        issue = await asked(stage, f"/backspace --budget 50 {REPLACE}")
        (row,) = await stage.jobs(issue)
        events = [recorded.event for recorded in await stage.store.events(row.job.id)]
        assert [event.model for event in events if isinstance(event, JobStarted)] == ["rules"]
        assert [event.files for event in events if isinstance(event, ContextRead)] == [("docs/AGENT.md", "AGENTS.md")]
        notes = [event.text for event in events if event.kind == "noted"]
        assert notes[0] == "$50.00 was asked for; whoever runs this bot allows a job $3.00 at most."
        assert len(notes) == 2
        assert notes[1].startswith("The review of @nobody-here could not be requested: ")
        (opened,) = stage.github.pull_requests(stage.repository)
        assert opened.pull is not None
        assert opened.body is not None
        assert sorted(person.login for person in opened.pull.requested_reviewers) == ["alice", "bob"]
        assert opened.body.startswith(
            "> **CI is held on this commit**, as `ci: hold` in `.github/backspace.yml` asks. "
            f"A push by one of you starts CI.\n\nFixes #{issue}\n\n## Description\n\nAs written in the request"
        )
        assert "The model about its own tests" not in opened.body
        assert "\n\n## Checklist\n- [ ] I read CONTRIBUTING.md\n\n### Verification\n" in opened.body


async def test_instructions_that_are_not_there_are_said_so(tmp_path: Path) -> None:
    source = repository(tmp_path / "source", {**FILES, ".github/backspace.yml": b"instructions: docs/GONE.md\n"})
    async with staged(tmp_path / "stage", source=source, settings=RULES_ONLY) as stage:
        issue = await asked(stage, f"/backspace {REPLACE}")
        assert (await end_of(stage, issue)).message == (
            "**Not started**: `instructions` in `.github/backspace.yml` names `docs/GONE.md`, "
            "which is no file with text there."
        )
        assert stage.github.pull_requests(stage.repository) == []


async def test_a_dry_run_that_understands_nothing_says_what_it_understands(tmp_path: Path) -> None:
    source = repository(tmp_path / "source", {"hello.txt": b"hullo\n"})
    async with staged(tmp_path / "stage", source=source, settings=RULES_ONLY) as stage:
        issue = await asked(stage, "/backspace --dry-run make it all nicer")
        said = said_in(stage, issue)
        assert "\n**Dry run** · **Could not do it**\n\nThis bot runs without a language model" in said
        assert "- a patch in a fenced block that begins with" in said
        assert (await end_of(stage, issue)).conclusion is Conclusion.ACTION_REQUIRED


async def test_a_mistake_is_told_with_its_code_and_its_asker(tmp_path: Path) -> None:
    source = repository(tmp_path / "source", {"hello.txt": b"hullo\n"})
    async with staged(tmp_path / "stage", source=source, settings=RULES_ONLY) as stage:
        issue = await asked(stage, f"/backspace --base nowhere {REPLACE}")
        assert "acme/widget has no branch `nowhere`: name one that exists with `--base`." in said_in(stage, issue)
