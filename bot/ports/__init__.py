"""The doors between the stories and the vendors: one Protocol each, and the words they exchange."""

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
    "BaseFile",
    "CheckRun",
    "Claim",
    "Comment",
    "Commit",
    "Entry",
    "ExecResult",
    "ExportedFile",
    "GitHub",
    "GitHubApp",
    "IssueFacts",
    "JobRow",
    "JobState",
    "JobStore",
    "Journal",
    "Model",
    "Permission",
    "Remote",
    "RepositoryFacts",
    "Sandbox",
    "SandboxProvider",
    "TreeEntry",
    "Workspace",
]
