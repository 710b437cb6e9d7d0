"""Everything of a change that is about to become public, piece by piece, for whoever looks at it first."""

from collections.abc import Iterator

from bot.domain.job import Patch


def outgoing(patch: Patch, *, message: str, title: str, body: str) -> Iterator[tuple[str | bytes, str]]:
    """Each piece with the words for where it is."""
    yield message, "the commit's message"
    yield title, "the pull request's title"
    yield body, "the pull request's text"
    for change in patch.changes:
        yield change.path, "the name of a changed file"
        if change.content is not None:
            yield change.content, f"the changed file {change.path[:200]!a}"
