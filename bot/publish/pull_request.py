"""A patch becomes commits and a pull request: what an earlier try may have done is looked for, so once is enough."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from bot.domain.conversation import Json
from bot.domain.errors import AmbiguousWrite, ProviderError, Unprocessable, UserError
from bot.domain.events import BranchMoved, Noted, PullRequestOpened
from bot.domain.job import Change, FileStat, Job, Patch, PullRequest
from bot.ports import Commit, Entry, GitHub, Journal, TreeEntry
from bot.publish.branch import BRANCH_CREATED, HEAD_COMMIT, TAKEN_UP, foreign, own_commits, written
from bot.publish.policy import PathRules, problems
from bot.publish.whole import beside, whole

BRANCH_ADVANCED = "branch_advanced"
OPENED = "pull_request"
REVIEW_ASKED = "review_asked"
MOST_TEXT_BYTES = 1_000_000  # of JSON for the files within one tree; GitHub fails above about 2.5 million


async def publish(
    job: Job,
    patch: Patch,
    *,
    base_tree: str,
    branch: str,
    message: str,
    title: str,
    body: str,
    base_branch: str,
    draft: bool,
    reviewers: Sequence[str],
    still_allowed: Callable[[], Awaitable[None]],
    github: GitHub,
    journal: Journal,
    known: int | None = None,
) -> PullRequest:
    """Push the patch to the job's branch and open the pull request, or find what an earlier try left.

    `base_tree` is that of the patch's base. `known`: the pull request that the branch has already: it is worded anew,
    and a draft no longer unless `draft`.
    `reviewers` are logins; each is asked once, whatever became of the others.
    `still_allowed` looks the requester's permission up again before anything is written and raises UserError.
    Raises UserError for paths that never leave, whoever accepted the patch, and when people got in between (branch
    deleted, moved, its base gone or its pull request over); ProviderError otherwise.
    """
    _refuse_forbidden(patch)
    tried = bool(written(journal, BRANCH_ADVANCED))  # only then there may be a pull request of this job's
    async with beside(github.ref(branch)) as looking:
        await still_allowed()
        if known is not None and not tried:
            await _look_whether_open(known, github=github)
        lies = _own(job, branch, await looking, journal)
    head = written(journal, HEAD_COMMIT)
    if head.get("tree") != patch.tree_sha:
        head = await _commit(patch, lies, base_tree=base_tree, message=message, github=github, journal=journal)
    await whole(_advance(job, branch, lies, head["sha"], github=github, journal=journal))

    async def shown() -> PullRequest:
        if known is not None:
            opened = await _renewed(known, title=title, body=body, draft=draft, github=github, journal=journal)
        else:
            found = await github.find_pull_request(branch) if tried else None
            opened = found or await _opened(
                title=title,
                body=body,
                branch=branch,
                base_branch=base_branch,
                draft=draft,
                github=github,
                journal=journal,
            )
        await _is_open(opened, patch.stats, journal)
        return opened

    opened = await whole(shown())
    for login in {login.lower(): login for login in reviewers}.values():
        await _ask_for_review(opened.number, login, github=github, journal=journal)
    return opened


async def find_published(*, stats: tuple[FileStat, ...], github: GitHub, journal: Journal) -> None:
    """Record what a publication did that was broken off before it could: a cut connection, a killed worker.

    `stats` are the change's. Raises ProviderError, LeaseLost.
    """
    head = written(journal, HEAD_COMMIT).get("sha")
    branch = (written(journal, TAKEN_UP) or written(journal, BRANCH_CREATED)).get("branch")
    if head is None or branch is None or await github.ref(branch) != head:
        return
    await _is_moved(branch, head, journal)
    if (opened := await github.find_pull_request(branch)) is not None:
        await _is_open(opened, stats, journal)


async def _is_moved(branch: str, head: str, journal: Journal) -> None:
    if written(journal, BRANCH_ADVANCED).get("sha") != head:
        moved = BranchMoved(branch=branch, head_sha=head, created=False)
        await journal.record(moved, entry=Entry("effect", BRANCH_ADVANCED, {"branch": branch, "sha": head}))


async def _is_open(opened: PullRequest, stats: tuple[FileStat, ...], journal: Journal) -> None:
    if not written(journal, OPENED):
        created = not written(journal, TAKEN_UP)
        event = PullRequestOpened(opened.number, opened.url, opened.draft, stats, created=created)
        await journal.record(event, entry=Entry("effect", OPENED, {"number": opened.number}))


async def _look_whether_open(number: int, *, github: GitHub) -> None:
    state = (await github.pull_request(number)).state
    if state != "open":
        raise UserError(f"#{number} was {state} while the job ran, so nothing was pushed to it.")


def _refuse_forbidden(patch: Patch) -> None:
    """The rules no configuration can lift; sizes and denied paths were decided by the gate before."""
    size = sum(len(change.content or b"") for change in patch.changes)
    unlimited = PathRules(
        max_files=len(patch.changes),
        max_lines=patch.additions + patch.deletions,
        max_file_bytes=size,
        max_total_bytes=size,
    )
    found = problems(patch, unlimited)
    if found:
        raise UserError(f"This change may not be published: {' '.join(found)}")


def _own(job: Job, branch: str, lies: str | None, journal: Journal) -> str:
    """What lies on the branch, where that is this job's. Raises UserError."""
    if lies is None:
        raise _deleted(branch)
    if lies not in own_commits(journal):
        raise foreign(job, branch, lies)
    return lies


async def _commit(patch: Patch, parent: str, *, base_tree: str, message: str, github: GitHub, journal: Journal) -> Json:
    """What the journal says of the commit that holds the patch."""
    commit = await _as_it_was_left(parent, patch, github=github, journal=journal)
    if commit is None:
        tree = await _tree(patch, base_tree, github=github)
        commit = await github.create_commit(message, tree=tree, parents=[parent])
    data = {"sha": commit.sha, "tree": patch.tree_sha, "verified": commit.verified, "reason": commit.reason}
    await journal.record(entry=Entry("effect", HEAD_COMMIT, data))
    return data


async def _as_it_was_left(parent: str, patch: Patch, *, github: GitHub, journal: Journal) -> Commit | None:
    """The commit that was taken up, where nothing was changed since: no empty one goes on top."""
    if parent != written(journal, TAKEN_UP).get("sha"):
        return None
    left = await github.commit(parent)
    return left if left.tree_sha == patch.tree_sha else None


async def _tree(patch: Patch, base_tree: str, *, github: GitHub) -> str:
    """GitHub's tree for the patch, compared by its name with the one git names here, and so in every file.

    Texts go within the tree, as each blob is a write more, and writes keep a second between them; should GitHub make
    something else of them, they go as blobs too. Raises ProviderError when it holds something else even then.
    """
    tree = ""
    for most_text in (MOST_TEXT_BYTES, 0):
        tree = await github.create_tree(base_tree, await _entries(patch.changes, most_text, github=github))
        if tree == patch.tree_sha:
            return tree
    raise ProviderError("github", f"built the tree {tree[:40]} where {patch.tree_sha} was checked")


async def _entries(changes: Sequence[Change], most_text: int, *, github: GitHub) -> list[TreeEntry]:
    """Up to `most_text` bytes of the files stay text; the others are blobs, each compared with what git names it."""
    stored: set[str] = set()
    entries = []
    for change in changes:
        content, sha = change.content, None
        text, size = (None, 0) if content is None else _text(content, most_text)
        if content is not None and text is None and (sha := blob_sha(content)) not in stored:
            answer = await github.create_blob(content)
            if answer != sha:
                raise ProviderError("github", f"stored another file than was sent ({answer[:40]} for {sha})")
            stored.add(sha)
        if content is not None and text is not None:
            most_text -= size
        entries.append(TreeEntry(change.path, change.mode or change.was_mode or "100644", sha, text))
    return entries


def _text(content: bytes, most: int) -> tuple[str | None, int]:
    """Of a file that JSON holds as it is, and its bytes there: a letter that is not ASCII's takes up to six."""
    if content and len(content) <= most and b"\0" not in content:
        with suppress(UnicodeDecodeError):
            size = len(json.dumps(text := content.decode()))
            return (text, size) if size <= most else (None, 0)
    return None, 0


async def _advance(job: Job, branch: str, lies: str, head: str, *, github: GitHub, journal: Journal) -> None:
    """Fast-forward the branch; what lies there instead is never overwritten."""
    if lies != head:
        try:
            await github.advance_ref(branch, head)
        except Unprocessable:
            if _own(job, branch, await github.ref(branch), journal) != head:
                raise
    await _is_moved(branch, head, journal)


async def _opened(
    *, title: str, body: str, branch: str, base_branch: str, draft: bool, github: GitHub, journal: Journal
) -> PullRequest:
    """A lost answer or "exists already" is settled by looking; trying again is harmless, as GitHub refuses twins."""
    for _ in range(3):
        try:
            return await github.create_pull_request(title=title, body=body, head=branch, base=base_branch, draft=draft)
        except AmbiguousWrite:
            found = await github.find_pull_request(branch)
        except Unprocessable as error:
            if draft and "draft pull requests are not supported" in error.message.lower():
                draft = False
                await journal.record(Noted("This repository has no draft pull requests, so it is opened as ready."))
                continue
            found = await github.find_pull_request(branch)
            if found is None:
                raise _worded(error, branch, base_branch) from error
        if found is not None:
            return found
    raise _unconfirmed(branch)


async def _renewed(number: int, *, title: str, body: str, draft: bool, github: GitHub, journal: Journal) -> PullRequest:
    """Each step sets a state, so doing it twice changes nothing. What people took out of draft is never put back."""
    if not written(journal, OPENED):
        await github.update_pull_request(number, title=title, body=body)
        if not draft:
            try:
                await github.mark_ready(number)
            except ProviderError as error:
                await journal.record(Noted(f"#{number} could not be taken out of draft: {error.message}"))
    return await github.pull_request(number)


async def _ask_for_review(number: int, reviewer: str, *, github: GitHub, journal: Journal) -> None:
    """A courtesy: GitHub refuses the author and people without access, and the job is done all the same."""
    key = f"{REVIEW_ASKED} {reviewer}"
    if written(journal, key):
        return
    words: tuple[Noted, ...] = ()
    try:
        await github.request_review(number, reviewer)
    except ProviderError as error:
        words = (Noted(f"The review of @{reviewer} could not be requested: {error.message}"),)
    await journal.record(*words, entry=Entry("effect", key, {"number": number, "login": reviewer}))


def blob_sha(content: bytes) -> str:
    """Git's name for a file's bytes."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _worded(error: Unprocessable, branch: str, base_branch: str) -> Exception:
    said = error.message.lower()
    if "pullrequest base" in said:
        return UserError(f"The branch `{base_branch}` is gone: the work is on `{branch}`, open a pull request by hand.")
    if "already exists" in said:
        return _unconfirmed(branch)
    if "pullrequest head" in said:
        return _deleted(branch)
    return error


def _unconfirmed(branch: str) -> ProviderError:
    return ProviderError("github", f"the pull request of {branch} could not be confirmed", retryable=True)


def _deleted(branch: str) -> UserError:
    return UserError(f"The branch `{branch}` was deleted while the job ran: ask again in a new comment to start over.")
