"""What the App asks in its own name: deliveries page by page, redelivery, installations, and a read-only survey."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain.errors import NotFound, ProviderError
from bot.ports import AppHooks, Survey
from tests.github.scene import Scene, scene
from tests.github.wire import REPO, Wire, answer

pytestmark = pytest.mark.anyio

DELIVERY = {
    "id": 7,
    "guid": "g-7",
    "delivered_at": "2026-03-10T09:30:00Z",
    "status_code": 502,
    "event": "issues",
    "action": None,
    "installation_id": None,
    "repository_id": None,
}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path, events=("issue_comment", "issues")) as made:
        yield made


def hooks(here: Scene) -> AppHooks:
    return here.app()


async def test_every_delivery_is_listed_newest_first_over_several_pages(here: Scene) -> None:
    for number in range(120):
        here.loopback.comment(here.repository, 1, "alice", f"{number}")
    await here.loopback.deliver()
    listed = [one async for one in hooks(here).deliveries(since=0.0)]
    there = [one for one in here.loopback.deliveries if one.app is here.registered.app]
    assert [one.id for one in listed] == [one.id for one in reversed(there)]
    assert {(one.event, one.action) for one in listed} == {("issue_comment", "created"), ("issues", "opened")}
    assert {one.installation_id for one in listed} == {here.installation_id}
    assert {one.repository_id for one in listed} == {here.repository.id}
    assert {(one.succeeded, one.status_code) for one in listed} == {(False, 502)}


async def test_the_list_ends_where_it_was_asked_to(here: Scene) -> None:
    at = here.loopback.deliveries[0].delivered_at
    assert [one async for one in hooks(here).deliveries(since=at + 60)] == []


async def test_a_redelivery_is_another_attempt_of_the_same_delivery(here: Scene) -> None:
    await here.loopback.deliver()
    (first,) = [one async for one in hooks(here).deliveries(since=0.0)]
    await hooks(here).redeliver(first.id)
    await here.loopback.deliver()
    again, before = [one async for one in hooks(here).deliveries(since=0.0)]
    assert before == first
    assert (again.guid, again.id != first.id) == (first.guid, True)
    with pytest.raises(NotFound):
        await hooks(here).redeliver(1)


async def test_the_apps_registration_and_webhook_are_shown(here: Scene) -> None:
    registration, webhook = await here.app().registration(), await here.app().webhook()
    assert registration.slug == here.registered.app.slug
    assert registration.permissions == {"metadata": "read", **here.registered.app.permissions}
    assert registration.events == ("issue_comment", "issues")
    assert (webhook.url, webhook.content_type) == (here.registered.app.webhook_url, "json")
    assert webhook.checks_certificate


async def test_an_app_without_a_webhook_has_no_address() -> None:
    wire = Wire().on("GET /app/hook/config", answer(200, {"content_type": "form", "insecure_ssl": 1}))
    webhook = await wire.app().webhook()
    assert (webhook.url, webhook.content_type, webhook.checks_certificate) == ("", "form", False)


async def test_installations_are_listed_and_looked_up(here: Scene) -> None:
    (one,) = [each async for each in hooks(here).installations()]
    assert (one.id, one.suspended) == (here.installation_id, False)
    assert await hooks(here).installation(one.id) == one
    here.loopback.world.installations[one.id].suspended_at = 1.0
    assert (await hooks(here).installation(one.id)).suspended
    here.loopback.uninstall(here.loopback.world.installations[one.id])
    assert [each async for each in hooks(here).installations()] == []
    with pytest.raises(NotFound):
        await hooks(here).installation(one.id)


async def test_a_survey_sees_repositories_and_their_recent_comments_and_its_token_can_write_nothing(
    here: Scene,
) -> None:
    old = here.loopback.comment(here.repository, 1, "alice", "old")
    old.created_at = old.updated_at = old.created_at - 7_200
    since = old.created_at + 3_600
    edited = here.loopback.comment(here.repository, 1, "alice", "0")
    edited.created_at -= 5_000
    for number in range(1, 130):
        here.loopback.comment(here.repository, 1, "alice", f"{number}")
    async with hooks(here).survey(here.installation_id) as survey:
        seen: Survey = survey
        (facts,) = [one async for one in seen.repositories()]
        assert (facts.repo, facts.private) == (here.repo, True)
        found = [one async for one in seen.recent_comments(facts.repo, since=since)]
        assert (await seen.issue(facts.repo, 1)).title == "Say hello"
        (token,) = here.loopback.world.tokens.values()
        assert set(token.permissions.values()) == {"read"}
    assert here.loopback.world.tokens == {}
    assert sorted(one.body for one in found) == sorted(map(str, range(130)))
    assert [one.updated_at > one.created_at for one in found] == [True] + [False] * 129
    assert {(one.issue, one.by_person, one.author and one.author.login) for one in found} == {(1, True, "alice")}


async def test_comments_of_bots_and_of_deleted_accounts_are_marked() -> None:
    comment = {
        "id": 1,
        "issue_url": "https://api.github.com/repos/acme/widget/issues/3",
        "body": None,
        "user": {"id": 2, "login": "x[bot]", "type": "Bot"},
        "created_at": "2026-03-10T09:30:00Z",
        "updated_at": "2026-03-10T09:30:00Z",
        "performed_via_github_app": None,
    }
    human = {"id": 3, "login": "a", "type": "User"}
    rows = [comment, comment | {"user": None}, comment | {"user": human, "performed_via_github_app": {"id": 1}}]
    wire = Wire().on("GET /repos/acme/widget/issues/comments", answer(200, rows))
    async with wire.app().survey(5) as survey:
        found = [one async for one in survey.recent_comments(REPO, since=1_773_135_000.0)]
    assert [(one.by_person, one.author is None) for one in found] == [(False, False), (False, True), (False, False)]
    assert wire.requests[1].url.params["since"] == "2026-03-10T09:30:00Z"


@pytest.mark.parametrize("account", [None, {"id": 9, "slug": "big-corp"}], ids=["nobody", "an-enterprise"])
async def test_an_installation_on_no_account_hides_no_other(account: object) -> None:
    """Red when its login is asked for: no installation is surveyed (seen)."""
    rows = [{"id": 1, "account": account, "suspended_at": None}, {"id": 2, "suspended_at": None}]
    wire = Wire().on("GET /app/installations", answer(200, rows))
    assert [one.id async for one in wire.app().installations()] == [1, 2]


async def test_a_delivery_without_an_installation_is_read_and_one_without_a_time_is_not() -> None:
    wire = Wire().on("GET /app/hook/deliveries", answer(200, [DELIVERY]))
    (one,) = [each async for each in wire.app().deliveries(since=0.0)]
    assert (one.installation_id, one.action, one.delivered_at) == (None, "", 1_773_135_000.0)
    wire.on("GET /app/hook/deliveries", answer(200, [DELIVERY | {"delivered_at": "soon"}]))
    with pytest.raises(ProviderError, match="without a time at delivered_at"):
        [each async for each in wire.app().deliveries(since=0.0)]
