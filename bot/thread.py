"""What a job's model gets to read of its thread: asked of GitHub once, and the same for every attempt."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial

import structlog

from bot.domain.conversation import Json
from bot.domain.errors import ProviderError
from bot.domain.events import Noted
from bot.domain.job import Job
from bot.facts import may_write
from bot.intake.pictures import MOST_PICTURES, Fetch, Fetched, pictures_of, signed
from bot.intake.reading import Reading, Remark, reading_of, remarks_of, said_before, subjects_of, with_remarks
from bot.ports import Entry, GitHub, Journal, Said

log = structlog.get_logger()

READ = "read"  # journal key: the thread was read, and what was hidden in it was named
BEGUN = "header"  # journal key: the agent's conversation begins
MOST_AUTHORS = 20  # whose access is looked up for one job, the latest to speak first


async def read_thread(
    job: Job,
    *,
    base_sha: str,
    author_writes: bool,
    everyone: bool,
    by_label: bool,
    github: GitHub,
    journal: Journal,
    fetch: Fetch | None = None,
    private: bool = False,
) -> Reading:
    """The request and the text around it. `base_sha`: the commit the work starts from; `author_writes`: the issue's
    author has write access; `everyone`: people without it are read too, and marked; `by_label`: the issue's own text is
    the request; `fetch` None: pictures are not looked at; `private`: those of the repository need signed addresses.
    Raises ProviderError."""
    named = pictures_of(job, author_writes=author_writes, by_label=by_label)
    with_pictures = partial(
        _with_pictures, job=job, named=named, github=github, journal=journal, fetch=fetch, private=private
    )
    reading = await asyncio.to_thread(
        reading_of, job, author_writes=author_writes, everyone=everyone, by_label=by_label
    )
    known = next((entry for entry in journal.entries() if entry.key == READ), None)
    if known is not None:
        kept = [_kept(data) for data in known.data.get("remarks", ())]
        reading = with_remarks(reading, kept, unread=known.data.get("unread", 0))
        reading = replace(reading, subjects=tuple(known.data.get("subjects", ())))
        return await with_pictures(reading)
    subjects, thread = await asyncio.gather(_subjects(base_sha, github), github.comments(job.issue.number))
    comments = said_before(job, thread)
    writers = await _writers(job, comments, github, author_writes=author_writes)
    remarks, unread = await asyncio.to_thread(remarks_of, comments, writers=writers, everyone=everyone)
    reading = replace(with_remarks(reading, remarks, unread=unread), subjects=subjects)
    data = {"remarks": [asdict(remark) for remark in remarks], "unread": unread, "subjects": list(subjects)}
    await journal.record(*(Noted(note) for note in reading.notes()), entry=Entry("effect", READ, data))
    return await with_pictures(reading)


def _kept(data: Json) -> Remark:
    """JSON knows lists only, and an earlier release no pictures of remarks."""
    lists = {key: tuple(data.get(key, ())) for key in ("hidden", "pictures")}
    return Remark(**{**data, **lists})


async def _subjects(base_sha: str, github: GitHub) -> tuple[str, ...]:
    try:
        return subjects_of(await github.progress().subjects(base_sha))
    except ProviderError as error:  # a help and never a condition
        log.warning("no commit subjects", error=str(error))
        return ()


async def _signed(addresses: tuple[str, ...], job: Job, remarks: Sequence[Remark], github: GitHub) -> tuple[str, ...]:
    comments = [job.comment_id, *(remark.comment for remark in remarks)]
    try:
        return signed(addresses, await github.rendered(job.issue.number, [one for one in comments if one is not None]))
    except ProviderError as error:  # a picture is a help and never a condition
        log.warning("no signed addresses", error=str(error))
        return addresses


async def _with_pictures(
    reading: Reading,
    *,
    job: Job,
    named: tuple[str, ...],
    github: GitHub,
    journal: Journal,
    fetch: Fetch | None,
    private: bool,
) -> Reading:
    """Until the agent has begun: from then on its journal holds them. Those `named` in what was asked come first, and
    of the remarks the newest."""
    if fetch is None or any(entry.key == BEGUN for entry in journal.entries()):
        return reading
    remarks = [remark for remark in reversed(reading.remarks) if remark.pictures][:MOST_PICTURES]
    addresses = tuple(dict.fromkeys((*named, *(one for remark in remarks for one in remark.pictures))))
    if addresses and private:
        addresses = await _signed(addresses, job, remarks, github)
    fetched = await fetch(addresses)
    if fetched == Fetched():
        return reading
    notes = [f"A picture was left out: it {problem}." for problem in fetched.problems]
    if fetched.pictures:
        count = len(fetched.pictures)
        notes.append(f"The model sees {'a picture' if count == 1 else f'{count} pictures'} of the thread.")
    await journal.record(*map(Noted, notes))
    return replace(reading, pictures=fetched.pictures)


async def _writers(job: Job, comments: tuple[Said, ...], github: GitHub, *, author_writes: bool) -> frozenset[int]:
    """The ids among the authors that may write; nobody is trusted for having been looked up too late."""
    told = {job.requested_by.id: True, job.issue.author.id: author_writes}
    authors = (comment.author for comment in reversed(comments) if comment.author.id not in told)
    latest = list(dict.fromkeys(authors))[:MOST_AUTHORS]
    told |= dict(
        zip((one.id for one in latest), await asyncio.gather(*(may_write(one, github) for one in latest)), strict=True)
    )
    return frozenset(account for account, writes in told.items() if writes)
