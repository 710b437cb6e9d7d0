"""What a Docker sandbox is made of: the engine's description of the container, and the programs that run in it."""

import base64
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from bot.sandboxes.cage import DISKS, EMPTY_GIT_DIR, HELPER, HOME, UID, WORK_TREE
from bot.sandboxes.limits import SandboxLimits
from bot.sandboxes.seccomp import MACHINES, seccomp_filter

FORWARDER = 65_534  # nobody: commands can neither signal nor trace a process of another user
SOCKET = "tiny-backspace"  # abstract, so it is in the container's own network namespace
HAND_OVER = "/run/backspace-network"
CHANNEL = f"{HAND_OVER}/socket"
CPU_PERIOD_US = 100_000
OWN_PROCESSES = 16  # the helper, the forwarder with its thread, and what the engine starts it with
INODES_MARGIN = 2_000  # above what the helper stops a command at, so that its words come first
INSIDE = "bot.sandboxes.inside"
MODULES = ("wire", "files", "watching", "running", "server", "waiting")
SOURCE = "TINY_BACKSPACE"  # where both programs find their text: `ps` shows arguments, and no other's environment
PYTHON = ["python3", "-I", "-S", "-c", f"from os import environ; exec(environ.pop('{SOURCE}'))"]
HELPER_OF_MODULES = """
import json, sys, types
for name, source in json.loads({sources!r}).items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
module.main()
"""
FILES = {
    f"{EMPTY_GIT_DIR}/HEAD": "ref: refs/heads/none\n",
    f"{EMPTY_GIT_DIR}/objects/": "",
    f"{EMPTY_GIT_DIR}/refs/": "",
}


def description(
    *,
    image: str,
    hidden: Sequence[str],
    labels: Mapping[str, str],
    limits: SandboxLimits,
    cpus: float,
    hand_over: Path | None,
    runtime: str,
) -> dict[str, Any]:
    """The body of `POST /containers/create`: every wall around the sandbox is here.

    `hidden`: places in the image that nothing can be written to. `hand_over`: a folder of the host for the setup
    phase's socket. `runtime`: "" is the engine's own.
    """
    channel = CHANNEL if hand_over else ""
    return {
        "Image": image,
        "Entrypoint": PYTHON,
        "Cmd": [WORK_TREE, SOCKET, str(limits.wall_clock_s), json.dumps(_filters()), channel],
        "Env": [f"{SOURCE}={_helper()}"],
        "User": f"{UID}:{UID}",
        "WorkingDir": "/",
        "Hostname": "sandbox",
        "Labels": dict(labels),
        "HostConfig": {
            "NetworkMode": "none",
            "Dns": ["127.0.0.1"],  # or the engine copies the host's
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],  # the engine's own filter of system calls stays
            "ReadonlyRootfs": True,
            "IpcMode": "private",
            "CgroupnsMode": "private",
            "PidsLimit": limits.pids + OWN_PROCESSES,
            "Memory": limits.together(),
            "MemorySwap": limits.together(),
            "CpuPeriod": CPU_PERIOD_US,
            "CpuQuota": int(cpus * CPU_PERIOD_US),
            "ShmSize": limits.tmp_bytes,
            "Tmpfs": dict.fromkeys(hidden, "ro,size=4k")
            | {disk: _disk(disk, limits) for disk in DISKS if disk != "/dev/shm"}
            | {HELPER: f"rw,nosuid,nodev,noexec,size=1m,uid={FORWARDER},gid={FORWARDER},mode=0755"},
            "Mounts": [_seen(hand_over)] if hand_over else [],
            "LogConfig": {"Type": "none", "Config": {}},
            "AutoRemove": True,
            **({"Runtime": runtime} if runtime else {}),
        },
    }


def forwarder() -> tuple[list[str], str, list[str]]:
    """Command, user and environment of the program that carries the bot's stream to the helper."""
    text = f"{_source('forwarding')}\nmain()\n"
    return [*PYTHON, SOCKET, json.dumps(FILES)], f"{FORWARDER}:{FORWARDER}", [f"{SOURCE}={text}"]


def _helper() -> str:
    return HELPER_OF_MODULES.format(sources=json.dumps({f"{INSIDE}.{name}": _source(name) for name in MODULES}))


def _source(module: str) -> str:
    return (resources.files(INSIDE) / f"{module}.py").read_text(encoding="utf-8")


def _filters() -> dict[str, str]:
    """For every machine, since the engine's may be another than the bot's."""
    programs = {machine: seccomp_filter(machine) for machine in MACHINES}
    return {machine: base64.b64encode(program).decode() for machine, program in programs.items() if program}


def _disk(path: str, limits: SandboxLimits) -> str:
    size = limits.disk_bytes if path == WORK_TREE else limits.tmp_bytes
    owner = f"uid={UID},gid={UID},mode=0755" if path in (WORK_TREE, HOME) else "mode=1777"
    inodes = limits.inodes + INODES_MARGIN if limits.inodes else 0
    return f"rw,exec,nosuid,nodev,size={size},nr_inodes={inodes},{owner}"


def _seen(folder: Path) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(folder), "Target": HAND_OVER, "ReadOnly": True}
