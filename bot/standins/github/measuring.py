"""How big a pull request is, and whether it merges."""

from bot.standins.github.differences import numbers, parting
from bot.standins.github.git import BareRepository, GitFailed
from bot.standins.github.state import Size


def measure(git: BareRepository, base: str, head: str) -> Size:
    """Counted from the merge base, as GitHub's three-dot diff is."""
    start = parting(git, base, head)
    counted = numbers(git, start, head).values()
    return Size(
        commits=len(git.between(base, head)),
        additions=sum(one[0] for one in counted if one),
        deletions=sum(one[1] for one in counted if one),
        changed_files=len(counted),
        mergeable=merges(git, base, head),
    )


def merges(git: BareRepository, base: str, head: str) -> bool:
    try:
        git.merge_trees(base, head)
    except GitFailed:
        return False
    return True
