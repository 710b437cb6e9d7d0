"""The doors between the stories and the vendors: one Protocol each, and the words they exchange."""

from bot.ports.app import AppHooks, DeliveryAttempt, Installation, RecentComment, Survey
from bot.ports.github import (
    CheckRun,
    Comment,
    Commit,
    GitHub,
    GitHubApp,
    IssueFacts,
    Permission,
    Remote,
    RepositoryFacts,
    TreeEntry,
)
from bot.ports.model import Model
from bot.ports.sandbox import BaseFile, ExecResult, ExportedFile, Sandbox, SandboxProvider, Workspace
from bot.ports.store import Accepted, Claim, Entry, JobRow, JobState, JobStore, Journal

__all__ = [
    "Accepted",
    "AppHooks",
    "BaseFile",
    "CheckRun",
    "Claim",
    "Comment",
    "Commit",
    "DeliveryAttempt",
    "Entry",
    "ExecResult",
    "ExportedFile",
    "GitHub",
    "GitHubApp",
    "Installation",
    "IssueFacts",
    "JobRow",
    "JobState",
    "JobStore",
    "Journal",
    "Model",
    "Permission",
    "RecentComment",
    "Remote",
    "RepositoryFacts",
    "Sandbox",
    "SandboxProvider",
    "Survey",
    "TreeEntry",
    "Workspace",
]
