"""The stand-in as a whole: what a bot does on GitHub, in order."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest

from tests.standins.github.scene import SECRET, served

pytestmark = pytest.mark.anyio


async def test_a_comment_becomes_a_signed_delivery_and_a_pull_request_can_be_made_of_it(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        issue = it.github.open_issue(it.repo, "mona", "Say hello", "It says hullo.")
        it.github.comment(it.repo, issue.number, "mona", "/backspace say hello")
        await it.github.deliver()
        last = it.received[-1]
        expected = hmac.new(SECRET.encode(), last.body, hashlib.sha256).hexdigest()
        assert last.headers["x-github-event"] == "issue_comment"
        assert last.headers["x-hub-signature-256"] == f"sha256={expected}"
        payload = json.loads(last.body)
        assert payload["comment"]["body"] == "/backspace say hello"
        assert payload["installation"]["id"] == it.installation.id

        commit = await it.branch("backspace/1-abc", {"tool.py": "def hello() -> str:\n    return 'hello'\n"})
        asked = {"title": "Say hello", "body": "Fixes #1", "head": "backspace/1-abc", "base": "main"}
        made = await it.ask("POST", "pulls", asked)
        assert (made.status_code, made.json()["head"]["sha"]) == (201, commit)
        assert it.github.file(it.repo, "backspace/1-abc", "tool.py").endswith(b"'hello'\n")
        said = await it.ask("POST", "check-runs", {"name": "backspace", "head_sha": commit, "status": "in_progress"})
        assert (said.status_code, said.json()["app"]["slug"]) == (201, "tiny-backspace")
