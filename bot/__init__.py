"""Tiny Backspace: a `/backspace` comment on a GitHub issue becomes a pull request."""

__version__ = "0.1.0"
