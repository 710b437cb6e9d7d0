"""What takes a request back comes in by the same door, and what the App was taken from starts nothing."""

import json
from typing import Any

import pytest

from bot.ports import JobStore
from tests.payloads.samples import examples, labeled, mention
from tests.web.test_door import deliver, door, store

pytestmark = pytest.mark.anyio

__all__ = ["store"]  # the fixture
HERE = 371641  # the installation of the samples
NOBODY = {"ignored": "No job was waiting or running there."}


def installation(action: str, event: str = "installation", **changes: Any) -> dict[str, Any]:
    texts = (json.loads(text) for name, text in examples() if name == event)
    payload: dict[str, Any] = next(payload for payload in texts if payload["action"] == action)
    payload["installation"] |= {"id": HERE} | changes
    return payload


async def test_a_deleted_request_cancels_its_job_and_its_redelivery_does_nothing_more(store: JobStore) -> None:
    async with door(store) as client:
        job = (await deliver(client, mention(), delivery="1")).json()["job"]
        other = (await deliver(client, mention(comment__id=7), delivery="2")).json()["job"]
        gone = mention(action="deleted")
        assert (await deliver(client, gone, delivery="3")).json() == {"cancelled": job}
        assert (await deliver(client, gone, delivery="3")).json() == NOBODY
        late = await deliver(client, mention(comment__id=8, action="deleted"), delivery="4")
        assert late.json() == NOBODY
        assert (await deliver(client, mention(comment__id=8), delivery="5")).json() == {
            "ignored": "The comment that asked for it was deleted."
        }
    row, kept = await store.job(job), await store.job(other)
    assert row is not None
    assert kept is not None
    assert (row.cancel_by, kept.cancel_by) == ("Codertocat (the request was deleted)", None)


async def test_closing_the_issue_cancels_all_of_it(store: JobStore) -> None:
    told: list[str] = []
    async with door(store, on_accept=told.append) as client:
        jobs = {(await deliver(client, mention(comment__id=n), delivery=str(n))).json()["job"] for n in (1, 2)}
        closed = labeled(action="closed", issue__updated_at="2026-11-21T08:00:00Z")
        answer = await deliver(client, closed, event="issues", delivery="3")
    assert set(answer.json()["cancelled"].split()) == jobs
    assert set(told[2:]) == jobs, "whoever runs jobs by their id has those to clean up"


async def test_a_suspended_installations_requests_are_ignored_with_the_reason_until_it_is_woken(
    store: JobStore,
) -> None:
    async with door(store) as client:
        job = (await deliver(client, mention(), delivery="1")).json()["job"]
        suspend = installation("suspend")
        assert (await deliver(client, suspend, event="installation", delivery="2")).json() == {"cancelled": job}
        ignored = (await deliver(client, mention(comment__id=7), delivery="3")).json()["ignored"]
        assert ignored.startswith("The App is suspended here")
        woken = installation("unsuspend", updated_at="2021-04-29T03:00:00Z")
        assert (await deliver(client, woken, event="installation", delivery="4")).json() == NOBODY
        assert "job" in (await deliver(client, mention(comment__id=8), delivery="5")).json()


async def test_repositories_taken_from_the_app_start_nothing(store: JobStore) -> None:
    async with door(store) as client:
        removed = installation("removed", "installation_repositories")
        removed["repositories_removed"] = [{"id": mention()["repository"]["id"]}]
        assert (await deliver(client, removed, event="installation_repositories", delivery="1")).json() == NOBODY
        answer = await deliver(client, mention(), delivery="2")
    assert answer.json() == {"ignored": "The App is not installed here any more."}
