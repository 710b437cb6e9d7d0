"""The helper's arrival in a sandbox whose first process is not its own: files laid down, root given up, then served.

Run as `python3 -I -S -c <this text> <bytes> <work tree> <home> <user id>`; standard input begins with that many bytes
of JSON, path to text of the helper's files, and goes on with frames.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress


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
    land(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
    sys.argv[1:] = [sys.argv[2]]
    sys.path[:0] = ["/run/backspace"]
    from bot.sandboxes.inside.server import main

    main()
