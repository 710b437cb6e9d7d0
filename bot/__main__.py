"""`python -m bot` is `backspace`."""

from bot.cli import app

app(prog_name="backspace")
