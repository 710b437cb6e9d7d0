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
from bot.ports.store import Accepted, Claim, Entry, JobRow, JobState, JobStore, Journal, Lease
from bot.ports.upkeep import Census, DayBudgets, Ledger, Listed, Overview, Purse, Shortfall, Untold

__all__ = [
    "Accepted",
    "AppHooks",
    "BaseFile",
    "Census",
    "CheckRun",
    "Claim",
    "Comment",
    "Commit",
    "DayBudgets",
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
    "Lease",
    "Ledger",
    "Listed",
    "Model",
    "Overview",
    "Permission",
    "Purse",
    "RecentComment",
    "Remote",
    "RepositoryFacts",
    "Sandbox",
    "SandboxProvider",
    "Shortfall",
    "Survey",
    "TreeEntry",
    "Untold",
    "Workspace",
]
