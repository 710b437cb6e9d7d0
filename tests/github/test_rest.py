"""The GitHub port against a GitHub of our own, over a real socket and with real git objects."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain.errors import AmbiguousWrite, NotFound, ProviderError, Unprocessable
from bot.domain.events import Conclusion
from bot.domain.job import Repo
from bot.github.rest import CHECK_NAME, RestGitHub
from bot.ports import CheckRun, Permission, RepositoryFacts, TreeEntry
from bot.publish.pull_request import blob_sha
from bot.report import check_run
from bot.standins.github import DropReply, DropRequest
from bot.standins.github.state import PullRequest
from tests.github.scene import FILES, Scene, scene
from tests.github.wire import REPO, Wire

pytestmark = pytest.mark.anyio

RUNNING = CheckRun(status="in_progress", conclusion=None, title="Reading", summary="- [ ] Implement")
DONE = CheckRun(status="completed", conclusion=Conclusion.SUCCESS, title="Opened #2", summary="all", text="log")


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as made:
        yield made


@pytest.fixture
async def github(here: Scene) -> AsyncIterator[RestGitHub]:
    async with here.app().repository(here.installation_id, here.repo) as client:
        yield client


async def start(here: Scene, github: RestGitHub, branch: str = "backspace/1-aa") -> str:
    base = await github.commit(here.head)
    commit = await github.create_commit("Start\n\n[skip ci]", tree=base.tree_sha, parents=[here.head])
    await github.create_ref(branch, commit.sha)
    return commit.sha


async def pushed(here: Scene, github: RestGitHub, branch: str = "backspace/1-aa") -> str:
    head = await start(here, github, branch)
    tree = await github.create_tree(
        (await github.commit(head)).tree_sha, [TreeEntry("new.txt", "100644", await github.create_blob(b"x"))]
    )
    commit = await github.create_commit("Work", tree=tree, parents=[head])
    await github.advance_ref(branch, commit.sha)
    return commit.sha


async def test_the_app_knows_its_own_name(here: Scene) -> None:
    assert await here.app().login() == "tiny-backspace[bot]"
    assert await here.app(api_path="/api/v3").login() == "tiny-backspace[bot]"


async def test_facts(here: Scene, github: RestGitHub) -> None:
    assert await github.repository() == RepositoryFacts(
        repo=here.repo, default_branch="main", private=True, archived=False
    )
    issue = await github.issue(1)
    assert (issue.title, issue.body, issue.state, issue.author.login) == (
        "Say hello",
        "It says hullo.",
        "open",
        "alice",
    )
    assert not issue.is_pull_request
    with pytest.raises(NotFound):
        await github.issue(99)


async def test_the_subjects_of_the_last_eight_commits_are_asked_for_once(here: Scene, github: RestGitHub) -> None:
    base = await github.commit(here.head)
    head = here.head
    for number in range(9):
        head = (await github.create_commit(f"\n {number} \r\n\nbody", tree=base.tree_sha, parents=[head])).sha
    assert await github.subjects(head) == ("8", "7", "6", "5", "4", "3", "2", "1")
    assert await github.subjects(here.head) == ("Import the files",)
    assert here.asked("GET", "/commits") == 2
    with pytest.raises(NotFound):
        await github.subjects("d" * 40)


async def test_permission_is_the_live_role_of_a_numeric_id(here: Scene, github: RestGitHub) -> None:
    alice = here.loopback.user("alice")
    assert await github.permission("alice") == Permission(alice.id, "write", False)
    assert (await github.permission("carol")).role == "read"
    here.loopback.set_role(here.repository, "alice", "read")
    assert (await github.permission("alice")).role == "read"
    with pytest.raises(NotFound):
        await github.permission("nobody")
    with pytest.raises(ProviderError):
        await github.permission("../../alice")


async def test_git_fetches_with_the_header_and_without_it_sees_nothing(here: Scene, github: RestGitHub) -> None:
    remote = await github.remote()
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "HOME": "/nonexistent"}
    header = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraHeader", "GIT_CONFIG_VALUE_0": remote.header}
    for extra, code in ((header, 0), ({}, 128)):
        process = await asyncio.create_subprocess_exec(
            "git",
            "ls-remote",
            remote.url,
            env=env | extra,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode == code
        assert (here.head.encode() in out) == (code == 0)


async def test_a_branch_is_made_moved_forward_and_deleted(here: Scene, github: RestGitHub) -> None:
    assert await github.ref("backspace/1-aa") is None
    head = await start(here, github)
    assert await github.ref("backspace/1-aa") == head
    with pytest.raises(Unprocessable, match="already exists"):
        await github.create_ref("backspace/1-aa", here.head)
    with pytest.raises(Unprocessable, match="not a fast forward"):
        await github.advance_ref("backspace/1-aa", here.head)
    await github.delete_ref("backspace/1-aa")
    await github.delete_ref("backspace/1-aa")
    assert await github.ref("backspace/1-aa") is None


@pytest.mark.parametrize("branch", ["main", "backspace", "Backspace/x", "heads/backspace/x", "x/backspace/1"])
async def test_no_other_branch_is_ever_written(branch: str) -> None:
    """S21. Red when `_own` lets every branch pass (tried)."""
    wire = Wire()
    async with wire.app().repository(5, REPO) as github:
        for write in (
            github.create_ref(branch, "a" * 40),
            github.advance_ref(branch, "a" * 40),
            github.delete_ref(branch),
        ):
            with pytest.raises(Unprocessable, match="the bot never writes to the branch"):
                await write
    assert wire.requests == []


async def test_objects_are_the_ones_git_would_make_and_the_commit_is_verified(here: Scene, github: RestGitHub) -> None:
    for content in (b"", b"\0\xff\r\n", "ü".encode(), b"x" * 100_000):
        assert await github.create_blob(content) == blob_sha(content)
    base = await github.commit(here.head)
    tree = await github.create_tree(
        base.tree_sha,
        [
            TreeEntry("bin/go", "100755", await github.create_blob(b"go")),
            TreeEntry("link", "120000", await github.create_blob(b"src/app.py")),
            TreeEntry("src/old.py", "100644", None),
        ],
    )
    commit = await github.create_commit("Words", tree=tree, parents=[here.head])
    assert (commit.tree_sha, commit.verified, commit.reason) == (tree, True, "valid")
    await github.create_ref("backspace/1-aa", commit.sha)
    found = here.loopback.tree(here.repository, "backspace/1-aa")
    assert found["bin/go"] == ("100755", blob_sha(b"go"))
    assert found["link"] == ("120000", blob_sha(b"src/app.py"))
    assert set(found) == {"bin/go", "link"} | set(FILES) - {"src/old.py"}
    with pytest.raises(ProviderError):
        await github.create_tree(base.tree_sha, [TreeEntry("not/there", "100644", None)])


async def test_a_pull_request_is_found_again_by_its_branch(here: Scene, github: RestGitHub) -> None:
    head = await pushed(here, github)
    assert await github.find_pull_request("backspace/1-aa") is None
    made = await github.create_pull_request(title="T", body="B", head="backspace/1-aa", base="main", draft=True)
    assert (made.draft, made.head_sha) == (True, head)
    assert await github.find_pull_request("backspace/1-aa") == made
    assert await github.find_pull_request("backspace/1-a") is None
    assert (await github.issue(made.number)).is_pull_request
    with pytest.raises(Unprocessable, match="A pull request already exists for acme:backspace/1-aa"):
        await github.create_pull_request(title="T", body="B", head="backspace/1-aa", base="main", draft=True)
    await github.request_review(made.number, "alice")
    assert [u.login for u in pull_of(here, made.number).requested_reviewers] == ["alice"]
    with pytest.raises(Unprocessable, match="Review"):
        await github.request_review(made.number, "tiny-backspace[bot]")


async def test_a_pull_request_is_worded_anew_and_taken_out_of_draft(here: Scene) -> None:
    """Below an Enterprise Server's address, too, where GraphQL lies beside the REST API."""
    for number, api_path in ((2, ""), (3, "/api/v3")):
        async with here.app(api_path=api_path).repository(here.installation_id, here.repo) as github:
            branch = f"backspace/1-{number}a"
            await pushed(here, github, branch)
            made = await github.create_pull_request(title="T", body="B", head=branch, base="main", draft=True)
            await github.update_pull_request(made.number, title="Finished", body="Fixes #1")
            here.loopback.faults.add(DropReply(), method="POST", path="/graphql$")
            for _ in range(2):
                await github.mark_ready(made.number)
            assert await github.pull_request(made.number) == replace(made, draft=False)
            (issue,) = [one for one in here.loopback.pull_requests(here.repository) if one.number == made.number]
            assert (issue.title, issue.body) == ("Finished", "Fixes #1")
            assert here.asked("POST", "/graphql") == 2 * (number - 1), "asked once, and once more for the lost answer"


async def test_a_draft_that_github_keeps_one_is_told_with_its_reason(here: Scene, github: RestGitHub) -> None:
    await pushed(here, github)
    made = await github.create_pull_request(title="T", body="B", head="backspace/1-aa", base="main", draft=True)
    (token,) = here.loopback.world.tokens.values()
    token.permissions["contents"] = "read"
    with pytest.raises(Unprocessable, match="'Resource not accessible by integration'"):
        await github.mark_ready(made.number)
    assert (await github.pull_request(made.number)).draft


@pytest.mark.parametrize("state", ["closed", "merged"])
async def test_a_pull_request_that_is_over_says_how_it_ended(here: Scene, github: RestGitHub, state: str) -> None:
    await pushed(here, github)
    made = await github.create_pull_request(title="T", body="B", head="backspace/1-aa", base="main", draft=False)
    if state == "merged":
        await here.loopback.merge(here.repository, made.number, "alice")
    else:
        here.loopback.close_issue(here.repository, made.number, "alice")
    assert (await github.pull_request(made.number)).state == state


def pull_of(here: Scene, number: int) -> PullRequest:
    pull = next(issue for issue in here.loopback.pull_requests(here.repository) if issue.number == number).pull
    assert pull is not None
    return pull


async def test_github_says_why_a_pull_request_cannot_be(here: Scene, github: RestGitHub) -> None:
    with pytest.raises(Unprocessable, match="PullRequest head invalid"):
        await github.create_pull_request(title="T", body="B", head="backspace/none", base="main", draft=False)
    await github.create_ref("backspace/1-aa", here.head)
    with pytest.raises(Unprocessable, match="No commits between main and backspace/1-aa"):
        await github.create_pull_request(title="T", body="B", head="backspace/1-aa", base="main", draft=False)


async def test_the_own_comment_is_found_by_its_marker_and_edited(here: Scene, github: RestGitHub) -> None:
    here.loopback.comment(here.repository, 1, "alice", "<!-- marker --> a copy by somebody else")
    assert await github.find_comment(1, "<!-- marker -->") is None
    made = await github.create_comment(1, "<!-- marker --> Working on it")
    here.loopback.comment(here.repository, 1, "alice", "<!-- marker --> another copy")
    assert await github.find_comment(1, "<!-- marker -->") == made
    await github.update_comment(made.id, "<!-- marker --> Done")
    found = await github.find_comment(1, "<!-- marker -->")
    assert found is not None
    assert (found.id, found.body) == (made.id, "<!-- marker --> Done")


async def test_the_newest_comments_of_a_long_thread_are_searched(here: Scene, github: RestGitHub) -> None:
    old = await github.create_comment(1, "old marker")
    for number in range(250):
        here.loopback.comment(here.repository, 1, "alice", f"{number}")
    assert await github.find_comment(1, "old marker") == old
    for number in range(100):
        here.loopback.comment(here.repository, 1, "alice", f"{number}")
    new = await github.create_comment(1, "new marker")
    assert await github.find_comment(1, "new marker") == new
    assert await github.find_comment(1, "old marker") is None


async def test_reactions_may_be_given_twice(here: Scene, github: RestGitHub) -> None:
    comment = here.loopback.comment(here.repository, 1, "alice", "/backspace x")
    for _ in range(2):
        await github.react_to_comment(comment.id, "eyes")
        await github.react_to_issue(1, "rocket")
    assert len(comment.reactions) == 1


def test_the_check_has_one_name() -> None:
    """S27."""
    assert CHECK_NAME == check_run.CHECK_NAME


async def test_a_check_run_is_found_again_and_completed(here: Scene, github: RestGitHub) -> None:
    head = await start(here, github)
    assert await github.find_check_run(head, "k7f3") is None
    made = await github.create_check_run(head, RUNNING, external_id="k7f3", details_url="http://x/jobs/k7f3")
    assert await github.find_check_run(head, "k7f3") == made
    assert await github.find_check_run(head, "other") is None
    await github.update_check_run(made, DONE)
    (run,) = here.loopback.check_runs(here.repository)
    assert (run.name, run.status, run.conclusion, run.title, run.text) == (
        "backspace",
        "completed",
        "success",
        "Opened #2",
        "log",
    )
    too_long = CheckRun(status="in_progress", conclusion=None, title="T", summary="x" * 65_536)
    with pytest.raises(Unprocessable):
        await github.update_check_run(made, too_long)


@pytest.mark.parametrize("fault", [DropReply(), DropRequest()], ids=["after-the-effect", "before-the-effect"])
async def test_a_dropped_answer_to_a_write_that_counts_is_settled_by_a_look(
    here: Scene, github: RestGitHub, fault: DropReply | DropRequest
) -> None:
    """R4: there is exactly one, or, for what GitHub would make twice, none and the caller is told.

    Red when `made` writes again instead of looking (tried).
    """
    happened = isinstance(fault, DropReply)
    head = await pushed(here, github)

    here.loopback.faults.add(fault, method="POST", path="/git/refs$")
    await github.create_ref("backspace/1-bb", head)
    assert await github.ref("backspace/1-bb") == head

    here.loopback.faults.add(fault, method="POST", path="/pulls$")
    await github.create_pull_request(title="T", body="B", head="backspace/1-aa", base="main", draft=False)
    assert len(here.loopback.pull_requests(here.repository)) == 1

    here.loopback.faults.add(fault, method="POST", path="/comments$")
    here.loopback.faults.add(fault, method="POST", path="/check-runs$")
    if happened:
        comment = await github.create_comment(1, "marker\n\nwords ")
        assert await github.find_comment(1, "marker") == comment
        made = await github.create_check_run(head, RUNNING, external_id="k", details_url="")
        assert await github.find_check_run(head, "k") == made
    else:
        with pytest.raises(AmbiguousWrite):
            await github.create_comment(1, "marker")
        with pytest.raises(AmbiguousWrite):
            await github.create_check_run(head, RUNNING, external_id="k", details_url="")
    assert len(here.loopback.comments(here.repository, 1)) == happened
    assert len(here.loopback.check_runs(here.repository)) == happened


async def test_a_dropped_answer_to_what_may_be_repeated_is_repeated(here: Scene, github: RestGitHub) -> None:
    head = await start(here, github)
    comment = await github.create_comment(1, "x")
    base = await github.commit(head)
    for method, path in (
        ("GET", "/issues/1$"),
        ("POST", "/git/blobs$"),
        ("POST", "/git/trees$"),
        ("POST", "/git/commits$"),
        ("PATCH", "/git/refs/"),
        ("PATCH", "/issues/comments/"),
        ("POST", "/reactions$"),
        ("DELETE", "/git/refs/"),
    ):
        here.loopback.faults.add(DropReply(), method=method, path=path)
    await github.issue(1)
    blob = await github.create_blob(b"new")
    tree = await github.create_tree(base.tree_sha, [TreeEntry("new", "100644", blob)])
    commit = await github.create_commit("Work", tree=tree, parents=[head])
    await github.advance_ref("backspace/1-aa", commit.sha)
    await github.update_comment(comment.id, "y")
    await github.react_to_issue(1, "eyes")
    assert await github.ref("backspace/1-aa") == commit.sha
    await github.delete_ref("backspace/1-aa")
    assert here.loopback.comments(here.repository, 1)[0].body == "y"
    assert len(here.repository.issues[1].reactions) == 1


async def test_a_slow_answer_ends_in_time(here: Scene) -> None:
    here.loopback.faults.delay_all_ms = 400
    async with here.app(timeout_s=0.1).repository(here.installation_id, here.repo) as github:
        with pytest.raises(ProviderError, match=r"no answer: \w+Timeout") as caught:
            await github.issue(1)
    assert caught.value.retryable


async def test_a_repository_renamed_in_mid_job_is_followed(here: Scene, github: RestGitHub) -> None:
    await pushed(here, github)
    here.loopback.rename(here.repository, "gadget")
    made = await github.create_pull_request(title="T", body="B", head="backspace/1-aa", base="main", draft=False)
    assert await github.find_pull_request("backspace/1-aa") == made
    assert (await github.remote()).url.endswith("/acme/gadget.git")
    assert (await github.repository()).repo == Repo(here.repository.id, "acme", "gadget")


async def test_a_token_opens_no_other_repository(here: Scene, github: RestGitHub) -> None:
    """S8, seen from GitHub's side."""
    await github.issue(1)
    other = here.loopback.add_repository("acme", "secret", private=True)
    async with here.app().repository(here.installation_id, Repo(other.id, "acme", "secret")) as outside:
        with pytest.raises(ProviderError, match="installation must include acme/secret"):
            await outside.repository()


async def test_an_app_removed_in_mid_job_is_said_so(here: Scene, github: RestGitHub) -> None:
    await github.issue(1)
    here.loopback.uninstall(here.loopback.world.installations[here.installation_id])
    with pytest.raises(NotFound, match="the App is not installed for acme/widget any more"):
        await github.issue(1)


async def test_a_missing_right_is_named(here: Scene) -> None:
    del here.loopback.world.installations[here.installation_id].permissions["checks"]
    async with here.app().repository(here.installation_id, here.repo) as github:
        with pytest.raises(ProviderError, match="checks: write"):
            await github.issue(1)


async def test_one_connection_serves_a_whole_job_and_its_token_is_gone_at_the_end(here: Scene) -> None:
    async with here.app().repository(here.installation_id, here.repo) as github:
        for _ in range(5):
            await github.issue(1)
        assert len(here.loopback.world.tokens) == 1
    assert here.loopback.world.tokens == {}
    assert here.loopback.most_connections == 1
