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
from bot.ports.notices import AccessChanged, AccessState, Notice, RequestDeleted, Standing, ThreadStopped
from bot.ports.sandbox import BaseFile, ExecResult, ExportedFile, Sandbox, SandboxProvider, Workspace
from bot.ports.store import Accepted, Claim, Entry, JobRow, JobState, JobStore, Journal, Lease, Queue
from bot.ports.upkeep import Census, DayBudgets, Ledger, Listed, Overview, Purse, Shortfall, Upkeep

__all__ = [
    "Accepted",
    "AccessChanged",
    "AccessState",
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
    "Notice",
    "Overview",
    "Permission",
    "Purse",
    "Queue",
    "RecentComment",
    "Remote",
    "RepositoryFacts",
    "RequestDeleted",
    "Sandbox",
    "SandboxProvider",
    "Shortfall",
    "Standing",
    "Survey",
    "ThreadStopped",
    "TreeEntry",
    "Upkeep",
    "Workspace",
]
