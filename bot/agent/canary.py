"""A worthless token in the sandbox: where it turns up, somebody had the agent show what it works in."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict

from bot.domain.conversation import texts_in
from bot.domain.errors import BotError, ProviderError
from bot.domain.events import JobEvent
from bot.ports import Entry, Journal, Sandbox
from bot.report.leaks import Leaks

PLACE = ".config/backspace/env"  # below the home; bash reads it for each command of the agent's
VARIABLE = "BACKSPACE_TOKEN"
PUT = 'umask 077 && mkdir -p "$HOME/${1%/*}" && cat > "$HOME/$1"'
WHERE = {"model": "what the agent wrote", "tool": "what a command showed it", "effect": "what it was told"}


class CanaryFound(BotError):
    """The run is worth a look by people; nothing of it is published."""


class Canary:
    """Of one job: every attempt has the same token, which tells nothing about `secret`, what it is made from."""

    def __init__(self, secret: str) -> None:
        self._token = f"bst_{hashlib.sha256(b'canary ' + secret.encode()).hexdigest()[:40]}"
        self._leaks = Leaks([self._token])

    async def put(self, sandbox: Sandbox) -> None:
        """Into its home, and by that into the environment of the agent's commands. Raises ProviderError."""
        script = f"unset BASH_ENV; export {VARIABLE}={self._token}\n".encode()
        result = await sandbox.exec(["sh", "-c", PUT, "sh", PLACE], stdin=script, timeout_s=30)
        if result.exit_code != 0:
            words = result.stderr.decode(errors="replace").strip()[:300]
            raise ProviderError(sandbox.provider, f"its home cannot be written: {words}")

    def check(self, data: str | bytes, where: str) -> None:
        """`where` completes "... turned up in {where}". Raises CanaryFound, however the token is spelt."""
        if self._leaks.found_in(data):
            raise CanaryFound(
                f"A token that lies in the sandbox as a trap turned up in {where}: something made the agent show its "
                "environment. Nothing was published; read the issue and the live log before asking again."
            )


class Watched:
    """A job's journal that takes nothing with the token in it: no reply, no result, no file of the work tree."""

    def __init__(self, journal: Journal, canary: Canary) -> None:
        self._journal, self._canary = journal, canary

    def entries(self) -> tuple[Entry, ...]:
        return self._journal.entries()

    async def content(self, sha256: str) -> bytes | None:
        return await self._journal.content(sha256)

    async def record(self, *events: JobEvent, entry: Entry | None = None, before: Sequence[Entry] = ()) -> None:
        """Raises CanaryFound before anything is written, and what the journal's own raises."""
        for one in (*before, *(() if entry is None else (entry,))):
            self._canary.check("\n".join(texts_in(one.data)), WHERE[one.kind])
            for content in one.contents.values():
                self._canary.check(content, "a file of the work tree")
        for event in events:
            self._canary.check("\n".join(texts_in(asdict(event))), "what was to be reported")
        await self._journal.record(*events, entry=entry, before=before)
