"""Check runs and their documented limits."""

from typing import Any

import pytest

from tests.standins.github.scene import Scene


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
        pytest.param({"status": "completed"}, '"conclusion" wasn\'t supplied.', id="no-conclusion"),
        pytest.param({"status": "done"}, "For 'properties/status', done is not a member of", id="status"),
        pytest.param({"conclusion": "stale"}, "For 'properties/conclusion', stale is not", id="conclusion"),
        pytest.param({"details_url": "javascript:x"}, "details_url must use http or https", id="details"),
    ],
)
async def test_what_a_check_run_may_say(it: Scene, change: dict[str, Any], message: str | None) -> None:
    said = await it.ask("POST", "check-runs", {"name": "backspace", "head_sha": it.head} | change)
    if message is None:
        assert said.status_code == 201, said.text
    else:
        assert said.status_code == 422
        assert said.json()["message"].startswith(f"Invalid request.\n\n{message}")


async def test_a_check_runs_life(it: Scene) -> None:
    token = await it.token()
    asked = {"name": "backspace", "head_sha": it.head, "status": "queued", "external_id": "job-1"}
    made = (await it.ask("POST", "check-runs", asked, token=token)).json()
    where = f"check-runs/{made['id']}"
    await it.ask("PATCH", where, {"status": "in_progress"} | output(), token=token)
    more = output(title="Done")
    done = (await it.ask("PATCH", where, {"conclusion": "success"} | more, token=token)).json()
    assert (done["status"], done["conclusion"], done["output"]["title"]) == ("completed", "success", "Done")
    found = await it.ask("GET", "commits/main/check-runs?check_name=backspace", token=token)
    assert [one["external_id"] for one in found.json()["check_runs"]] == ["job-1"]
    assert found.json()["check_runs"][0]["completed_at"] is not None


async def test_the_newest_run_of_a_name_is_listed_unless_all_are_wanted(it: Scene) -> None:
    token = await it.token()
    asked = {"name": "backspace", "head_sha": it.head}
    ids = [(await it.ask("POST", "check-runs", asked, token=token)).json()["id"] for _ in range(2)]
    latest = (await it.ask("GET", f"commits/{it.head}/check-runs", token=token)).json()
    every = (await it.ask("GET", f"commits/{it.head}/check-runs?filter=all", token=token)).json()
    assert [one["id"] for one in latest["check_runs"]] == ids[1:]
    assert {one["id"] for one in every["check_runs"]} == set(ids)


async def test_only_its_own_app_may_change_a_run_and_only_on_a_commit_that_is_there(it: Scene) -> None:
    absent = await it.ask("POST", "check-runs", {"name": "backspace", "head_sha": "d" * 40})
    assert (absent.status_code, absent.json()["message"]) == (422, f"No commit found for SHA: {'d' * 40}")
    made = (await it.ask("POST", "check-runs", {"name": "backspace", "head_sha": it.head})).json()
    it.app = it.github.create_app("other", webhook_url="http://127.0.0.1:9/", webhook_secret="s" * 20, key=it.key)
    it.installation = it.github.install(it.app.app, "octo")
    said = await it.ask("PATCH", f"check-runs/{made['id']}", {"conclusion": "success"})
    assert said.status_code == 403
    assert "can only be modified by the GitHub App that created it" in said.json()["message"]
