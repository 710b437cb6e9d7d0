"""The first process of a sandbox in the Modal stand-in: starts what it is told to, and tells how each of them ended.

Run inside with a descriptor of a SOCK_SEQPACKET socket. A request is JSON and three descriptors for standard input,
output and error; an answer is JSON. Standard library only.
"""

import json
import os
import select
import signal
import socket
import sys
from typing import Any

MAX_REQUEST = 1 << 18


def main() -> None:
    calls = socket.socket(fileno=int(sys.argv[1]))
    calls.setblocking(False)
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    started: dict[int, str] = {}
    while True:
        ready, _, _ = select.select([calls.fileno(), wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
            tell(reaped(started), calls)
        if calls.fileno() in ready:
            message, streams, _, _ = socket.recv_fds(calls, MAX_REQUEST, 3)
            if not message:
                return
            serve(json.loads(message), streams, started)


def serve(request: dict[str, Any], streams: list[int], started: dict[int, str]) -> None:
    if "kill" in request:
        for pid in [pid for pid, name in started.items() if name == request["kill"]]:
            os.kill(pid, signal.SIGKILL)
        return
    pid = os.fork()
    if pid == 0:
        become(request, streams)
    for stream in streams:
        os.close(stream)
    started[pid] = request["id"]


def become(request: dict[str, Any], streams: list[int]) -> None:
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, 256)
        os.chdir(request["cwd"])
        os.execvpe(request["argv"][0], request["argv"], request["env"])
    except OSError as error:
        os.write(2, f"{request['argv'][0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def reaped(started: dict[int, str]) -> list[dict[str, Any]]:
    ends: list[dict[str, Any]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ends
        if pid == 0:
            return ends
        if pid in started:
            ends.append({"id": started.pop(pid), "code": os.waitstatus_to_exitcode(status)})


def tell(ends: list[dict[str, Any]], calls: socket.socket) -> None:
    for end in ends:
        calls.send(json.dumps(end).encode())


if __name__ == "__main__":
    main()
