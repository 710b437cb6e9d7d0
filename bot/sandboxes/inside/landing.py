"""The helper's arrival in a sandbox whose first process is not its own: files laid down, root given up, then served.

Run as `python3 -I -S -c <this text> <bytes> <work tree> <home> <user id> <filters>`; standard input begins with that
many bytes of JSON, path to text of the helper's files, and goes on with frames. The filters of system calls are by
machine, in base64.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import signal
import sys
from contextlib import suppress

PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
MOST_CAPABILITIES = 64


def received(count: int) -> bytes:
    """Exactly so many bytes of standard input, and not one more: the rest is the helper's."""
    content = b""
    while len(content) < count:
        piece = os.read(0, count - len(content))
        if not piece:
            raise EOFError("the helper's files did not arrive")
        content += piece
    return content


def lay_down(files: dict[str, str]) -> None:
    """A path that ends with a slash is a directory."""
    for path, text in files.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if path.endswith("/"):
            continue
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def make_places(places: list[str], user: int) -> None:
    """Directories of the commands' user. One that is there is as it was left."""
    for place in places:
        if not os.path.isdir(place):
            os.makedirs(place)
            if os.geteuid() == 0:
                os.chown(place, user, user)


def give_up_root(user: int) -> None:
    """Files are touched as `user`, whose processes this one may end, but none of them this one.

    A signal is allowed when the sender's real or effective user is the receiver's real or saved one. So this process
    is `user` effectively and `user + 1` otherwise: it reaches commands and an older helper, and no process of root.
    """
    prctl = ctypes.CDLL(None).prctl
    for capability in range(MOST_CAPABILITIES):  # those there are and that it may
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user + 1, user, user + 1)


def land(size: int, work_tree: str, home: str, user: int) -> None:
    lay_down(json.loads(received(size)))
    make_places([work_tree, home], user)
    give_up_root(user)
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)  # what an earlier helper left, and that helper


if __name__ == "__main__":
    size, work_tree, home, user, filters = sys.argv[1:]
    land(int(size), work_tree, home, int(user))
    sys.argv[1:] = [work_tree]
    sys.path[:0] = ["/run/backspace"]
    from bot.sandboxes.inside.server import main
    from bot.sandboxes.inside.waiting import refuse_calls

    with suppress(OSError):  # not every provider's kernel takes a filter
        if program := json.loads(filters).get(os.uname().machine):
            refuse_calls(base64.b64decode(program))
    main()
