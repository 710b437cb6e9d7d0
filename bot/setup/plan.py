"""What to do before the agent in one repository: its own words, or what was detected, within the operator's rules."""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from bot.ports import Workspace
from bot.setup.commands import Way, builds, detected, includes, is_manifest, manifests, read_of
from bot.setup.registries import REGISTRIES

NONE = "none"  # `setup: none` in a repository's rules
VERSION = 2  # of what is kept: a change here makes everything kept before unused
MOST_FILES = 400  # that say what is installed
QUIET = {  # no cache beside what is installed, no question, and little patience with what is not on the list
    "CI": "1",
    "DEBIAN_FRONTEND": "noninteractive",
    "PIP_BREAK_SYSTEM_PACKAGES": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_CACHE_DIR": "1",
    "PIP_NO_INPUT": "1",
    "PIP_RETRIES": "1",
    "PIPENV_VENV_IN_PROJECT": "1",  # where the agent finds it; so too Poetry's
    "POETRY_VIRTUALENVS_IN_PROJECT": "1",
    "UV_CACHE_DIR": "/tmp/uv-cache",
    "UV_LINK_MODE": "copy",
    "UV_NO_PROGRESS": "1",
    "npm_config_cache": "/tmp/npm-cache",
    "npm_config_fetch_retries": "1",
    "npm_config_update_notifier": "false",
    "CARGO_NET_RETRY": "1",
    "BUNDLE_RETRY": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupRules:
    """The operator's part. `network`: whether there may be one at all; `hosts`: more names for the allow-list;
    `environment`: of setup commands, such as a package index of one's own; `place`: by what the machine's toolchains
    are known, since what is installed for one may not work with another."""

    network: bool = True
    hosts: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 900.0
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupWish:
    """The repository's part, from the base. `commands` None: nothing is said, so what is detected holds."""

    commands: tuple[str, ...] | None = None
    network: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupPlan:
    """`steps`: for each the ways to do it, of which the first whose program is there is taken. `names`: the allow-list,
    () for no network. `files`: of the base, what says what it installs. `key`: by which the result is kept; "" for not.
    """

    steps: tuple[tuple[Way, ...], ...] = ()
    names: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 900.0
    required: bool = False
    files: frozenset[str] = frozenset()
    key: str = ""

    def reads(self, paths: Sequence[str]) -> tuple[str, ...]:
        """Of these, what says what it installs."""
        found = {*manifests(paths), *files_named(self.steps, paths), *self.files.intersection(paths)}
        return tuple(sorted(found)) if self.steps else ()


async def setup_plan(
    workspace: Workspace, wish: SetupWish, rules: SetupRules, *, repo_id: int, provider: str, image: str = ""
) -> SetupPlan:
    paths = await workspace.base_paths()
    known = tuple(filter(is_manifest, paths))
    if wish.commands is None:
        contents = {path: await workspace.base_file(path) or b"" for path in read_of(known)}
        steps = detected(known, contents) if rules.network else ()  # what is detected downloads
    else:
        steps = tuple((Way("", command),) for command in wish.commands if command != NONE)
    if not steps:
        return SetupPlan()
    names = tuple(dict.fromkeys((*REGISTRIES, *rules.hosts, *wish.network))) if rules.network else ()
    environment = QUIET | dict(rules.environment)
    named = files_named(steps, paths) if wish.commands else ()
    files = await _said(workspace, (*manifests(known), *named), set(paths))
    of_sources = wish.commands is not None or any(builds(path, content) for path, content in files.items())
    return SetupPlan(
        steps=steps,
        names=names,
        environment=environment,
        seconds=rules.seconds,
        required=wish.required,
        files=frozenset(files),
        key=key_of(
            (str(VERSION), str(repo_id), provider, image, rules.place, workspace.base_sha if of_sources else ""),
            [way.command for ways in steps for way in ways],
            names,
            [f"{name}={value}" for name, value in environment.items()],
            files=files,
        ),
    )


async def _said(workspace: Workspace, named: Sequence[str], there: Collection[str]) -> Mapping[str, bytes]:
    """These files of the base and what they take in; a limit holds for both together."""
    files, due = dict[str, bytes](), list(named)
    while due and len(files) < MOST_FILES:
        path = due.pop(0)
        if path in there and path not in files:
            files[path] = await workspace.base_file(path) or b""
            due += includes(path, files[path])
    return files


def files_named(steps: Sequence[Sequence[Way]], paths: Sequence[str]) -> tuple[str, ...]:
    """Files of the base that the commands name, and the Makefile where they call make."""
    there = set(paths)
    words = {word for ways in steps for way in ways for word in re.split(r"[\s;&|()'\"=]+", way.command)}
    named = {word.removeprefix("./") for word in words} | ({"Makefile", "makefile"} if "make" in words else set())
    return tuple(sorted(named & there))


def key_of(*parts: Sequence[str], files: Mapping[str, bytes]) -> str:
    """The same for the same repository, place, commands, list and files, and for nothing else."""
    digest = hashlib.sha256()
    for part in (*parts, *((path, hashlib.sha256(content).hexdigest()) for path, content in sorted(files.items()))):
        for text in (str(len(part)), *part):
            digest.update(b"%d:" % len(text.encode("utf-8", "surrogateescape")))
            digest.update(text.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
