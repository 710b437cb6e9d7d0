"""The web process's application: the webhook door, and the routes it is given."""

from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.domain.errors import UserError
from bot.ports import JobStore
from bot.web.door import BODY_SECONDS, MAX_BODY_BYTES, WebhookDoor, random_job_id, random_watch_key

MIN_SECRET_CHARACTERS = 16
WEBHOOK = "/webhook"


def create_app(
    *,
    store: JobStore,
    webhook_secrets: Sequence[str],
    extra_routes: Sequence[BaseRoute] = (),
    max_body: int = MAX_BODY_BYTES,
    body_seconds: float = BODY_SECONDS,
    on_accept: Callable[[str], None] | None = None,
    new_id: Callable[[], str] = random_job_id,
    new_watch_key: Callable[[], str] = random_watch_key,
) -> ASGIApp:
    """The application. `max_body` is in bytes, `body_seconds` how long a delivery's body may take to arrive.

    `on_accept` hears the id of each job that is new or was cancelled, after that is durable; it returns at once and
    raises nothing.

    Raises UserError for a missing or short webhook secret.
    """
    secrets = tuple(secret.encode() for secret in webhook_secrets)
    if not secrets or any(len(secret.strip()) < MIN_SECRET_CHARACTERS for secret in secrets):
        raise UserError(
            f"GITHUB_WEBHOOK_SECRET is missing or shorter than {MIN_SECRET_CHARACTERS} characters: "
            "make a new one, for example with `openssl rand -hex 32`, and set it on GitHub and here."
        )
    door = WebhookDoor(
        store=store,
        webhook_secrets=secrets,
        max_body=max_body,
        body_seconds=body_seconds,
        on_accept=on_accept or _nobody_waits,
        new_id=new_id,
        new_watch_key=new_watch_key,
    )
    routed = Starlette(routes=[Route(WEBHOOK, door), *extra_routes])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """A delivery goes straight to the door: its way through the routes would take a tenth of its time."""
        to = door if scope["type"] == "http" and scope["path"] == WEBHOOK else routed
        await to(scope, receive, send)

    return app


def _nobody_waits(job_id: str) -> None:
    """The worker finds the job in the store."""
