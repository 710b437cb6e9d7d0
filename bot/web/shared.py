"""A job and its events -> one HTML file to keep or send: the live page without script, requests and neighbours."""

import base64
import hashlib
from collections.abc import Sequence

from markupsafe import Markup

from bot.domain.events import Recorded
from bot.domain.job import Job
from bot.web.live_answers import page_environment, static_files
from bot.web.page import page_of


def shared_page(job: Job, events: Sequence[Recorded], *, github_url: str) -> str:
    """The styles are named by their hash, so that nothing else is a style; `now` is when the last event was.

    A policy in a document cannot say who may frame it; there is nothing here to click.
    """
    style = static_files()["live.css"].body.decode()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    now = events[-1].at if events else 0.0
    page = page_of(job, events, now=now, github_url=github_url, key="")
    template = page_environment(is_record=True).get_template("shared.html")
    return template.render(page=page, policy=policy, style=Markup(style))
