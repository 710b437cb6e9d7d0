"""Where the texts point: the live page, the check run, the repository in a browser."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Absolute URLs. `page` opens the live page (it carries the job's watch key); `check` None: no check run yet.

    `repository` is the repository's address in a browser, such as https://github.com/acme/widget.
    """

    page: str
    check: str | None
    repository: str
