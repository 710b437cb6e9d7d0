"""Which texts the model gets to read, as a person would see them, and what was kept from it."""

from collections.abc import Iterator
from dataclasses import dataclass

from bot.domain.job import Job
from bot.intake.invisible import visible_characters
from bot.intake.visible import Visible, project

NOTHING = Visible("", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`request` is what was asked, `title` and `issue` the text around it. `outsider`: somebody without write access
    wrote some of it, so continuous integration is held. `left_out`: whose text is not here for that reason, or ""."""

    request: Visible
    title: Visible
    issue: Visible
    outsider: bool
    left_out: str = ""

    @property
    def hidden(self) -> tuple[str, ...]:
        """What a reader of the rendered text would not have seen; it was taken out."""
        return tuple(dict.fromkeys((*self.request.hidden, *self.title.hidden, *self.issue.hidden)))

    def notes(self) -> Iterator[str]:
        """What watchers should know about it, a sentence each."""
        if self.left_out:
            yield (
                f"The issue's text by {self.left_out} was left out: its author has no write access "
                "(`context_authors: everyone` in .github/backspace.yml includes such text)."
            )
        elif self.outsider:
            yield "The model reads text by somebody without write access: it is marked as such."
        if self.hidden:
            yield f"Hidden text was kept from the model: {'; '.join(self.hidden)}."


def reading_of(job: Job, *, author_writes: bool, everyone: bool) -> Reading:
    """`author_writes`: the issue's author has write access; `everyone`: the repository includes all authors' text.

    A label asks for the issue's own text, so that text is the request, whoever wrote it; a comment is its author's
    request, and an outsider's issue around it stays out unless the repository says otherwise.
    """
    request = project(job.instruction)
    if job.comment_id is None:
        return Reading(request=request, title=NOTHING, issue=NOTHING, outsider=not author_writes)
    if not author_writes and not everyone:
        left_out = job.issue.author.login
        return Reading(request=request, title=NOTHING, issue=NOTHING, outsider=False, left_out=left_out)
    title = Visible(*visible_characters(job.issue.title))
    return Reading(request=request, title=title, issue=project(job.issue.body), outsider=not author_writes)
