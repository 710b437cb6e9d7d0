"""Jobs and deliveries to put into a store."""

from bot.domain.job import Issue, Job, Person, Repo, Start
from bot.ports import Accepted, Claim
from bot.stores import Store


def a_job(name: str, *, installation: int = 1, repo: int = 7, issue: int | None = None, prompt: str = "Fix it") -> Job:
    """Each in a thread of its own, unless `issue` says which."""
    number = issue if issue is not None else 1 + sum(ord(char) * 131**n for n, char in enumerate(name)) % 10**9
    asker = Person(42, "octocat")
    return Job(
        id=f"job-{name}",
        key=f"key-{name}",
        watch_key="watch",
        delivery=f"guid-{name}",
        installation_id=installation,
        repo=Repo(repo, "octo-org", "widgets"),
        default_branch="main",
        issue=Issue(number=number, title="It breaks", body="Always.", author=asker),
        command=Start(prompt),
        requested_by=asker,
        comment_id=9,
    )


async def deliver(store: Store, job: Job, *, guid: str | None = None) -> Accepted:
    return await store.accept(guid=guid or job.delivery, event="issue_comment", action="created", job=job)


async def claimed(store: Store, name: str, *, worker: str = "worker") -> Claim:
    """A new job, accepted and claimed."""
    await deliver(store, a_job(name))
    claim = await store.claim(worker, job_id=f"job-{name}")
    assert claim is not None
    return claim
