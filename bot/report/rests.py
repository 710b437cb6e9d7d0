"""What is said while a job waits for somebody it cannot do without, and afterwards."""

from datetime import UTC, datetime, timedelta

from bot.domain.events import Noted

_NOW, _PAST = "Waiting for", "Waited for"
_NAMES = {"github": "GitHub", "store": "the database"}


def waiting(provider: str, why: str, *, until: float) -> Noted:
    """`until` is Unix time in seconds; it is told as the minute that has begun by then."""
    minute = datetime.fromtimestamp(until, UTC) + timedelta(seconds=59)
    return Noted(f"{_NOW} {_NAMES.get(provider, provider)} until {minute:%H:%M} UTC: {why}", until=until)


def waited(text: str) -> str:
    """What `waiting` said, when it is over."""
    return text.replace(_NOW, _PAST, 1)
