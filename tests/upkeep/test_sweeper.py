"""What did not arrive is asked for again, once it matters, and commands nobody was told of are found."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.domain.job import Person, Plan, Start
from bot.github.installation import App
from bot.ports import DeliveryAttempt, JobRow, RecentComment
from bot.standins.github import LoopbackGitHub, Reply
from bot.standins.github.faults import Delay
from bot.standins.github.state import Installation, Repository
from bot.standins.serving import serve
from bot.stores import Store, open_store
from bot.stores.sql import RECENT
from bot.upkeep.found import unanswered
from bot.upkeep.sweeper import KEPT_S, MARGIN_S, SURVEYED, SURVEYS, Sweeper, survey_rest_s, verdict
from bot.vitals import Vitals
from bot.web.app import create_app
from tests.polling import WITHIN_S, until
from tests.stores.beside import run

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0
SECRET = "a secret of the tests, long enough"
MISSED = DeliveryAttempt(
    id=1,
    guid="g",
    event="issue_comment",
    action="created",
    installation_id=1,
    repository_id=7,
    delivered_at=NOW - 60,
    status_code=502,
    redelivery=False,
)


def chosen(*attempts: DeliveryAttempt, stored: frozenset[str] = frozenset(), most: int = 500) -> list[int]:
    return [attempt.id for attempt in verdict(attempts, stored=stored, now=NOW, most=most).redeliver]


@pytest.mark.parametrize(
    ("attempts", "ids"),
    [
        pytest.param([MISSED], [1], id="failed"),
        pytest.param([replace(MISSED, status_code=503)], [1], id="answered-unavailable"),
        pytest.param([replace(MISSED, status_code=202)], [], id="arrived"),
        pytest.param([replace(MISSED, action="edited")], [1], id="comment-edited"),
        pytest.param([replace(MISSED, event="issues", action="opened")], [], id="opened-starts-nothing"),
        pytest.param([replace(MISSED, event="check_run", action="created")], [], id="another-event"),
        pytest.param([replace(MISSED, event="issues", action="labeled")], [1], id="label"),
        pytest.param([replace(MISSED, event="issues", action="closed")], [1], id="closed"),
        pytest.param([replace(MISSED, action="deleted")], [1], id="comment-deleted"),
        pytest.param([replace(MISSED, event="installation", action="suspend")], [1], id="suspended"),
        pytest.param([replace(MISSED, delivered_at=NOW - KEPT_S)], [], id="too-old-for-github"),
        pytest.param(
            [
                replace(MISSED, delivered_at=NOW - KEPT_S),
                replace(MISSED, id=2, redelivery=True, delivered_at=NOW - 90_000),
            ],
            [],
            id="tried-for-three-days",
        ),
        pytest.param([replace(MISSED, redelivery=True)], [], id="whose-first-attempt-is-not-listed-any-more"),
        pytest.param([MISSED, replace(MISSED, id=2, status_code=200)], [], id="a-later-attempt-arrived"),
        pytest.param([replace(MISSED, id=2), replace(MISSED, status_code=200)], [], id="an-earlier-attempt-arrived"),
        pytest.param([replace(MISSED, id=2), replace(MISSED, delivered_at=NOW - 90)], [], id="tried-again-just-now"),
        pytest.param(
            [replace(MISSED, id=2, delivered_at=NOW - 700), replace(MISSED, delivered_at=NOW - 2_000)],
            [2],
            id="tried-again-ten-minutes-ago",
        ),
        pytest.param(
            [replace(MISSED, id=2), replace(MISSED, id=3, guid="h", delivered_at=NOW - 90)], [3, 2], id="oldest-first"
        ),
    ],
)
def test_what_failed_and_matters_is_asked_for_again(attempts: list[DeliveryAttempt], ids: list[int]) -> None:
    assert chosen(*attempts) == ids


def test_what_arrived_although_github_heard_no_answer_is_left_alone() -> None:
    assert chosen(MISSED, stored=frozenset({"g"})) == []


def test_a_sweep_is_bounded_and_the_next_one_goes_on_with_the_rest() -> None:
    attempts = [replace(MISSED, id=n, guid=str(n), delivered_at=NOW - 100 + n) for n in range(10)]
    assert chosen(*attempts, most=3) == [0, 1, 2]
    assert verdict(attempts, stored=(), now=NOW, most=3).settled_until == NOW - 100
    assert verdict(attempts, stored={"0", "1", "2"}, now=NOW).settled_until == NOW - 97
    assert verdict(attempts, stored={str(n) for n in range(10)}, now=NOW).settled_until == NOW


def test_what_waits_for_its_next_try_is_not_forgotten() -> None:
    first, again = replace(MISSED, delivered_at=NOW - 900), replace(MISSED, id=2)
    assert verdict([first, again], stored=(), now=NOW).settled_until == NOW - 900


ASKED = RecentComment(
    id=5,
    issue=3,
    body="/backspace fix it",
    author=Person(42, "octocat"),
    by_person=True,
    created_at=NOW,
    updated_at=NOW,
)


@pytest.mark.parametrize(
    ("comment", "asks"),
    [
        pytest.param(ASKED, True, id="a-command"),
        pytest.param(replace(ASKED, body="Nice."), False, id="no-command"),
        pytest.param(replace(ASKED, by_person=False), False, id="a-bot"),
        pytest.param(replace(ASKED, author=None), False, id="a-deleted-account"),
        pytest.param(replace(ASKED, updated_at=NOW + 1), False, id="edited"),
        pytest.param(replace(ASKED, created_at=NOW - 9, updated_at=NOW - 9), False, id="older-than-asked-for"),
    ],
)
def test_only_a_person_s_new_and_untouched_command_is_taken_up(comment: RecentComment, asks: bool) -> None:
    assert (unanswered(comment, since=NOW - 1) == Start("fix it")) is asks


# ---------------------------------------------------------------- against the loopback GitHub's log


@dataclass
class Scene:
    github: LoopbackGitHub
    repository: Repository
    installation: Installation
    store: Store
    sweeper: Sweeper
    clock: list[float]
    passed: list[float]
    vitals: Vitals
    database_url: str

    async def suspended(self, *, looks: int, days: int) -> None:
        """Looked at, by a bot that clears up, and again after so many days; before the last look somebody asks."""
        (issue,) = self.repository.issues.values()
        self.installation.suspended_at = self.clock[0]
        for look in range(looks):
            assert await self.sweeper.survey() == 0
            await run(
                self.database_url, f"UPDATE marks SET at = at - {days * 86_400} WHERE name LIKE '{SURVEYED[:9]}%'"
            )
            await self.store.prune()
            self.clock[0] += days * 86_400
            if look == looks - 2:
                self.github.comment(self.repository, issue.number, "alice", "/backspace mend it")
        self.installation.suspended_at = None

    async def work(self) -> list[JobRow]:
        rows = [row for n in self.repository.issues for row in await self.store.jobs_on(self.repository.id, n)]
        return [row for row in rows if isinstance(row.job.command, Start | Plan)]

    async def recover(self, *, after_s: float) -> int:
        """Sweeps until there is nothing to ask for; answers how much was asked for."""
        asked = 0
        self.clock[0] += after_s
        while found := await self.sweeper.sweep():
            asked += found
            await self.github.deliver()
            self.clock[0] += 1_800
        return asked

    @asynccontextmanager
    async def endpoint_down(self) -> AsyncIterator[None]:
        app = self.installation.app
        app.webhook_url, url = "http://127.0.0.1:9/webhook", app.webhook_url
        yield
        await self.github.deliver()
        app.webhook_url = url


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


@pytest.fixture
async def scene(tmp_path: Path, key: rsa.RSAPrivateKey) -> AsyncIterator[Scene]:
    clock, passed, vitals = [NOW], [0.0], Vitals()
    github = LoopbackGitHub(tmp_path / "github", now=lambda: clock[0])
    repository = github.add_repository("acme", "widget")
    github.set_role(repository, "alice", "write")
    database_url = f"sqlite:///{tmp_path}/bot.db"
    store = await open_store(database_url)
    numbers = count()
    async with github.serve() as url, serve(create_app(store=store, webhook_secrets=[SECRET])) as bot:
        registered = github.create_app(webhook_url=f"{bot}/webhook", webhook_secret=SECRET, owner="acme", key=key)
        installation = github.install(registered.app, "acme")
        app = App(registered.app.id, registered.private_key_pem, api_url=f"{url}/api/v3", now=lambda: clock[0])
        sweeper = Sweeper(
            app=app,
            store=store,
            new_id=lambda: f"found-{next(numbers)}",
            new_watch_key=lambda: "watch",
            first_after_s=0.1,
            now=lambda: clock[0],
            monotonic=lambda: passed[0],
            vitals=vitals,
        )
        yield Scene(github, repository, installation, store, sweeper, clock, passed, vitals, database_url)
    await store.close()


async def test_after_the_endpoint_was_down_270_of_270_requests_become_jobs(scene: Scene) -> None:
    """R6. Red when the sweep asks for nothing (tried)."""
    github, repository = scene.github, scene.repository
    issues = [github.open_issue(repository, "alice", f"Issue {n}", "Mend it.") for n in range(27)]
    await github.deliver()
    async with scene.endpoint_down():
        for round_ in range(8):
            github.comment(repository, 1, "alice", "Just talking.")
            for issue in issues:
                scene.clock[0] += 1
                github.comment(repository, issue.number, "alice", f"/backspace mend it {round_}")
        for name in ("backspace", "backspace:plan"):
            for issue in issues:
                scene.clock[0] += 1
                github.label(repository, issue.number, "alice", name)
                github.label(repository, issue.number, "alice", f"other-{issue.number}-{name}")
    assert await scene.work() == []
    asked = await scene.recover(after_s=7_200)
    rows = await scene.work()
    statuses = Counter(d.status for d in github.deliveries if d.redelivery)
    recorded = f"{len(rows)} of 270 requests recovered; deliveries asked for again: {asked}, answered: {dict(statuses)}"
    (scene.github.root.parent / "sweep.txt").write_text(recorded)
    assert len(rows) == 270, recorded
    assert len({row.job.key for row in rows}) == 270
    assert asked == 332, "270 requests, and 62 that look like them in GitHub's list, which shows no texts and no labels"


async def test_a_missed_end_is_made_up_for_in_its_place(scene: Scene) -> None:
    issue = scene.github.open_issue(scene.repository, "alice", "Mend it")
    scene.github.comment(scene.repository, issue.number, "alice", "/backspace mend it")
    await scene.github.deliver()
    async with scene.endpoint_down():
        scene.clock[0] += 1
        scene.github.close_issue(scene.repository, issue.number, "alice")
    scene.clock[0] += 60
    await scene.sweeper.sweep()
    await scene.github.deliver()
    (row,) = await scene.work()
    assert row.cancel_by == "alice (the issue was closed)"


async def test_what_a_clock_that_was_ahead_has_marked_as_settled_is_looked_at_again(scene: Scene) -> None:
    """Red when the mark of such a sweep is believed: what is missed until then is never asked for (seen)."""
    issue = scene.github.open_issue(scene.repository, "alice", "Mend it")
    await scene.github.deliver()
    scene.clock[0] += 3 * 3600
    await scene.sweeper.sweep()
    await scene.sweeper.survey()
    scene.clock[0] -= 3 * 3600
    async with scene.endpoint_down():
        scene.clock[0] += 60
        scene.github.comment(scene.repository, issue.number, "alice", "/backspace mend it")
    assert await scene.sweeper.survey() == 1
    assert await scene.sweeper.sweep() == 1


async def test_a_delivery_that_keeps_failing_is_asked_for_less_and_less_often(scene: Scene) -> None:
    issue = scene.github.open_issue(scene.repository, "alice", "Mend it")
    await scene.github.deliver()
    asked = 0
    async with scene.endpoint_down():
        scene.github.comment(scene.repository, issue.number, "alice", "/backspace mend it")
        await scene.github.deliver()
        for _ in range(2 * 24):
            scene.clock[0] += 1_800
            asked += await scene.sweeper.sweep()
            await scene.github.deliver()
    assert 5 <= asked <= 10
    scene.clock[0] += 6 * 3600
    await scene.sweeper.sweep()
    await scene.github.deliver()
    assert len(await scene.work()) == 1


async def test_a_command_that_no_delivery_told_of_is_found_and_its_late_delivery_finds_the_job(scene: Scene) -> None:
    """R7. Red when the survey keys its jobs by anything of its own (tried)."""
    issue = scene.github.open_issue(scene.repository, "alice", "Mend it", "Please.")
    await scene.github.deliver()
    await scene.sweeper.survey()
    async with scene.endpoint_down():
        scene.clock[0] += 60
        scene.github.comment(scene.repository, issue.number, "alice", "/backspace mend it")
        scene.github.comment(scene.repository, issue.number, "alice", "Just talking.")
    missed = next(d for d in scene.github.deliveries if d.event == "issue_comment" and b"/backspace" in d.payload)
    scene.clock[0] += 4 * 86_400
    assert await scene.sweeper.sweep() == 0, "too old for GitHub's list"
    assert await scene.sweeper.survey() == 1
    assert await scene.sweeper.survey() == 0
    scene.github.redeliver(missed)
    await scene.github.deliver()
    (row,) = await scene.work()
    assert (row.job.id, row.job.command, row.job.requested_by.login) == ("found-0", Start("mend it"), "alice")
    assert row.job.issue.body == "Please."
    assert row.job.default_branch == scene.repository.default_branch


@pytest.mark.parametrize(("repositories", "rest_s"), [(0, 0.0), (1, 36.0), (16, 576.0), (100, 3600.0), (9000, 3600.0)])
def test_few_repositories_are_looked_through_at_every_sweep_and_many_once_an_hour(
    repositories: int, rest_s: float
) -> None:
    assert survey_rest_s(repositories) == rest_s


async def test_a_survey_leaves_out_what_was_looked_at_lately(scene: Scene) -> None:
    """However the clock is set. Red when `only_due` is ignored, and when the rest is on that clock (seen)."""
    issue = scene.github.open_issue(scene.repository, "alice", "Mend it", "Please.")
    await scene.github.deliver()
    for _ in range(2):  # the first meets the installation, and looks at nothing
        await scene.sweeper.survey(only_due=True)
    async with scene.endpoint_down():
        scene.passed[0] += survey_rest_s(1) / 2
        scene.github.comment(scene.repository, issue.number, "alice", "/backspace mend it")
    assert await scene.sweeper.survey(only_due=True) == 0
    scene.passed[0] += survey_rest_s(1)
    assert await scene.sweeper.survey(only_due=True) == 1


async def test_what_was_written_before_the_first_survey_is_not_for_this_bot(scene: Scene) -> None:
    async with scene.endpoint_down():
        issue = scene.github.open_issue(scene.repository, "alice", "Mend it")
        scene.github.comment(scene.repository, issue.number, "alice", "/backspace mend it")
    scene.clock[0] += MARGIN_S * 2
    assert await scene.sweeper.survey() == 0
    assert await scene.sweeper.survey() == 0


async def test_the_list_of_installations_makes_up_for_a_lost_suspension(scene: Scene) -> None:
    issue = scene.github.open_issue(scene.repository, "alice", "Mend it")
    scene.github.comment(scene.repository, issue.number, "alice", "/backspace mend it")
    await scene.github.deliver()
    scene.installation.suspended_at = scene.clock[0]
    await scene.sweeper.survey()
    (row,) = await scene.work()
    assert row.cancel_by == "(the App was suspended)", "who did it is not known"
    assert await scene.store.shut_out(scene.installation.id, scene.repository.id) is not None
    scene.installation.suspended_at = None
    scene.clock[0] += 3600
    await scene.sweeper.survey()
    assert await scene.store.shut_out(scene.installation.id, scene.repository.id) is None


@pytest.mark.parametrize(("looks", "days", "gaps"), [(4, 1, 0), (8, 5, 1)])
async def test_what_was_asked_for_while_the_app_slept_is_found_when_it_wakes_up(
    scene: Scene, looks: int, days: int, gaps: int
) -> None:
    """GitHub delivers nothing of it, ever. Red when the mark grows old meanwhile, and after 40 days is cleared away: as
    at a first meeting, nothing is found (seen)."""
    scene.github.open_issue(scene.repository, "alice", "Mend it")
    await scene.github.deliver()
    await scene.sweeper.survey()
    await scene.suspended(looks=looks, days=days)
    assert await scene.sweeper.survey() == 1
    assert scene.vitals.gaps == gaps, "what is older than a week is not looked for, and the log says so"


async def test_an_app_that_slept_when_the_bot_met_it_is_looked_through_from_then_on(scene: Scene) -> None:
    """Red when a suspended installation gets no mark (seen)."""
    scene.github.open_issue(scene.repository, "alice", "Mend it")
    await scene.github.deliver()
    await scene.suspended(looks=2, days=1)
    assert await scene.sweeper.survey() == 1


async def test_a_bot_that_was_away_for_longer_than_github_keeps_deliveries_says_so_once(scene: Scene) -> None:
    """Red when the age of the mark is not looked at: seen."""
    await scene.sweeper.sweep()
    scene.clock[0] += KEPT_S + 60
    for _ in range(2):
        await scene.sweeper.sweep()
    assert scene.vitals.gaps == 1


async def test_a_thread_with_many_refusals_hides_no_command(scene: Scene) -> None:
    """The store tells of the last fifty that came to nothing. Red when the survey stops at a known command: seen."""
    issue = scene.github.open_issue(scene.repository, "alice", "Mend it")
    await scene.github.deliver()
    await scene.sweeper.survey()
    scene.github.add_user("mallory")
    for _ in range(RECENT + 2):
        scene.github.comment(scene.repository, issue.number, "mallory", "/backspace mend it")
    await scene.github.deliver()
    async with scene.endpoint_down():
        scene.github.comment(scene.repository, issue.number, "alice", "/backspace mend it")
    while (claim := await scene.store.claim("w")) is not None:
        await scene.store.commit(claim, finish="failed", reported=True)
    assert len(await scene.store.jobs_on(scene.repository.id, issue.number)) == RECENT
    assert await scene.sweeper.survey() == 1
    (waits,) = [row for row in await scene.work() if row.state == "queued"]
    assert waits.job.requested_by.login == "alice"
    assert await scene.sweeper.survey() == 0


async def test_the_first_sweep_comes_soon_after_the_start(scene: Scene) -> None:
    async with scene.endpoint_down():
        scene.github.open_issue(scene.repository, "alice", "Mend it")
        scene.github.comment(scene.repository, 1, "alice", "/backspace mend it")
    stop = asyncio.Event()
    running = asyncio.create_task(scene.sweeper.run(stop))

    async def is_found() -> bool:
        return bool(await scene.work())

    await until(is_found)
    await until(lambda: all(part.age_s is not None for part in scene.vitals.parts()))
    stop.set()
    await running


async def test_one_repository_that_cannot_be_read_does_not_hide_the_others(scene: Scene) -> None:
    """Red when its failure ends the survey of its installation: nothing is found (seen)."""
    shut = scene.github.add_repository("acme", "aaa")
    issue = scene.github.open_issue(scene.repository, "alice", "Mend it")
    await scene.github.deliver()
    await scene.sweeper.survey()
    async with scene.endpoint_down():
        scene.github.comment(scene.repository, issue.number, "alice", "/backspace mend it")
    scene.github.faults.add(Reply(451), path=f"/repos/{shut.full_name}/issues/comments")
    assert await scene.sweeper.survey() == 1


async def test_one_delivery_that_github_does_not_send_again_holds_up_no_other(scene: Scene) -> None:
    """Red when its refusal ends the sweep: the others are never asked for (seen)."""
    issue = scene.github.open_issue(scene.repository, "alice", "Mend it")
    await scene.github.deliver()
    async with scene.endpoint_down():
        for _ in range(2):
            scene.clock[0] += 1
            scene.github.comment(scene.repository, issue.number, "alice", "/backspace mend it")
    oldest = min(one.id for one in scene.github.deliveries if one.event == "issue_comment")
    scene.github.faults.add(Reply(422), method="POST", path=f"/deliveries/{oldest}/attempts")
    await scene.sweeper.sweep()
    await scene.github.deliver()
    assert len(await scene.work()) == 1


async def test_neither_sweep_nor_survey_waits_for_the_other(scene: Scene) -> None:
    """A large installation's survey takes long. Red when they take turns: seen."""
    scene.github.faults.add(Delay(60), path="/app/hook/deliveries")
    stop = asyncio.Event()
    running = asyncio.create_task(scene.sweeper.run(stop))
    await until(lambda: {part.name for part in scene.vitals.parts() if part.age_s is not None} == {SURVEYS})
    stop.set()
    await running


async def test_the_sweeper_ends_at_once_although_github_bids_it_wait(scene: Scene) -> None:
    """Red when `stop` is asked for between sweeps only: the process stays for as long as the limit lasts (seen)."""
    async with scene.endpoint_down():
        scene.github.open_issue(scene.repository, "alice", "Mend it")
        scene.github.comment(scene.repository, 1, "alice", "/backspace mend it")
    limited = Reply(429, {"retry-after": "600"})
    fault = scene.github.faults.add(limited, method="POST", path="/app/hook/deliveries/.*/attempts$")
    stop = asyncio.Event()
    running = asyncio.create_task(scene.sweeper.run(stop))
    await until(lambda: fault.left == 0)
    await asyncio.sleep(0.1)
    stop.set()
    async with asyncio.timeout(WITHIN_S):
        await running


async def test_the_sweeper_ends_at_once_when_told_to_stop_and_outlives_a_github_that_is_away(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/bot.db")
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = LoopbackGitHub(tmp_path / "github").create_app(webhook_url="http://x", webhook_secret=SECRET, key=key)
    app = App(1, pem.private_key_pem, api_url="http://127.0.0.1:9/api/v3", sleep=lambda _: asyncio.sleep(0))
    stop = asyncio.Event()
    sweeper = Sweeper(app=app, store=store, new_id=lambda: "x", new_watch_key=lambda: "w", first_after_s=0)
    running = asyncio.create_task(sweeper.run(stop))
    await asyncio.sleep(0.3)
    assert not running.done()
    stop.set()
    async with asyncio.timeout(WITHIN_S):
        await running
    await store.close()
