"""Jobs that nobody asked for, to have something in the store."""

from bot.domain.job import Issue, Job, Person, Repo, Start


def job(number: int) -> Job:
    alice = Person(login="alice", id=1)
    return Job(
        id=f"benchmark{number:03}",
        key=f"1:1:comment:{number}",
        watch_key="a-watch-key-of-the-benchmark-long-enough",
        delivery=str(number),
        installation_id=1,
        repo=Repo(1, "acme", "widget"),
        default_branch="main",
        issue=Issue(number=number, title="A greeting", body="Please see to it.", author=alice),
        command=Start("Fix the greeting."),
        requested_by=alice,
        comment_id=number,
    )
