"""Check runs and their documented limits."""

from pathlib import Path
from typing import Any

import pytest

from tests.standins.github.scene import scene

pytestmark = pytest.mark.anyio

NOTE = {"path": "a", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m"}
ACTION = {"label": "Retry", "description": "Again from the start", "identifier": "retry"}


def output(**more: Any) -> dict[str, Any]:
    return {"output": {"title": "t", "summary": "s"} | more}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(output(summary="s" * 65_535, text="t" * 65_535), None, id="the-longest-texts"),
        pytest.param(output(summary="s" * 65_536), "Only 65535 characters are allowed; 65536", id="summary"),
        pytest.param(output(text="s" * 65_536), "Only 65535 characters are allowed; 65536", id="text"),
        pytest.param({"output": {"title": "t"}}, '"summary" wasn\'t supplied.', id="no-summary"),
        pytest.param({"output": {"summary": "s"}}, '"title" wasn\'t supplied.', id="no-title"),
        pytest.param(output(annotations=[NOTE] * 50), None, id="fifty-annotations"),
        pytest.param(output(annotations=[NOTE] * 51), "No more than 50 items are allowed; 51", id="one-too-many"),
        pytest.param(output(annotations=[NOTE | {"annotation_level": "x"}]), "x is not a member of", id="level"),
        pytest.param({"actions": [ACTION] * 3}, None, id="three-actions"),
        pytest.param({"actions": [ACTION] * 4}, "No more than 3 items are allowed; 4", id="four-actions"),
        pytest.param({"actions": [ACTION | {"label": "l" * 21}]}, "Only 20 characters", id="label"),
        pytest.param({"actions": [ACTION | {"description": "l" * 41}]}, "Only 40 characters", id="description"),
        pytest.param({"actions": [ACTION | {"identifier": "l" * 21}]}, "Only 20 characters", id="identifier"),
        pytest.param({"status": "completed"}, '"conclusion" wasn\'t supplied.', id="no-conclusion"),
        pytest.param({"status": "done"}, "For 'properties/status', done is not a member of", id="status"),
        pytest.param({"conclusion": "stale"}, "For 'properties/conclusion', stale is not", id="conclusion"),
        pytest.param({"details_url": "javascript:x"}, "details_url must use http or https", id="details"),
        pytest.param({"completed_at": "soon"}, "soon is not a valid date-time.", id="moment"),
    ],
)
async def test_what_a_check_run_may_say(tmp_path: Path, change: dict[str, Any], message: str | None) -> None:
    async with scene(tmp_path) as it:
        said = await it.ask("POST", "check-runs", {"name": "backspace", "head_sha": it.head} | change)
        if message is None:
            assert said.status_code == 201, said.text
        else:
            assert said.status_code == 422
            assert said.json()["message"].startswith(f"Invalid request.\n\n{message}")


async def test_a_check_runs_life(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        asked = {"name": "backspace", "head_sha": it.head, "status": "queued", "external_id": "job-1"}
        made = (await it.ask("POST", "check-runs", asked, token=token)).json()
        where = f"check-runs/{made['id']}"
        await it.ask("PATCH", where, {"status": "in_progress"} | output(annotations=[NOTE] * 50), token=token)
        more = output(annotations=[NOTE] * 50, title="Done")
        done = (await it.ask("PATCH", where, {"conclusion": "success"} | more, token=token)).json()
        assert (done["status"], done["conclusion"], done["output"]["annotations_count"]) == (
            "completed",
            "success",
            100,
        )
        found = await it.ask("GET", "commits/main/check-runs?check_name=backspace", token=token)
        assert [one["external_id"] for one in found.json()["check_runs"]] == ["job-1"]
        assert found.json()["check_runs"][0]["completed_at"] is not None


async def test_the_newest_run_of_a_name_is_listed_unless_all_are_wanted(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        asked = {"name": "backspace", "head_sha": it.head}
        ids = [(await it.ask("POST", "check-runs", asked, token=token)).json()["id"] for _ in range(2)]
        latest = (await it.ask("GET", f"commits/{it.head}/check-runs", token=token)).json()
        every = (await it.ask("GET", f"commits/{it.head}/check-runs?filter=all", token=token)).json()
        assert [one["id"] for one in latest["check_runs"]] == ids[1:]
        assert {one["id"] for one in every["check_runs"]} == set(ids)


async def test_only_its_own_app_may_change_a_run_and_only_on_a_commit_that_is_there(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        absent = await it.ask("POST", "check-runs", {"name": "backspace", "head_sha": "d" * 40})
        assert (absent.status_code, absent.json()["message"]) == (422, f"No commit found for SHA: {'d' * 40}")
        made = (await it.ask("POST", "check-runs", {"name": "backspace", "head_sha": it.head})).json()
        it.app = it.github.create_app("other", webhook_url="http://127.0.0.1:9/", webhook_secret="s" * 20, key=it.key)
        it.installation = it.github.install(it.app.app, "octo")
        said = await it.ask("PATCH", f"check-runs/{made['id']}", {"conclusion": "success"})
        assert said.status_code == 403
        assert "can only be modified by the GitHub App that created it" in said.json()["message"]
