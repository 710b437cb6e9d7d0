"""Ten thousand deliveries, doubled, out of order and replayed, make exactly the jobs that were asked for."""

import asyncio
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from starlette.types import ASGIApp, Message, Scope

from bot.stores import open_store
from bot.web.app import create_app
from tests.payloads.samples import SECRET, body_of, headers_of, labeled, mention

pytestmark = pytest.mark.anyio

DUPLICATES, REPLAYS, REORDERED = 0.3, 0.05, 0.2  # parts of all deliveries
AT_ONCE = 100
FARTHEST = 300  # places that a reordered delivery is moved
KEY = "371641:186853002:"


@dataclass(frozen=True, slots=True)
class Post:
    """`kept`: it asks for something or takes something back; the rest is answered without a row."""

    event: str
    guid: str
    body: bytes
    kept: bool


@dataclass(frozen=True, slots=True)
class Original:
    """A delivery, the key of the job it asks for, and the key of the job it takes back ("": none)."""

    event: str
    payload: dict[str, Any]
    asks: str = ""
    takes_back: str = ""


def original(n: int) -> Original:
    """Of ten: four requests, one of which is deleted later, two questions, a label, and three that ask for nothing."""
    comment, issue = 1_000_000 + n, n % 500 + 1
    changes: dict[str, Any] = {"comment__id": comment, "issue__number": issue}
    match n % 10:
        case 0 | 1 | 2:
            return Original("issue_comment", mention(f"/backspace fix {n}", **changes), asks=f"{KEY}comment:{comment}")
        case 3 | 4:
            return Original("issue_comment", mention("/backspace status", **changes), asks=f"{KEY}comment:{comment}")
        case 5:
            at = f"2026-11-{n // 1440 % 28 + 1:02}T{n // 60 % 24:02}:{n % 60:02}:00Z"
            payload = labeled(issue__number=issue, issue__updated_at=at)
            return Original("issues", payload, asks=f"{KEY}label:{issue}:{at}")
        case 6:
            earlier: dict[str, Any] = {"comment__id": comment - 6, "issue__number": (n - 6) % 500 + 1}
            payload = mention(f"/backspace fix {n - 6}", action="deleted", **earlier)
            return Original("issue_comment", payload, takes_back=f"{KEY}comment:{comment - 6}")
        case 7:
            return Original("issue_comment", mention("Just talking.", **changes))
        case 8:
            return Original("issue_comment", mention(f"/backspace fix {n}", action="edited", **changes))
        case _:
            return Original("issue_comment", mention("/backspace fix it", sender__type="Bot", **changes))


def deliveries(originals: list[Original], count: int, chance: random.Random) -> list[Post]:
    """So many, in the order of their arrival."""
    posts = [
        Post(one.event, f"first-{n}", body_of(one.payload), kept=bool(one.asks or one.takes_back))
        for n, one in enumerate(originals)
    ]
    again = chance.choices(posts, k=round(count * DUPLICATES))
    replayed = [
        replace(post, guid=f"replay-{n}") for n, post in enumerate(chance.choices(posts, k=round(count * REPLAYS)))
    ]
    place = {post: float(n) for n, post in enumerate(posts)}
    for post in chance.sample(posts, k=round(count * REORDERED)):
        place[post] += chance.uniform(-FARTHEST, FARTHEST)
    arrivals = [(place[post], post) for post in posts]
    arrivals += [(chance.uniform(0, len(originals)), post) for post in (*again, *replayed)]
    return [post for _, post in sorted(arrivals, key=lambda arrival: arrival[0])]


async def posted(app: ASGIApp, post: Post) -> int:
    headers = headers_of(post.body, event=post.event, delivery=post.guid)
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/webhook",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": post.body}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    (status,) = statuses
    return status


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_thousands_of_deliveries_make_exactly_the_jobs_that_were_asked_for(tmp_path: Path, count: int) -> None:
    """Red without the unique key of a job (tried), and when a deleted request is not remembered (tried)."""
    originals = [original(n) for n in range(round(count * (1 - DUPLICATES - REPLAYS)))]
    posts = deliveries(originals, count, random.Random(7))
    assert len(posts) == count
    store = await open_store(f"sqlite:///{tmp_path}/bot.db")
    app = create_app(store=store, webhook_secrets=[SECRET])
    for start in range(0, count, AT_ONCE):
        statuses = await asyncio.gather(*(posted(app, post) for post in posts[start : start + AT_ONCE]))
        assert set(statuses) == {202}
    await store.close()

    asked = [one.asks for one in originals if one.asks]
    taken_back = {one.takes_back for one in originals if one.takes_back}
    engine = create_engine(f"sqlite:///{tmp_path}/bot.db")
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT key, cancel_by FROM jobs")).all()
        guids = connection.execute(text("SELECT count(*) FROM deliveries")).scalar_one()
    engine.dispose()
    made = {row.key: row.cancel_by for row in rows}
    assert len(made) == len(rows), "one job a request"
    assert set(asked) - taken_back <= set(made) <= set(asked)
    assert {key for key, cancelled in made.items() if cancelled} == taken_back & set(made)
    assert len(asked) == len(set(asked)) == len(originals) * 6 // 10
    assert 0 < len(taken_back - set(made)) < len(taken_back), "some requests arrived after their own deletion"
    assert guids == len({post.guid for post in posts if post.kept})
