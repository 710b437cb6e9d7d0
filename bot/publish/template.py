"""Which file of a repository is its pull request template: where GitHub itself looks for one."""

from collections.abc import Sequence

FOLDERS = (".github/", "", "docs/")
NAMES = ("pull_request_template.md", "pull_request_template.txt", "pull_request_template")


def template_path(paths: Sequence[str]) -> str | None:
    """The first in GitHub's order, in any spelling of case. A folder of templates has no default, so none is taken."""
    by_lower = {path.lower(): path for path in paths}
    places = (folder + name for folder in FOLDERS for name in NAMES)
    return next((by_lower[place] for place in places if place in by_lower), None)
