"""R11, seen from GitHub's side: whole jobs at once under every limit, and a judge who reads the log of all requests."""

from asyncio import gather
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import inf
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from rich.console import Console
from rich.table import Table

from bot.domain.errors import ProviderError
from bot.domain.events import Conclusion
from bot.domain.job import Repo
from bot.github.installation import App
from bot.github.pace import NO_LIMITS, Limits
from bot.ports import CheckRun, GitHub, TreeEntry
from bot.standins.github import LoopbackGitHub, Reply
from bot.standins.github.faults import Logged
from bot.standins.github.state import Repository
from tests.github.clock import Line, Sent, VirtualClock
from tests.github.wire import private_key

pytestmark = pytest.mark.anyio

RUNNING = CheckRun(status="in_progress", conclusion=None, title="Working", summary="- [ ] Implement")
DONE = CheckRun(status="completed", conclusion=Conclusion.SUCCESS, title="Opened", summary="all")
UNSAID = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}


@dataclass
class Place:
    """A GitHub on virtual time, with the App on two accounts."""

    clock: VirtualClock
    loopback: LoopbackGitHub
    line: Line
    app: App
    repositories: tuple[Repository, ...]
    installations: tuple[int, ...]

    @asynccontextmanager
    async def github(self, which: int = 0) -> AsyncIterator[GitHub]:
        repository = self.repositories[which]
        repo = Repo(repository.id, repository.owner.login, repository.name)
        async with self.app.repository(self.installations[which], repo) as github:
            yield github

    def log(self, which: int = 0) -> list[Logged]:
        """What GitHub saw of one account, tokens left out."""
        name = f"/repos/{self.repositories[which].full_name}/"
        return [row for row in self.loopback.requests if row.path.startswith(name)]


@cache
def key() -> RSAPrivateKey:
    loaded = load_pem_private_key(private_key().encode(), None)
    assert isinstance(loaded, RSAPrivateKey)
    return loaded


@pytest.fixture
def place(tmp_path: Path) -> Callable[[Limits], Place]:
    def made(limits: Limits) -> Place:
        clock = VirtualClock()
        loopback = LoopbackGitHub(tmp_path / "github", now=clock)
        loopback.base_url = "https://github.test"
        source = tmp_path / "source"
        source.mkdir()
        (source / "README.md").write_bytes(b"# Widget\n")
        registered = loopback.create_app(
            webhook_url="http://127.0.0.1:9/", webhook_secret="s" * 32, owner="alice", events=(), key=key()
        )
        repositories = tuple(loopback.add_repository(owner, "widget", source=source) for owner in ("acme", "zeta"))
        installations = tuple(loopback.install(registered.app, r.owner.login, [r]).id for r in repositories)
        for repository in repositories:
            loopback.open_issue(repository, "alice", "Say hello", "It says hullo.")
        line = Line(loopback.asgi(), clock)
        app = App(
            registered.app.id,
            registered.private_key_pem,
            api_url="https://github.test",
            now=clock,
            monotonic=clock,
            sleep=clock.sleep,
            transport=line,
            limits=limits,
        )
        return Place(clock, loopback, line, app, repositories, installations)

    return made


async def job(place: Place, name: str, *, which: int = 0, files: int = 10, updates: int = 6) -> None:
    """The requests of a whole job, its report among them."""
    branch = f"backspace/{name}"
    async with place.github(which) as github:
        await github.issue(1)
        main = await github.ref("main")
        assert main is not None
        base = await github.commit(main)
        start = await github.create_commit(f"Start {name}", tree=base.tree_sha, parents=[main])
        await github.create_ref(branch, start.sha)
        check = await github.create_check_run(start.sha, RUNNING, external_id=name, details_url="")
        comment = await github.create_comment(1, f"<!-- {name} --> Working")
        for step in range(updates):
            await place.clock.sleep(5.0)
            await in_passing(github.progress().update_comment(comment.id, f"<!-- {name} --> {step}"))
        blobs = [await github.create_blob(f"{name} {number}".encode()) for number in range(files)]
        entries = [TreeEntry(f"{name}/{number}", "100644", sha) for number, sha in enumerate(blobs)]
        tree = await github.create_tree(base.tree_sha, entries)
        head = await github.create_commit(f"Work on {name}", tree=tree, parents=[start.sha])
        await github.advance_ref(branch, head.sha)
        await github.create_pull_request(title=name, body="B", head=branch, base="main", draft=False)
        await github.update_check_run(check, DONE)
        await github.update_comment(comment.id, f"<!-- {name} --> Done")


async def in_passing(update: Awaitable[None]) -> None:
    """As the reporter does it: what is dropped is told by the next update."""
    with suppress(ProviderError):
        await update


def closed_spans(sent: Sequence[Sent]) -> list[tuple[float, float]]:
    """From when GitHub's word was known to when the next request was permitted, by GitHub's documentation."""
    spans, in_a_row = [], 0
    for one in sorted(sent, key=lambda one: one.answered_at):
        if "retry-after" in one.headers:
            spans.append((one.answered_at, one.answered_at + float(one.headers["retry-after"])))
        elif one.headers.get("x-ratelimit-remaining") == "0":
            spans.append((one.answered_at, float(one.headers["x-ratelimit-reset"])))
        elif one.status in (403, 429):
            spans.append((one.answered_at, one.answered_at + 60.0 * 2**in_a_row))
            in_a_row += 1
    return spans


def most_within(window_s: float, rows: Sequence[tuple[float, int]]) -> int:
    """The largest sum in any window of that length."""
    return max((sum(n for at, n in rows if start <= at < start + window_s) for start, _ in rows), default=0)


@dataclass(frozen=True)
class Findings:
    requests: int
    writes: int
    refused: int
    least_pause_s: float
    content_a_minute: int
    content_an_hour: int
    points_a_minute: int
    at_once: int
    too_early: int


def judged(place: Place, which: int = 0) -> Findings:
    """What the log of GitHub itself says, and for the instants that GitHub named, when the answer was known."""
    log = place.log(which)
    name = f"/repos/{place.repositories[which].full_name}/"
    sent = sorted((one for one in place.line.sent if one.path.startswith(name)), key=lambda one: one.at)
    assert sorted(one.at + place.line.latency_s for one in sent) == pytest.approx([row.at for row in log])
    writes = [row for row in log if row.method != "GET"]
    content = [(row.at, 1) for row in writes if not row.path.endswith(("/git/blobs", "/git/trees", "/git/commits"))]
    points = [(row.at, 1 if row.method == "GET" else 5) for row in log]
    spans = closed_spans(sent)
    return Findings(
        requests=len(log),
        writes=len(writes),
        refused=sum(one.status in (403, 429) for one in sent),
        least_pause_s=min(later.at - earlier.at for earlier, later in pairwise(writes)) if len(writes) > 1 else inf,
        content_a_minute=most_within(60.0, content),
        content_an_hour=most_within(3_600.0, content),
        points_a_minute=most_within(60.0, points),
        at_once=max(sum(other.at <= one.at < other.answered_at for other in sent) for one in sent),
        too_early=sum(known < one.at < until for one in sent for known, until in spans),
    )


def shown(title: str, rows: Sequence[tuple[str, Findings]]) -> None:
    """The table, for whoever runs this with -s."""
    table = Table(title=title)
    names = list(Findings.__dataclass_fields__)
    for name in ("", *names):
        table.add_column(name.replace("_", " "), justify="right")
    for what, found in rows:
        table.add_row(what, *(f"{getattr(found, name):.3g}" for name in names))
    Console(width=160).print(table)


def within(limits: Limits, found: Findings) -> bool:
    return (
        found.too_early == 0
        and found.least_pause_s >= limits.seconds_between_writes
        and found.content_a_minute <= limits.content_a_minute
        and found.content_an_hour <= limits.content_an_hour
        and found.points_a_minute <= limits.points_a_minute
        and found.at_once <= limits.at_once
    )


async def troubled(place: Place) -> tuple[Findings, Findings]:
    """Six jobs of one account and two of another at once; GitHub limits them in each way it has."""
    faults = place.loopback.faults
    place.loopback.world.rate_limit = 125
    faults.add(Reply(429, {"retry-after": "45"}, {"message": "Slow down"}), method="POST", path="acme.*/check-runs$")
    faults.add(Reply(403, {"retry-after": "20"}, UNSAID), method="PATCH", path="acme.*/issues/comments/")
    faults.add(Reply(403, {}, UNSAID), method="POST", path="acme.*/git/blobs$", times=2)
    six = (job(place, f"a{number}") for number in range(6))
    two = (job(place, f"z{number}", which=1) for number in range(2))
    await place.clock.run(*six, *two)
    return judged(place, 0), judged(place, 1)


async def test_no_request_is_seen_before_its_permitted_instant(place: Callable[[Limits], Place]) -> None:
    """R11. Red with NO_LIMITS, when `Traffic.limited` holds nobody, and when each job has a turn of its own (tried)."""
    limits = Limits()
    here = place(limits)
    began = here.clock.now
    many, few = await troubled(here)
    shown("six jobs and two, under primary and secondary limits", [("acme", many), ("zeta", few)])
    assert within(limits, many), many
    assert within(limits, few), few
    assert many.refused >= 4, "the stand-in has limited them"
    assert here.clock.now - began > 3_600, "the primary limit was waited for"
    assert {issue.title for issue in here.loopback.pull_requests(here.repositories[0])} == {f"a{n}" for n in range(6)}
    for which, count in ((0, 6), (1, 2)):
        said = here.loopback.comments(here.repositories[which], 1)
        assert len(said) == count
        assert all(comment.body.endswith("Done") for comment in said)
        runs = here.loopback.check_runs(here.repositories[which])
        assert [run.conclusion for run in runs] == ["success"] * count


@pytest.mark.parametrize("slow", ["minting", "hold"])
async def test_a_limit_that_comes_while_a_request_is_made_ready_holds_it_too(
    place: Callable[[Limits], Place], slow: str
) -> None:
    """R11. Red when a request has its turn first and is made ready then: it leaves into the limit (seen)."""
    here = place(Limits())
    here.loopback.faults.add(Reply(429, {"retry-after": "45"}), method="GET", path="acme.*/git/ref/")
    repository = here.repositories[0]
    repo = Repo(repository.id, repository.owner.login, repository.name)

    async def renewed() -> None:
        await here.clock.sleep(0.1 if slow == "hold" else 0.0)

    async def asked() -> None:
        async with here.github() as first, here.app.repository(here.installations[0], repo, hold=renewed) as second:
            await first.issue(1)
            if slow == "hold":
                await second.issue(1)
            await gather(first.ref("main"), late(second))

    async def late(github: GitHub) -> None:
        await here.clock.sleep(0.02)
        await github.issue(1)

    await here.clock.run(asked())
    found = judged(here)
    assert (found.refused, found.too_early) == (1, 0)


async def test_the_judge_sees_what_no_schedule_would_do(place: Callable[[Limits], Place]) -> None:
    here = place(NO_LIMITS)
    await here.clock.run(*(job(here, f"a{number}") for number in range(6)))
    assert not within(Limits(), judged(here))


async def test_writes_by_the_minute_and_hour_and_points_and_calls_at_once_are_counted(
    place: Callable[[Limits], Place],
) -> None:
    """Scaled down, as the real ones would take thousands of requests. Red when a count of `Limits` is 0 (tried)."""
    limits = Limits(seconds_between_writes=1, content_a_minute=12, content_an_hour=40, points_a_minute=70, at_once=4)
    here = place(limits)

    async def reads() -> None:
        async with here.github() as github:
            await gather(*(github.issue(1) for _ in range(80)))

    async def writes() -> None:
        async with here.github() as github:
            await gather(*(github.react_to_issue(1, "eyes") for _ in range(45)))

    await here.clock.run(reads(), writes())
    found = judged(here)
    shown("a burst under small limits", [("acme", found)])
    assert within(limits, found), found
    assert found == replace(found, requests=125, writes=45, refused=0, content_a_minute=12, content_an_hour=40)
    assert found.at_once == 4
    assert found.points_a_minute > 60
