"""What must be when a job of the storm has ended, and what a broken promise is called in the table."""

from typing import NamedTuple

from bot.domain.events import Conclusion, JobFinished
from bot.domain.job import Job
from bot.report.wording import branch_name
from bot.standins.github import LoopbackGitHub
from bot.standins.github.state import Issue, Repository
from bot.stores import Store
from tests.storm.scene import Claude, expected_tree, times_counted

LOST, PULLS, COMMENTS, CHECKS = "lost", "duplicate pull requests", "duplicate comments", "duplicate checks"
OPEN, PAID, TWICE, BESIDES = "checks left open", "answers paid twice", "mutating tools run twice", "anything else wrong"
PROMISES = (LOST, PULLS, COMMENTS, CHECKS, OPEN, PAID, TWICE, BESIDES)


class Fault(NamedTuple):
    promise: str
    found: str


async def broken(
    github: LoopbackGitHub, repository: Repository, store: Store, claude: Claude, *, job: Job, issue: Issue, killed: int
) -> tuple[Fault, ...]:
    """Each promise of `PROMISES` that this job broke; its workers were `killed` so often."""
    states = [row.state for row in await store.jobs_on(repository.id, issue.number)]
    ends = [recorded.event for recorded in await store.events(job.id) if isinstance(recorded.event, JobFinished)]
    branch, opened = branch_name(job), github.pull_requests(repository)
    pulls = [pull for pull in opened if pull.pull and pull.pull.head_ref == branch]
    said = [comment.body for comment in github.comments(repository, issue.number) if comment.author.type == "Bot"]
    found = [] if states == ["succeeded"] else [Fault(LOST, str(states))]
    if [end.conclusion for end in ends] != [Conclusion.SUCCESS]:
        found.append(Fault(BESIDES, f"ended: {ends}"))
    if len(pulls) != 1:
        found.append(Fault(PULLS if pulls else LOST, f"{len(pulls)} pull requests"))
    else:
        found += _faults_of_tree(github.tree(repository, branch))
    if len(said) != 1:
        found.append(Fault(COMMENTS if said else LOST, f"{len(said)} comments"))
    elif pulls and f"**Opened #{pulls[0].number}**" not in said[0]:
        found.append(Fault(LOST, "the comment does not tell the end"))
    found += _faults_of_checks(github, repository, job, pulls)
    return (*found, *_faults_of_calls(claude, issue.number, killed))


def _faults_of_tree(tree: dict[str, tuple[str, str]]) -> list[Fault]:
    if (times := times_counted(tree)) > 1:
        return [Fault(TWICE, f"the command ran {times} times")]
    return [] if tree == expected_tree() else [Fault(BESIDES, "the tree is wrong")]


def _faults_of_checks(github: LoopbackGitHub, repository: Repository, job: Job, pulls: list[Issue]) -> list[Fault]:
    runs = [run for run in github.check_runs(repository) if run.external_id == job.id]
    left = [run for run in runs if run.status != "completed"]
    faults = [Fault(OPEN, f"{len(left)} open checks")] if left else []
    if len({run.head_sha for run in runs}) != len(runs):
        faults.append(Fault(CHECKS, "two checks on one commit"))
    on_head = [run.conclusion for run in runs if pulls and pulls[0].pull and run.head_sha == pulls[0].pull.head_sha]
    return faults if on_head == ["success"] else [*faults, Fault(BESIDES, f"the head's checks: {on_head}")]


def _faults_of_calls(claude: Claude, issue: int, killed: int) -> list[Fault]:
    asked = {turn: times for (number, turn), times in claude.asked.items() if number == issue}
    faults = [Fault(PAID, f"reply {turn}") for number, turn in claude.paid_twice if number == issue]
    if (again := sum(asked.values()) - len(asked)) > killed:
        faults.append(Fault(PAID, f"{again} requests too many"))
    return [*faults, Fault(BESIDES, "the tree was lost")] if issue in claude.lost else faults
