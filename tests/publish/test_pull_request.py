"""From a patch to a pull request on a GitHub of our own: the same tree, once, whatever breaks in between."""

import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from bot.domain.errors import ProviderError, UserError
from bot.domain.events import BranchMoved, Noted, PullRequestOpened
from bot.domain.job import Change, FileStat, Mode, Patch, PullRequest
from bot.github.installation import App
from bot.github.rest import RestGitHub
from bot.publish.branch import drop_branch, start_branch, take_up_branch
from bot.publish.pull_request import blob_sha, publish
from bot.standins.github import DropReply, DropRequest, Reply
from tests.fakes import Crash, MemoryJournal
from tests.github.scene import FILES, Scene, scene

pytestmark = pytest.mark.anyio

BRANCH = "backspace/1-0a1b2c3d"
START = "Start work on issue 1\n\n[skip ci]"
CHANGES: tuple[Change, ...] = (
    Change("bin/go", "100755", b"#!/bin/sh\necho go\n"),
    Change("crlf.txt", "100644", b"one\r\n2\r\n", "100644"),
    Change("data.bin", "100644", bytes(range(256)) * 40),
    Change("docs/\u65e5\u672c\u8a9e caf\u00e9.md", "100644", "h\u00e9\n".encode()),
    Change("empty", "100644", b""),
    Change("latest", "120000", b"src/app.py"),
    Change("run.sh", "100644", b"#!/bin/sh\n", "100755"),
    Change("src/app.py", "100644", b"print('hello')\n", "100644"),
    Change("src/old.py", None, None, "100644"),
    Change("twin", "100644", b"print('hello')\n"),
)
SMALL = (CHANGES[2], CHANGES[7], CHANGES[8])  # a blob, a text within the tree, and one that goes
BASE: Mapping[str, tuple[Mode, bytes]] = {
    path: ("100755" if path == "run.sh" else "100644", content) for path, content in FILES.items()
}


def expected(changes: tuple[Change, ...] = CHANGES) -> dict[str, tuple[str, str]]:
    """Path to mode and blob of the tree that must come out."""
    files: dict[str, tuple[str, str]] = {path: (mode, blob_sha(content)) for path, (mode, content) in BASE.items()}
    for change in changes:
        files.pop(change.path, None)
        if change.mode is not None and change.content is not None:
            files[change.path] = (change.mode, blob_sha(change.content))
    return files


def patch_on(base_sha: str, root: Path, changes: tuple[Change, ...] = CHANGES) -> Patch:
    """The patch as real git names it."""
    env = {
        "PATH": os.environ["PATH"],
        "GIT_DIR": str(root / "patch.git"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(root),
    }

    def git(*arguments: str, stdin: bytes = b"") -> str:
        ran = subprocess.run(["git", *arguments], input=stdin, env=env, check=True, capture_output=True)
        return ran.stdout.decode().strip()

    git("init", "-q", "--bare")
    contents = {blob_sha(content): content for _, content in BASE.values()}
    contents |= {blob_sha(change.content): change.content for change in changes if change.content is not None}
    for sha, content in contents.items():
        assert git("hash-object", "-w", "--stdin", stdin=content) == sha
    lines = "".join(f"{mode} {sha}\t{path}\0" for path, (mode, sha) in expected(changes).items())
    git("update-index", "-z", "--index-info", stdin=lines.encode())
    stats = tuple(FileStat(change.path, 1, 0) for change in changes)
    return Patch(
        base_sha=base_sha, tree_sha=git("write-tree"), changes=changes, stats=stats, diff="", diff_id="0123456789ab"
    )


async def allowed() -> None:
    return


def base_tree(here: Scene) -> str:
    return here.repository.git.commit(here.head).tree


async def start(here: Scene, github: RestGitHub, journal: MemoryJournal, branch: str = BRANCH) -> str:
    return await start_branch(
        here.job(),
        branch=branch,
        message=START,
        base_sha=here.head,
        base_tree=base_tree(here),
        github=github,
        journal=journal,
    )


async def finish(
    here: Scene,
    github: RestGitHub,
    journal: MemoryJournal,
    patch: Patch,
    *,
    branch: str = BRANCH,
    draft: bool = False,
    base_branch: str = "main",
    reviewers: Sequence[str] = ("alice",),
    still_allowed: Callable[[], Awaitable[None]] = allowed,
    title: str = "Say hello",
    known: int | None = None,
) -> PullRequest:
    return await publish(
        here.job(),
        patch,
        base_tree=base_tree(here),
        branch=branch,
        message="Say hello\n\nCo-authored-by: alice <1+alice@users.noreply.github.com>",
        title=title,
        body="Fixes #1",
        base_branch=base_branch,
        draft=draft,
        reviewers=reviewers,
        still_allowed=still_allowed,
        github=github,
        journal=journal,
        known=known,
    )


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as made:
        yield made


@pytest.fixture
async def github(here: Scene) -> AsyncIterator[RestGitHub]:
    async with here.app().repository(here.installation_id, here.repo) as client:
        yield client


@pytest.fixture
def patch(here: Scene, tmp_path: Path) -> Patch:
    return patch_on(here.head, tmp_path)


def the_one_pull_request(here: Scene, branch: str = BRANCH) -> int:
    (issue,) = [i for i in here.loopback.pull_requests(here.repository) if i.pull and i.pull.head_ref == branch]
    return issue.number


async def test_the_pull_request_holds_the_patch_byte_for_byte(here: Scene, github: RestGitHub, patch: Patch) -> None:
    journal = MemoryJournal()
    base = here.head
    started = await start(here, github, journal)
    opened = await finish(here, github, journal, patch)
    assert here.loopback.tree(here.repository, BRANCH) == expected()
    for change in CHANGES:
        if change.content is not None:
            assert here.loopback.file(here.repository, BRANCH, change.path) == change.content
    head = await github.commit(opened.head_sha)
    assert (head.tree_sha, head.verified) == (patch.tree_sha, True)
    assert here.head == base, "the default branch is never touched"
    assert journal.events == [
        BranchMoved(branch=BRANCH, head_sha=started, created=True),
        BranchMoved(branch=BRANCH, head_sha=opened.head_sha, created=False),
        PullRequestOpened(number=opened.number, url=opened.url, draft=False, stats=patch.stats),
    ]
    (issue,) = here.loopback.pull_requests(here.repository)
    assert issue.pull is not None
    assert [reviewer.login for reviewer in issue.pull.requested_reviewers] == ["alice"]


async def test_doing_it_again_changes_nothing(here: Scene, github: RestGitHub, patch: Patch) -> None:
    journal = MemoryJournal()
    started = await start(here, github, journal)
    opened = await finish(here, github, journal, patch)
    events, seen = list(journal.events), len(here.loopback.requests)
    assert await start(here, github, journal) == opened.head_sha != started
    assert await finish(here, github, journal, patch) == opened
    assert {row.method for row in here.loopback.requests[seen:]} == {"GET"}
    assert journal.events == events


async def test_a_second_patch_follows_on_the_first(
    here: Scene, github: RestGitHub, patch: Patch, tmp_path: Path
) -> None:
    journal = MemoryJournal()
    await start(here, github, journal)
    first = await finish(here, github, journal, patch)
    (tmp_path / "again").mkdir()
    more = patch_on(here.head, tmp_path / "again", (*CHANGES[:-1], Change("later", "100644", b"later\n")))
    second = await finish(here, github, journal, more)
    assert (second.number, second.head_sha != first.head_sha) == (first.number, True)
    assert here.loopback.tree(here.repository, BRANCH) == expected(more.changes)


class Dying(httpx.AsyncBaseTransport):
    """A real connection; the process dies when the answer to write number `last` has come, 0: never."""

    def __init__(self, last: int) -> None:
        self._real, self._left = httpx.AsyncHTTPTransport(verify=False), last  # plain HTTP: no certificates to load

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._real.handle_async_request(request)
        self._left -= request.method in ("POST", "PATCH")
        if self._left == 0 and request.method != "GET":
            await response.aclose()
            raise Crash
        return response

    async def aclose(self) -> None:
        await self._real.aclose()


async def whole_job(
    here: Scene, journal: MemoryJournal, patch: Patch, branch: str, *, through: httpx.AsyncBaseTransport
) -> None:
    app = App(here.registered.app.id, here.registered.private_key_pem, api_url=here.url, transport=through)
    async with app.repository(here.installation_id, here.repo) as github:
        await start(here, github, journal, branch)
        await finish(here, github, journal, patch, branch=branch)


@pytest.fixture
def small(here: Scene, tmp_path: Path) -> Patch:
    return patch_on(here.head, tmp_path, SMALL)


async def test_a_crash_after_any_write_leads_to_one_pull_request(here: Scene, small: Patch) -> None:
    """R2, R4: killed once after each effect, before anything of it is recorded, then started again."""
    writes = ["token", "commit", "ref", "blob", "tree", "commit", "advance", "pull", "review"]
    for dies_after in range(1, len(writes) + 1):
        journal, branch = MemoryJournal(), f"backspace/1-{dies_after:08x}"
        with pytest.raises(Crash):
            await whole_job(here, journal, small, branch, through=Dying(dies_after))
        await whole_job(here, journal, small, branch, through=Dying(0))
        assert here.loopback.tree(here.repository, branch) == expected(SMALL)
        assert the_one_pull_request(here, branch)
        assert len(journal.of(PullRequestOpened)) == 1
        assert [move.created for move in journal.of(BranchMoved)] == [True, False]
    await whole_job(here, MemoryJournal(), small, "backspace/1-ffffffff", through=Dying(len(writes) + 1))


async def test_a_crash_after_any_record_leads_to_one_pull_request(
    here: Scene, github: RestGitHub, small: Patch
) -> None:
    async def job(journal: MemoryJournal, branch: str) -> None:
        await start(here, github, journal, branch)
        await finish(here, github, journal, small, branch=branch)

    whole = MemoryJournal()
    await job(whole, "backspace/2-ffffffff")
    for crash_after in range(1, whole.records + 1):
        journal, branch = MemoryJournal(crash_after=crash_after), f"backspace/2-{crash_after:08x}"
        with pytest.raises(Crash):
            await job(journal, branch)
        await job(MemoryJournal(journal.entries()), branch)
        assert here.loopback.tree(here.repository, branch) == expected(SMALL)
        assert the_one_pull_request(here, branch)


@pytest.mark.parametrize("fault", [DropReply(), DropRequest(), Reply(502)], ids=["effect", "no-effect", "502"])
async def test_an_answer_lost_at_any_write_makes_nothing_twice(
    here: Scene, github: RestGitHub, patch: Patch, fault: DropReply | DropRequest | Reply
) -> None:
    """R4. Red when `_created` or `_opened` does not look before it tries again (tried)."""
    tries = 1 if isinstance(fault, DropReply) else 2
    for path in ("git/refs$", "git/blobs$", "git/trees$", "git/commits$", "/pulls$", "requested_reviewers$"):
        here.loopback.faults.add(fault, method="POST", path=path)
    here.loopback.faults.add(fault, method="PATCH", path="git/refs/")
    journal = MemoryJournal()
    await start(here, github, journal)
    await finish(here, github, journal, patch)
    assert here.loopback.tree(here.repository, BRANCH) == expected()
    assert the_one_pull_request(here)
    assert [ref for ref in here.loopback.refs(here.repository) if ref.startswith("refs/heads/")] == [
        f"refs/heads/{BRANCH}",
        "refs/heads/main",
    ]
    assert (here.asked("POST", "/git/refs"), here.asked("POST", "/pulls")) == (tries, tries)
    assert len(journal.of(PullRequestOpened)) == 1


async def test_a_pull_request_that_shows_up_late_is_not_opened_twice(
    here: Scene, github: RestGitHub, patch: Patch
) -> None:
    journal = MemoryJournal()
    await start(here, github, journal)
    here.loopback.faults.add(DropReply(), method="POST", path="/pulls$")
    here.loopback.faults.add(Reply(200, body=[]), method="GET", path="/pulls$", times=3)
    await finish(here, github, journal, patch)
    assert the_one_pull_request(here)


async def test_a_branch_that_shows_up_late_is_not_made_twice(here: Scene, github: RestGitHub) -> None:
    journal = MemoryJournal()
    here.loopback.faults.add(DropReply(), method="POST", path="git/refs$")
    here.loopback.faults.add(Reply(404), method="GET", path="git/ref/", times=3)
    assert await start(here, github, journal) == here.loopback.refs(here.repository)[f"refs/heads/{BRANCH}"]
    assert here.asked("POST", "/git/commits") == 1


def point(here: Scene, branch: str, sha: str) -> None:
    """Somebody with a push right moves a branch."""
    path = here.loopback.root / f"{here.repository.id}.git"
    subprocess.run(["git", "-C", str(path), "update-ref", f"refs/heads/{branch}", sha], check=True)


async def test_a_foreign_commit_on_the_branch_is_named_and_kept(here: Scene, github: RestGitHub) -> None:
    """S21. Red when `start_branch` takes any head (tried)."""
    point(here, BRANCH, here.head)
    with pytest.raises(UserError) as caught:
        await start(here, github, MemoryJournal())
    assert str(caught.value) == (
        f"The branch `{BRANCH}` of acme/widget holds the commit {here.head[:10]}, which this job did not make. "
        "Nothing was overwritten: delete the branch, then ask again in a new comment."
    )
    assert here.loopback.refs(here.repository)[f"refs/heads/{BRANCH}"] == here.head


async def test_a_commit_somebody_pushes_in_mid_job_is_kept(here: Scene, github: RestGitHub, patch: Patch) -> None:
    journal = MemoryJournal()
    started = await start(here, github, journal)
    base = await github.commit(started)
    theirs = await github.create_commit("Mine!", tree=base.tree_sha, parents=[started])
    point(here, BRANCH, theirs.sha)
    with pytest.raises(UserError, match="which this job did not make"):
        await finish(here, github, journal, patch)
    assert here.loopback.refs(here.repository)[f"refs/heads/{BRANCH}"] == theirs.sha
    assert here.loopback.pull_requests(here.repository) == []


async def test_a_commit_pushed_at_the_last_moment_is_kept(here: Scene, github: RestGitHub, patch: Patch) -> None:
    """The push comes after our look and before our fast-forward: GitHub refuses, and so do we."""
    journal = MemoryJournal()
    started = await start(here, github, journal)
    base = await github.commit(started)
    theirs = await github.create_commit("Mine!", tree=base.tree_sha, parents=[started])
    looks = {"object": {"sha": started}}
    here.loopback.faults.add(Reply(200, body=looks), method="GET", path="git/ref/")
    point(here, BRANCH, theirs.sha)
    with pytest.raises(UserError, match="which this job did not make"):
        await finish(here, github, journal, patch)
    assert here.loopback.refs(here.repository)[f"refs/heads/{BRANCH}"] == theirs.sha


async def test_a_branch_deleted_in_mid_job_stays_deleted(here: Scene, github: RestGitHub, patch: Patch) -> None:
    journal = MemoryJournal()
    await start(here, github, journal)
    await github.delete_ref(BRANCH)
    with pytest.raises(UserError, match=f"The branch `{BRANCH}` was deleted while the job ran"):
        await finish(here, github, journal, patch)
    assert here.loopback.refs(here.repository) == {"refs/heads/main": here.head}


async def test_a_base_that_is_gone_is_said_in_words(here: Scene, github: RestGitHub, patch: Patch) -> None:
    journal = MemoryJournal()
    await start(here, github, journal)
    with pytest.raises(UserError, match=f"The branch `release` is gone: the work is on `{BRANCH}`"):
        await finish(here, github, journal, patch, base_branch="release")


@pytest.mark.parametrize("path", [".github/workflows/ci.yml", ".git/config", "CODEOWNERS", "a\u202eb"])
async def test_the_publisher_itself_refuses_forbidden_paths(
    here: Scene, github: RestGitHub, patch: Patch, path: str
) -> None:
    """S22, whatever the gate before said. Red without `_refuse_forbidden` (tried)."""
    hostile = replace(patch, changes=(*patch.changes, Change(path, "100644", b"x")))
    with pytest.raises(UserError, match="This change may not be published: `"):
        await finish(here, github, MemoryJournal(), hostile)
    assert here.loopback.requests == []


async def test_permission_lost_before_the_end_writes_nothing(here: Scene, github: RestGitHub, patch: Patch) -> None:
    """S10. Red when `publish` does not ask `still_allowed` (tried)."""
    journal = MemoryJournal()
    await start(here, github, journal)

    async def still_allowed() -> None:
        here.loopback.set_role(here.repository, "alice", "read")
        if (await github.permission("alice")).role not in ("write", "maintain", "admin"):
            raise UserError("@alice needs write access to acme/widget.")

    seen = len(here.loopback.requests)
    with pytest.raises(UserError, match="needs write access"):
        await finish(here, github, journal, patch, still_allowed=still_allowed)
    assert {row.method for row in here.loopback.requests[seen:]} == {"GET"}
    assert here.loopback.pull_requests(here.repository) == []


@pytest.mark.parametrize(("path", "words"), [("git/blobs$", "stored another file"), ("git/trees$", "built the tree")])
async def test_objects_other_than_the_checked_ones_never_reach_the_branch(
    here: Scene, github: RestGitHub, patch: Patch, path: str, words: str
) -> None:
    journal = MemoryJournal()
    started = await start(here, github, journal)
    here.loopback.faults.add(Reply(201, body={"sha": "e" * 40}), method="POST", path=path, times=2)
    with pytest.raises(ProviderError, match=words):
        await finish(here, github, journal, patch)
    assert await github.ref(BRANCH) == started


async def test_texts_go_within_the_tree_and_as_blobs_when_github_makes_another_tree_of_them(
    here: Scene, github: RestGitHub, patch: Patch
) -> None:
    """Each blob is a write more, a second after the one before it. Red without the second try: seen."""
    for branch, others, blobs in (("backspace/1-one", 0, 2), ("backspace/1-two", 1, 2 + 8)):
        journal, before = MemoryJournal(), here.asked("POST", "/git/blobs")
        here.loopback.faults.add(Reply(201, body={"sha": "e" * 40}), method="POST", path="git/trees$", times=others)
        await start(here, github, journal, branch)
        await finish(here, github, journal, patch, branch=branch)
        assert here.loopback.tree(here.repository, branch) == expected()
        assert here.asked("POST", "/git/blobs") - before == blobs, "data.bin and the empty file; then all, twins once"


async def test_a_text_that_is_too_long_for_a_tree_in_json_goes_as_a_blob(
    here: Scene, github: RestGitHub, tmp_path: Path
) -> None:
    """Red when its own bytes are counted: each letter here takes six in JSON (seen)."""
    russian = Change("notes.txt", "100644", ("\u0436" * 200_000).encode())
    journal, before = MemoryJournal(), here.asked("POST", "/git/blobs")
    await start(here, github, journal)
    await finish(here, github, journal, patch_on(here.head, tmp_path, (russian,)))
    assert here.asked("POST", "/git/blobs") - before == 1


async def test_a_publication_asks_for_nothing_that_nobody_can_have_changed(
    here: Scene, github: RestGitHub, small: Patch
) -> None:
    """Its calls, one after the other; each costs a requester the time to GitHub and back, a write a second more."""
    journal = MemoryJournal()
    await github.remote()
    seen = len(here.loopback.requests)
    await start(here, github, journal)
    await finish(here, github, journal, small)
    asked = [(row.method, row.path.rpartition("/widget/")[2]) for row in here.loopback.requests[seen:]]
    assert asked == [
        ("POST", "git/commits"),
        ("POST", "git/refs"),
        ("GET", f"git/ref/heads/{BRANCH}"),
        ("POST", "git/blobs"),
        ("POST", "git/trees"),
        ("POST", "git/commits"),
        ("PATCH", f"git/refs/heads/{BRANCH}"),
        ("POST", "pulls"),
        ("POST", "pulls/2/requested_reviewers"),
    ]


async def test_everybody_named_is_asked_once_and_a_refusal_is_noted_and_not_fatal(
    here: Scene, github: RestGitHub, patch: Patch
) -> None:
    """Red when one refusal ends the asking, or when one entry of the journal stands for all reviewers (tried)."""
    journal = MemoryJournal()
    here.loopback.set_role(here.repository, "bob", "write")
    await start(here, github, journal)
    for _ in range(2):
        await finish(here, github, journal, patch, reviewers=("stranger", "alice", "bob", "Alice"))
    (noted,) = journal.of(Noted)
    assert noted.text.startswith("The review of @stranger could not be requested: ")
    (issue,) = here.loopback.pull_requests(here.repository)
    assert issue.pull is not None
    assert sorted(reviewer.login for reviewer in issue.pull.requested_reviewers) == ["alice", "bob"]
    assert here.asked("POST", "requested_reviewers") == 3


async def test_nobody_is_asked_when_nobody_is_named(here: Scene, github: RestGitHub, patch: Patch) -> None:
    journal = MemoryJournal()
    await start(here, github, journal)
    await finish(here, github, journal, patch, reviewers=())
    assert here.asked("POST", "requested_reviewers") == 0


async def test_a_plan_without_drafts_gets_a_ready_pull_request(here: Scene, github: RestGitHub, patch: Patch) -> None:
    journal = MemoryJournal()
    await start(here, github, journal)
    refusal = {"message": "Draft pull requests are not supported in this repository."}
    here.loopback.faults.add(Reply(422, body=refusal), method="POST", path="/pulls$")
    opened = await finish(here, github, journal, patch, draft=True)
    assert not opened.draft
    assert [noted.text for noted in journal.of(Noted)] == [
        "This repository has no draft pull requests, so it is opened as ready."
    ]


async def test_a_draft_is_a_draft(here: Scene, github: RestGitHub, patch: Patch) -> None:
    journal = MemoryJournal()
    await start(here, github, journal)
    assert (await finish(here, github, journal, patch, draft=True)).draft


async def test_a_branch_nothing_came_of_is_dropped(here: Scene, github: RestGitHub) -> None:
    journal = MemoryJournal()
    await start(here, github, journal)
    assert await drop_branch(branch=BRANCH, github=github, journal=journal)
    assert await drop_branch(branch=BRANCH, github=github, journal=journal)
    assert here.loopback.refs(here.repository) == {"refs/heads/main": here.head}


async def test_a_branch_with_work_on_it_is_kept(here: Scene, github: RestGitHub, patch: Patch) -> None:
    journal = MemoryJournal()
    await start(here, github, journal)
    await finish(here, github, journal, patch)
    assert not await drop_branch(branch=BRANCH, github=github, journal=journal)
    assert not await drop_branch(branch=BRANCH, github=github, journal=MemoryJournal())
    assert f"refs/heads/{BRANCH}" in here.loopback.refs(here.repository)


# ---------------------------------------------------------------- going on in the pull request of an earlier job

ON_TOP = (*SMALL, Change("more.txt", "100644", b"more\n"))


@pytest.fixture
def more(here: Scene, tmp_path: Path) -> Patch:
    (tmp_path / "more").mkdir()
    return patch_on(here.head, tmp_path / "more", ON_TOP)


async def draft_of(here: Scene, github: RestGitHub, patch: Patch, branch: str = BRANCH) -> PullRequest:
    """What another job left."""
    journal = MemoryJournal()
    await start(here, github, journal, branch)
    return await finish(here, github, journal, patch, branch=branch, draft=True, title="Unfinished")


async def go_on(
    here: Scene, github: RestGitHub, journal: MemoryJournal, patch: Patch, left: PullRequest, branch: str = BRANCH
) -> PullRequest:
    await take_up_branch(branch=branch, head_sha=left.head_sha, journal=journal)
    return await finish(here, github, journal, patch, branch=branch, known=left.number)


def assert_gone_on_with(here: Scene, left: PullRequest, branch: str = BRANCH) -> None:
    """One pull request, ready and worded anew, with one commit more than it had."""
    number = the_one_pull_request(here, branch)
    issue = here.repository.issues[number]
    assert issue.pull is not None
    assert (number, issue.title, issue.pull.draft, issue.state) == (left.number, "Say hello", False, "open")
    assert here.loopback.tree(here.repository, branch) == expected(ON_TOP)
    assert here.repository.git.commit(issue.pull.head_sha).parents == (left.head_sha,)


async def test_work_goes_on_in_the_same_pull_request(
    here: Scene, github: RestGitHub, small: Patch, more: Patch
) -> None:
    left, journal = await draft_of(here, github, small), MemoryJournal()
    opened = await go_on(here, github, journal, more, left)
    assert_gone_on_with(here, left)
    assert journal.events == [
        BranchMoved(branch=BRANCH, head_sha=left.head_sha, created=False),
        BranchMoved(branch=BRANCH, head_sha=opened.head_sha, created=False),
        PullRequestOpened(left.number, left.url, draft=False, stats=more.stats, created=False),
    ]
    events, seen = list(journal.events), len(here.loopback.requests)
    assert await go_on(here, github, journal, more, left) == opened
    assert {row.method for row in here.loopback.requests[seen:]} == {"GET"}
    assert journal.events == events


async def test_a_crash_while_work_goes_on_leads_to_one_commit_and_one_pull_request(
    here: Scene, github: RestGitHub, small: Patch, more: Patch
) -> None:
    """R2, R4: killed after the writes that a job of its own has not, then started again."""
    writes = ["token", "blob", "tree", "commit", "advance", "words", "ready", "review"]
    key, at = here.registered.private_key_pem, here.url
    for last in ("advance", "words", "ready"):
        branch, journal, dying = f"backspace/3-{last}", MemoryJournal(), Dying(writes.index(last) + 1)
        left = await draft_of(here, github, small, branch)
        with pytest.raises(Crash):
            async with App(here.registered.app.id, key, api_url=at, transport=dying).repository(
                here.installation_id, here.repo
            ) as short_lived:
                await go_on(here, short_lived, journal, more, left, branch)
        await go_on(here, github, journal, more, left, branch)
        assert_gone_on_with(here, left, branch)
        assert len(journal.of(PullRequestOpened)) == 1


async def test_a_crash_after_any_record_while_work_goes_on_leads_to_one_commit(
    here: Scene, github: RestGitHub, small: Patch, more: Patch
) -> None:
    for crash_after in range(1, 6):
        branch, journal = f"backspace/4-{crash_after:08x}", MemoryJournal(crash_after=crash_after)
        left = await draft_of(here, github, small, branch)
        with pytest.raises(Crash):
            await go_on(here, github, journal, more, left, branch)
        await go_on(here, github, MemoryJournal(journal.entries()), more, left, branch)
        assert_gone_on_with(here, left, branch)


async def test_an_answer_lost_while_work_goes_on_makes_nothing_twice(
    here: Scene, github: RestGitHub, small: Patch, more: Patch
) -> None:
    left = await draft_of(here, github, small)
    for method, path in (("PATCH", "git/refs/"), ("PATCH", "/pulls/"), ("POST", "/graphql$"), ("GET", "/pulls/")):
        here.loopback.faults.add(DropReply(), method=method, path=path)
    await go_on(here, github, MemoryJournal(), more, left)
    assert_gone_on_with(here, left)


async def test_work_that_nothing_was_added_to_gets_no_empty_commit(
    here: Scene, github: RestGitHub, small: Patch
) -> None:
    left, journal = await draft_of(here, github, small), MemoryJournal()
    opened = await go_on(here, github, journal, small, left)
    assert (opened.head_sha, opened.draft) == (left.head_sha, False)


async def test_a_draft_that_cannot_be_made_ready_is_noted_and_not_fatal(
    here: Scene, github: RestGitHub, small: Patch, more: Patch
) -> None:
    left, journal = await draft_of(here, github, small), MemoryJournal()
    here.loopback.faults.add(Reply(200, body={"data": None, "errors": [{"message": "No!"}]}), path="/graphql$")
    assert (await go_on(here, github, journal, more, left)).draft
    (noted,) = journal.of(Noted)
    assert noted.text.startswith(f"#{left.number} could not be taken out of draft: 'No!'")


async def test_what_people_took_out_of_draft_is_not_put_back(
    here: Scene, github: RestGitHub, small: Patch, more: Patch
) -> None:
    left, journal = await draft_of(here, github, small), MemoryJournal()
    await github.mark_ready(left.number)
    await take_up_branch(branch=BRANCH, head_sha=left.head_sha, journal=journal)
    assert not (await finish(here, github, journal, more, draft=True, known=left.number)).draft


async def test_a_pull_request_closed_while_the_job_ran_gets_nothing(
    here: Scene, github: RestGitHub, small: Patch, more: Patch
) -> None:
    """Red when `publish` does not look whether it is open (seen: a commit that nobody reviews)."""
    left, journal = await draft_of(here, github, small), MemoryJournal()
    here.loopback.close_issue(here.repository, left.number, "alice")
    with pytest.raises(UserError, match=f"#{left.number} was closed while the job ran, so nothing was pushed to it."):
        await go_on(here, github, journal, more, left)
    assert not await drop_branch(branch=BRANCH, github=github, journal=journal), "what was taken up is not dropped"
    assert await github.ref(BRANCH) == left.head_sha


async def test_a_merge_right_after_the_push_is_no_failure(
    here: Scene, github: RestGitHub, small: Patch, more: Patch
) -> None:
    """The worker died after its last record, and somebody was fast."""
    left, journal = await draft_of(here, github, small), MemoryJournal()
    await go_on(here, github, journal, more, left)
    await here.loopback.merge(here.repository, left.number, "alice")
    assert (await go_on(here, github, journal, more, left)).state == "merged"


async def test_a_commit_pushed_to_the_draft_in_mid_job_is_kept(
    here: Scene, github: RestGitHub, small: Patch, more: Patch
) -> None:
    """S21. Red when the head that was taken up is not compared (seen)."""
    left, journal = await draft_of(here, github, small), MemoryJournal()
    base = await github.commit(left.head_sha)
    theirs = await github.create_commit("Mine!", tree=base.tree_sha, parents=[left.head_sha])
    point(here, BRANCH, theirs.sha)
    with pytest.raises(UserError, match="which this job did not make"):
        await go_on(here, github, journal, more, left)
    assert here.loopback.refs(here.repository)[f"refs/heads/{BRANCH}"] == theirs.sha
