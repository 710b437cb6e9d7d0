"""The host's git, run on the bot's own stores alone: no configuration, hook, helper, filter or prompt but ours."""

import asyncio
import os
import re
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bot.domain.errors import LimitReached, ProviderError

PROVIDER = "git"
TIMEOUT_S = 120.0
CONFIG = {
    "core.hooksPath": "/dev/null",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "core.quotePath": "false",
    "credential.helper": "",
    "fetch.fsckObjects": "true",
    # Blemishes of old imports that cannot hurt; GitHub takes them too.
    "fetch.fsck.badTimezone": "ignore",
    "fetch.fsck.missingEmail": "ignore",
    "fetch.fsck.missingNameBeforeEmail": "ignore",
    "fetch.fsck.missingSpaceBeforeDate": "ignore",
    "fetch.fsck.missingSpaceBeforeEmail": "ignore",
    "fetch.fsck.zeroPaddedFilemode": "ignore",
    "fetch.unpackLimit": "1",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "http.followRedirects": "false",  # a redirect would carry the Authorization header to another host
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    "submodule.recurse": "false",
    "transfer.bundleURI": "false",
}
ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "http:https:file",
    "GIT_ASKPASS": "",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
}
PASSED_ON = ("PATH", "http_proxy", "https_proxy", "HTTPS_PROXY", "NO_PROXY", "no_proxy", "GIT_SSL_CAINFO")
ONCE_AGAIN = re.compile(
    r"resolve host|timed? ?out|early EOF|hung up|RPC failed|error: (429|5\d\d)|[Cc]onnection|Failed to connect|too slow"
)
REFUSED = re.compile(r"could not read Username|Authentication failed")
FILE_BLOCK = 512  # bytes; the unit of `ulimit -f`, by POSIX


class GitFailed(Exception):
    """Git's exit code was not 0; `words` is what it said, with no credential in it."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words

    def as_provider_error(self, what: str) -> ProviderError:
        if REFUSED.search(self.words):
            return ProviderError(PROVIDER, f"{what}: the remote wants another credential (or hides the repository)")
        line = next((line for line in self.words.split("\n") if line.startswith(("fatal:", "error:"))), self.words)
        return ProviderError(PROVIDER, f"{what}: {line[:300]}", retryable=bool(ONCE_AGAIN.search(self.words)))


@dataclass(frozen=True, slots=True)
class Git:
    """One bare repository. `passed_on` is the part of the bot's environment that names proxies and certificates."""

    directory: Path
    passed_on: Mapping[str, str] = field(default_factory=dict)

    def environment(self, *, header: str = "", extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """`header` travels as configuration in the environment: argv is readable by every user of the machine."""
        config = CONFIG | ({"http.extraHeader": header} if header else {})
        settings = {"GIT_CONFIG_COUNT": str(len(config))}
        for number, (key, value) in enumerate(config.items()):
            settings |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return {"PATH": os.defpath, **self.passed_on, **ENVIRONMENT, **settings, **(extra or {})} | {
            "GIT_DIR": str(self.directory)
        }

    async def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        header: str = "",
        extra: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
        max_file_bytes: int | None = None,
    ) -> bytes:
        """Standard output. Raises GitFailed, LimitReached past `max_file_bytes` in a file, ProviderError when slow."""
        process = await asyncio.create_subprocess_exec(
            *_limited(arguments, max_file_bytes),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment(header=header, extra=extra),
            cwd="/",
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(timeout_s):
                out, err = await process.communicate(stdin)
        except TimeoutError:
            message = f"git {arguments[0]} took longer than {timeout_s:.0f} s"
            raise ProviderError(PROVIDER, message, retryable=True) from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            words = without_credentials(err.decode(errors="replace").strip(), header)
            if max_file_bytes is not None and _hit_the_file_limit(words):
                raise LimitReached(f"The repository is larger than the {max_file_bytes >> 20} MiB allowed here.")
            raise GitFailed(words)
        return out


def without_credentials(words: str, header: str) -> str:
    """What git said, less the header's value and any user part of a URL."""
    for secret in header.partition(":")[2].split():
        if len(secret) > len("bearer"):
            words = words.replace(secret, "***")
    return re.sub(r"//[^/@\s]+@", "//", words)


def _hit_the_file_limit(words: str) -> bool:
    """The receiving process died of SIGXFSZ without a word, or was refused the bytes; a broken pack has an error."""
    return "too large" in words or ("invalid index-pack output" in words and "fsck" not in words)


def _limited(arguments: Sequence[str], max_file_bytes: int | None) -> list[str]:
    if max_file_bytes is None:
        return ["git", *arguments]
    return ["sh", "-c", 'ulimit -f "$0" && exec git "$@"', str(-(-max_file_bytes // FILE_BLOCK)), *arguments]
