"""Hears what people write on the thread of a running job, so that its agent reads it at its next step."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from bot.agent import steering
from bot.agent.output import one_line
from bot.domain.conversation import Json
from bot.domain.errors import LeaseLost, ProviderError
from bot.domain.events import Conclusion, JobFinished, Steered
from bot.domain.job import Job, Options, Person, Start
from bot.intake.admission import NotPermitted, check_person
from bot.intake.visible import Visible, project
from bot.ports import Claim, Entry, GitHub, JobStore, Meanwhile
from bot.recorder import Recorder
from bot.report import answers
from bot.report.leaks import LeakFound

SECONDS_BETWEEN_LOOKS = 0.5
COURTESY_S = 5.0  # for what is under way when the work ends
REST_S = 30.0  # after a provider failed; who wrote is heard at the run's next step all the same

SHOWN_CHARACTERS = 300  # of a message, in the tracking comment and the stream

log = structlog.get_logger()


class Ear:
    """Of one attempt at a job. A message of somebody who may not ask here stays what it was: a request that waits."""

    def __init__(self, claim: Claim, *, store: JobStore, journal: Recorder, github: GitHub) -> None:
        self._claim = claim
        self._store = store
        self._journal = journal
        self._github = github
        self._one_at_a_time = asyncio.Lock()
        self._set_aside: set[str] = set()
        self._courtesies: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Whoever writes meanwhile hears at once that it arrived, however long the agent's step takes."""
        stop = asyncio.Event()
        looking = asyncio.create_task(self._keep_looking(stop))
        try:
            yield
        finally:
            stop.set()
            _, late = await asyncio.wait({looking, *self._courtesies}, timeout=COURTESY_S)
            for task in late:
                task.cancel()

    async def _keep_looking(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            pause = SECONDS_BETWEEN_LOOKS
            try:
                await self._look()
            except LeaseLost:
                return  # the work itself finds out
            except ProviderError as error:
                log.warning("nobody listened", error=str(error))
                pause = REST_S
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await stop.wait()

    def speakers(self) -> tuple[Person, ...]:
        """Whose words the agent had so far."""
        return steering.speakers(steering.heard(self._journal.entries()))

    async def listen(self) -> None:
        """Everybody who wrote before this was called is heard when it returns. Raises LeaseLost."""
        try:
            await self._look()
        except ProviderError as error:
            log.warning("nobody listened", error=str(error))

    async def _look(self) -> None:
        async with self._one_at_a_time:
            said_so_far = steering.heard(self._journal.entries())
            known = {self._claim.job.key, *(data["key"] for data in said_so_far)}
            news = await self._store.meanwhile(self._claim, known=sorted(known))
            if steering.is_sealed(self._journal.entries()):
                return
            for request in news.requests:
                if _is_message(request) and request.id not in self._set_aside:
                    await self._hear(request)
            for entry, event in _changes(self._claim.job, said_so_far, news):
                await self._journal.record(event, entry=entry)

    async def _hear(self, request: Job) -> None:
        who, comment_id = request.requested_by, request.comment_id or 0
        try:
            check_person(request, await self._github.progress().permission(who.login))
            read = project(request.instruction)
            entry = steering.message(comment_id=comment_id, author=who, text=read.text, key=request.key)
            end = JobFinished(Conclusion.NEUTRAL, answers.passed_on(self._claim.job.id))
            event = Steered(who.login, _told(who.login, read))
            heard = await self._journal.pass_on(request, event, end=end, entry=entry, unless=steering.is_sealed)
        except (NotPermitted, LeakFound) as refusal:
            self._set_aside.add(request.id)
            log.info("not heard", request=request.id, reason=type(refusal).__name__)
            return
        if heard:
            log.info("heard", request=request.id)
            courtesy = asyncio.create_task(self._acknowledge(request))
            self._courtesies.add(courtesy)
            courtesy.add_done_callback(self._courtesies.discard)

    async def _acknowledge(self, request: Job) -> None:
        """A courtesy: its failure changes nothing."""
        try:
            await self._github.react_to_comment(request.comment_id or 0, "eyes")
        except (ProviderError, LeaseLost) as error:
            log.warning("hearing not acknowledged", request=request.id, error=str(error))


def _is_message(request: Job) -> bool:
    """A plain prompt in a comment; with a flag it asks for a job of its own, and so does a label."""
    command = request.command
    return isinstance(command, Start) and command.options == Options() and request.comment_id is not None


def _told(who: str, read: Visible) -> str:
    hidden = f" (Hidden text was kept from the agent: {'; '.join(read.hidden)}.)" if read.hidden else ""
    return f"{who} said: {one_line(read.text, SHOWN_CHARACTERS)}{hidden}"


def _changes(job: Job, said_so_far: Sequence[Json], news: Meanwhile) -> Iterator[tuple[Entry, Steered]]:
    """What the agent has read, or soon will, and is not on the page any more as it was. Each is told once."""
    told = {(data["key"], data.get("change", "")) for data in said_so_far}
    read = {data["key"]: (data["id"], data["author"]) for data in said_so_far}
    for key in sorted(news.deleted & read.keys() - {job.key}):
        if (key, "deleted") not in told:
            comment_id, author = read[key]
            event = Steered(author, f"A message by {author} was deleted: the agent is told to take it as withdrawn.")
            yield steering.taken_back(comment_id=comment_id, author=author, key=key, change="deleted"), event
    read[job.key] = (job.comment_id or 0, job.requested_by.login)
    for key in sorted(news.edited):
        if (key, "edited") not in told:
            comment_id, author = read[key]
            event = Steered(
                author, f"A comment by {author} was edited: what the agent was given stands. Write a new one."
            )
            yield steering.taken_back(comment_id=comment_id, author=author, key=key, change="edited"), event
