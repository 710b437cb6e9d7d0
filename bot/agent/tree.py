"""The work tree beside the journal: what each call changed, so that a new sandbox can be given the same tree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bot.agent.ground import digest
from bot.domain.conversation import Json
from bot.domain.errors import LimitReached, ProviderError, UserError
from bot.ports import ExportedFile, Journal, Sandbox, Workspace

KEPT_BYTES = 20_000_000  # of changed files, a job
NOT_KEPT = (
    "The work tree cannot be kept ({reason}): if the bot is interrupted now, the agent starts again from the base."
)
State = tuple[str | None, str | None]  # git mode and SHA-256 of a path, both None for one that is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTree:
    """What the journal knows of the tree: `states` of the paths that differ from the base.

    `stored`: SHA-256 of the contents kept so far, `size` bytes in all. `gap`: why the tree is not recorded any more,
    "" while it is; `warned`: a watcher was told. `touched`: a call that may change it was made. `number`: the sandbox's
    for the recorded tree, 0 when it told none.
    """

    states: Mapping[str, State] = field(default_factory=dict)
    stored: frozenset[str] = frozenset()
    size: int = 0
    gap: str = ""
    warned: bool = False
    touched: bool = False
    number: int = 0

    def is_still(self, number: int) -> bool:
        """Whether a sandbox that tells this number holds what was recorded last, so that nobody has to look."""
        return number != 0 and number == self.number

    def after(self, data: Json) -> "KeptTree":
        """The tree after one more call, by what its entry says."""
        if "gap" in data:
            return replace(self, gap=data["gap"], warned=True, touched=True, number=0)
        back = frozenset(data["same"])
        changed = {path: (mode, sha256) for path, mode, sha256 in data["set"]}
        return replace(
            self,
            states={path: state for path, state in self.states.items() if path not in back} | changed,
            stored=self.stored | {sha256 for _, sha256 in changed.values() if sha256 is not None},
            size=self.size + data["bytes"],
            gap="",
            touched=True,
            number=data.get("number", 0),
        )

    def void(self) -> "KeptTree":
        """The base again; what was stored still is."""
        return replace(self, states={}, gap="", touched=False, number=0)


@dataclass(frozen=True, slots=True)
class Step:
    """What one call changed. `data` goes into its journal entry, `contents` beside it; `warning` is for watchers.

    `data` is `{"set": [[path, mode, SHA-256], ...], "same": [paths that are the base's again], "bytes": new ones}`,
    or `{"gap": reason}` when the tree could not be recorded.
    """

    data: Json
    contents: Mapping[str, bytes] = field(default_factory=dict)
    warning: str = ""


async def step(tree: KeptTree, *, workspace: Workspace, sandbox: Sandbox) -> Step:
    """How the sandbox's tree differs from the recorded one. Raises ProviderError when the sandbox is lost."""
    try:
        found = await workspace.changes(sandbox, max_bytes=KEPT_BYTES)
    except (UserError, LimitReached) as error:
        return _gap(tree, str(error))
    except ProviderError as error:
        if error.retryable:
            raise
        return _gap(tree, str(error))
    return difference(tree, found)


async def begun(files: Sequence[ExportedFile], *, workspace: Workspace, sandbox: Sandbox) -> Step:
    """The base with the work of an earlier run put in, as the first thing the journal knows of the tree."""
    await workspace.put_changes(sandbox, files)
    return await step(KeptTree(), workspace=workspace, sandbox=sandbox)


def difference(tree: KeptTree, found: Sequence[ExportedFile]) -> Step:
    """Only what is new since the last record, and only contents that no record of this job holds yet."""
    contents: dict[str, bytes] = {}
    now: dict[str, State] = {}
    for file in found:
        sha256 = None if file.content is None else digest(file.content)
        now[file.path] = (file.mode, sha256)
        if sha256 is not None and file.content is not None and sha256 not in tree.stored:
            contents[sha256] = file.content
    size = sum(map(len, contents.values()))
    if tree.size + size > KEPT_BYTES:
        return _gap(tree, f"its changes are larger than {KEPT_BYTES // 1_000_000} MB in all")
    data = {
        "set": [[path, *state] for path, state in now.items() if tree.states.get(path) != state],
        "same": [path for path in tree.states if path not in now],
        "bytes": size,
    }
    return Step(data, contents)


def _gap(tree: KeptTree, reason: str) -> Step:
    return Step({"gap": reason}, warning="" if tree.warned else NOT_KEPT.format(reason=reason.rstrip(".")))


async def put_back(tree: KeptTree, *, workspace: Workspace, sandbox: Sandbox, journal: Journal) -> bool:
    """Give a sandbox that holds the base the recorded tree. False, and the base again, when that cannot be done.

    Raises ProviderError when the sandbox is lost.
    """
    files = None if tree.gap else await _files(tree, journal)
    if not files:
        return files is not None
    await workspace.put_changes(sandbox, files)
    left = await step(tree, workspace=workspace, sandbox=sandbox)
    if left.data == {"set": [], "same": [], "bytes": 0}:
        return True
    await workspace.put_changes(sandbox, [ExportedFile(file.path, None, None) for file in files])
    await workspace.fill(sandbox)
    return False


async def _files(tree: KeptTree, journal: Journal) -> list[ExportedFile] | None:
    """None when a content is not there any more."""
    files = []
    for path, (mode, sha256) in tree.states.items():
        content = None if sha256 is None else await journal.content(sha256)
        if sha256 is not None and (content is None or digest(content) != sha256):
            return None
        files.append(ExportedFile(path, mode, content))
    return files
