"""The first process of a sandbox: answers one frame after the other from its standard input until that ends."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time

from bot.sandboxes.inside.files import Refused, Tree
from bot.sandboxes.inside.running import Command, guard_first_process
from bot.sandboxes.inside.watching import Watch
from bot.sandboxes.inside.wire import LENGTHS, Frame, Header, header_of, lengths, packed

TAR = ("tar", "--extract", "--file=-", "--no-same-owner", "--preserve-permissions")
PACK = ("tar", "--create", "--file=-", "--ignore-failed-read")
NAMES = ("--null", "--files-from=-")  # last: a directory named after it counts for nothing
SQUEEZERS = ("zstd", "gzip")  # the first that is there; its name goes with what it made
CHUNK = 1 << 20


class Server:
    """`root` is the work tree; the two descriptors carry frames in and out.

    `channel` is a Unix socket to the host for what frames cannot carry: the number of an open one, or a path, or "".
    """

    def __init__(self, root: str, *, incoming: int, outgoing: int, channel: str = "") -> None:
        self._root = root
        self._channel = channel
        if channel.isdigit():
            os.set_inheritable(int(channel), False)
        self._tree, self._watch = Tree(root), Watch(root)
        self._in = os.fdopen(incoming, "rb", buffering=1 << 16)
        self._out = outgoing
        self._wake = guard_first_process()

    def serve(self) -> None:
        self._send(({"ready": sys.version_info[:2], "path": os.pathsep.join(os.get_exec_path())}, b""))
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

    def close(self) -> None:
        self._tree.close()
        self._watch.close()

    def _answer(self, header: Header, body: bytes) -> Frame:
        operation = header["op"]
        self._tree.reopen()
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
            return self._unpack(header)
        if operation == "pack":
            return self._pack(header, body)
        if operation == "listen":
            return self._listen()
        raise Refused("failed", f"no such operation: {operation}")

    def _exec(self, header: Header, stdin: bytes) -> Frame:
        started = time.monotonic()
        if "beside" in header:
            header["argv"] = [sys.executable, "-I", "-S", *header["beside"], *header["argv"]]
        command = Command({"cwd": self._root, **header}, stdin, wake=self._wake, asker=self._in.fileno())
        end = command.wait(started + header["timeout_s"])
        out, err = command.out.value(), command.err.value()
        end.update(truncated=command.out.cut or command.err.cut, stdout=len(out), seconds=time.monotonic() - started)
        end["tree"] = self._watch.number()
        return end, out + err

    def _unpack(self, header: Header) -> Frame:
        """Frames with a piece of a tar stream each, until an empty one; into the work tree unless `into` is said."""
        squeezed = header.get("squeezed", "")
        argv = [*TAR, *([f"--use-compress-program={squeezed}"] if squeezed else [])]
        source, sink = os.pipe()
        tar = _Tar([*argv, "--directory", header.get("into", self._root)], stdin=source)
        os.close(source)
        broken = False
        while (frame := self._receive()) is not None and frame[1]:
            if not broken:
                broken = not _piped(frame[1], sink)
        os.close(sink)
        if tar.ended() or broken:
            kind = "limit" if "No space left" in tar.words else "failed"
            raise Refused(kind, f"The archive could not be unpacked in the sandbox: {tar.words}")
        return {}, b""

    def _pack(self, header: Header, names: bytes) -> Frame:
        """Sends a piece of a tar stream a frame, then an empty one; at last how it went. Names end in NUL each."""
        squeezed = next((name for name in SQUEEZERS if shutil.which(name, path=os.defpath)), "")
        squeeze = [f"--use-compress-program={squeezed} -1"] if squeezed else []
        listed = os.memfd_create("names")
        os.write(listed, names)
        os.lseek(listed, 0, os.SEEK_SET)
        source, sink = os.pipe()
        tar = _Tar([*PACK, *squeeze, "--directory", header["of"], *NAMES], stdin=listed, stdout=sink)
        os.close(sink)
        os.close(listed)
        while chunk := os.read(source, CHUNK):
            self._send(({}, chunk))
        os.close(source)
        self._send(({}, b""))
        if tar.ended():
            raise Refused("failed", f"The files could not be packed in the sandbox: {tar.words}")
        return {"squeezed": squeezed}, b""

    def _listen(self) -> Frame:
        """A socket that listens on this sandbox's own address goes to the host, which alone accepts on it."""
        if not self._channel:
            raise Refused("failed", "There is no channel to the host.")
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener, self._to_host() as channel:
            socket.send_fds(channel, [b"listener"], [listener.fileno()])
        return {}, b""

    def _to_host(self) -> socket.socket:
        if self._channel.isdigit():
            return socket.socket(fileno=os.dup(int(self._channel)))
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.connect(self._channel)
        return channel

    def _receive(self) -> Frame | None:
        prefix = self._in.read(LENGTHS.size)
        if len(prefix) < LENGTHS.size:
            return None
        header_bytes, body_bytes = lengths(prefix)
        header, body = self._in.read(header_bytes), self._in.read(body_bytes)
        if len(header) < header_bytes or len(body) < body_bytes:  # half a file must not be written as a whole one
            return None
        return header_of(header), body

    def _send(self, frame: Frame) -> None:
        header, body = frame
        for part in (packed(header, len(body)), body):
            view = memoryview(part)
            while view:
                view = view[os.write(self._out, view) :]


class _Tar:
    """A running tar; `words` is what it complained about."""

    def __init__(self, argv: list[str], *, stdin: int, stdout: int | None = None) -> None:
        self.words = ""
        self._complaints = os.memfd_create("tar")
        streams = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, self._complaints, 2)]
        if stdout is not None:
            streams.append((os.POSIX_SPAWN_DUP2, stdout, 1))
        environment = {"PATH": os.defpath, "LC_ALL": "C"}
        self._pid = os.posix_spawnp(argv[0], argv, environment, file_actions=streams)

    def ended(self) -> int:
        """Waits for it; its status, 0 for good."""
        _, status = os.waitpid(self._pid, 0)
        self.words = os.pread(self._complaints, 500, 0).decode(errors="replace").strip()
        os.close(self._complaints)
        return status


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
    channel = sys.argv[2] if len(sys.argv) > 2 else ""
    Server(sys.argv[1], incoming=incoming, outgoing=outgoing, channel=channel).serve()
