"""A GitHub of one's own on the loopback: state in memory, git objects in real bare repositories."""

from bot.standins.github.faults import Delay, DropReply, DropRequest, Reply
from bot.standins.github.loopback import LoopbackGitHub, RegisteredApp

__all__ = ["Delay", "DropReply", "DropRequest", "LoopbackGitHub", "RegisteredApp", "Reply"]
