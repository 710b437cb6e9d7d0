"""The first process of a sandbox: answers one frame after the other from its standard input until that ends."""

from __future__ import annotations

import os
import sys
import time

from bot.sandboxes.inside.files import Refused, Tree
from bot.sandboxes.inside.running import Command, guard_first_process
from bot.sandboxes.inside.wire import LENGTHS, Frame, Header, header_of, lengths, packed

TAR = ("tar", "--extract", "--file=-", "--no-same-owner", "--preserve-permissions", "--directory")


class Server:
    """`root` is the work tree; the two descriptors carry frames in and out."""

    def __init__(self, root: str, *, incoming: int, outgoing: int) -> None:
        self._root = root
        self._tree = Tree(root)
        self._in = os.fdopen(incoming, "rb", buffering=1 << 16)
        self._out = outgoing
        self._wake = guard_first_process()

    def serve(self) -> None:
        self._send(({"ready": sys.version_info[:2], "path": os.environ.get("PATH", "")}, b""))
        while True:
            frame = self._receive()
            if frame is None:
                return
            try:
                self._send(self._answer(*frame))
            except Refused as refusal:
                self._send(({"error": refusal.kind.split("-")[0], "message": str(refusal)}, b""))
            except (OSError, MemoryError) as error:
                self._send(({"error": "failed", "message": f"{type(error).__name__}: {error}"}, b""))

    def _answer(self, header: Header, body: bytes) -> Frame:
        operation = header["op"]
        if operation == "exec":
            return self._exec(header, body)
        if operation == "read":
            return {}, self._tree.read(body, header["max"])
        if operation == "write":
            self._tree.write(body[: header["path"]], body[header["path"] :])
            return {}, b""
        if operation == "list":
            return {}, self._tree.listing()
        if operation == "states":
            return {}, self._tree.states(body.split(b"\0")[:-1])
        if operation == "export":
            mode, content = self._tree.exported(body, header["max"])
            return {"mode": mode}, content
        if operation == "unpack":
            return self._unpack()
        raise Refused("failed", f"no such operation: {operation}")

    def _exec(self, header: Header, stdin: bytes) -> Frame:
        started = time.monotonic()
        command = Command({"cwd": self._root, **header}, stdin, wake=self._wake)
        end = command.wait(started + header["timeout_s"])
        out, err = command.out.value(), command.err.value()
        end.update(truncated=command.out.cut or command.err.cut, stdout=len(out), seconds=time.monotonic() - started)
        return end, out + err

    def _unpack(self) -> Frame:
        """Frames with a piece of a tar stream each, until an empty one."""
        complaints = os.memfd_create("tar")
        source, sink = os.pipe()
        streams = [(os.POSIX_SPAWN_DUP2, source, 0), (os.POSIX_SPAWN_DUP2, complaints, 2)]
        pid = os.posix_spawnp(TAR[0], [*TAR, self._root], {"PATH": os.defpath, "LC_ALL": "C"}, file_actions=streams)
        os.close(source)
        broken = False
        while (frame := self._receive()) is not None and frame[1]:
            if not broken:
                broken = not _piped(frame[1], sink)
        os.close(sink)
        _, status = os.waitpid(pid, 0)
        words = os.pread(complaints, 500, 0).decode(errors="replace").strip()
        os.close(complaints)
        if status or broken:
            kind = "limit" if "No space left" in words else "failed"
            raise Refused(kind, f"The archive could not be unpacked in the sandbox: {words}")
        return {}, b""

    def _receive(self) -> Frame | None:
        prefix = self._in.read(LENGTHS.size)
        if len(prefix) < LENGTHS.size:
            return None
        header_bytes, body_bytes = lengths(prefix)
        return header_of(self._in.read(header_bytes)), self._in.read(body_bytes)

    def _send(self, frame: Frame) -> None:
        header, body = frame
        for part in (packed(header, len(body)), body):
            view = memoryview(part)
            while view:
                view = view[os.write(self._out, view) :]


def _piped(content: bytes, sink: int) -> bool:
    """False when the reader is gone."""
    view = memoryview(content)
    try:
        while view:
            view = view[os.write(sink, view) :]
    except BrokenPipeError:
        return False
    return True


def main() -> None:
    """Frames on standard input and output; commands get neither."""
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    Server(sys.argv[1], incoming=incoming, outgoing=outgoing).serve()
