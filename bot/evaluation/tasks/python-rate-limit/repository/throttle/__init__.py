"""Limits how often something may happen."""

from throttle.window import Decision, SlidingWindow

__all__ = ["Decision", "SlidingWindow"]
