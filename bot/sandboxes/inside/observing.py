"""A proxy beside one command of the setup phase, for providers that keep to an allow-list and tell nothing of it.

Run as `python3 -I -S <this file> <rules> <command>`. It notes the hosts that are not on the list, a
line each, and refuses them at once; what is on the list it connects to. It keeps nobody from anything, since commands
could go without it: that is what the provider's own rules are for.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any
from urllib.parse import urlsplit

CHUNK = 1 << 16
CONNECT_TIMEOUT_S = 20.0
SILENCE_S = 180.0  # as the proxy outside has it, where there is one
HOP_BY_HOP = ("connection", "host", "keep-alive", "te", "trailer", "upgrade")


def proxied(port: int) -> dict[str, str]:
    """What makes package managers go through a proxy on 127.0.0.1. Java reads no variable of the common ones."""
    java = " ".join(f"-D{kind}.proxyHost=127.0.0.1 -D{kind}.proxyPort={port}" for kind in ("http", "https"))
    names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "YARN_HTTP_PROXY", "YARN_HTTPS_PROXY")
    return {
        **dict.fromkeys(names, f"http://127.0.0.1:{port}"),
        "NO_PROXY": "localhost,127.0.0.1",
        "no_proxy": "localhost,127.0.0.1",
        "NODE_USE_ENV_PROXY": "1",
        "MAVEN_OPTS": java,
        "GRADLE_OPTS": java,
    }


class Proxy(ThreadingTCPServer):
    """`rules`: `names` as an allow-list has them, the `ports` they may be reached at, the file of `notes`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, rules: dict[str, Any]) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self._rules = rules

    def allows(self, host: str, port: int) -> bool:
        listed = (host.endswith(one[1:]) if one.startswith("*.") else host == one for one in self._rules["names"])
        usual = port in self._rules["ports"]
        if usual and any(listed):
            return True
        with open(self._rules["notes"], "a", encoding="ascii", errors="replace") as notes:
            notes.write(f"{host}\n" if usual else f"{host}:{port}\n")
        return False


class Exchange(BaseHTTPRequestHandler):
    """One request, and no second over the same connection."""

    rbufsize = 0  # what comes after the request is not ours
    timeout = SILENCE_S
    server: Proxy

    def do_CONNECT(self) -> None:
        with self._reached(self.path, None) as upstream:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            both = {self.connection: upstream, upstream: self.connection}
            while ready := select.select(list(both), [], [], SILENCE_S)[0]:
                for one in ready:
                    piece = one.recv(CHUNK)
                    if not piece:
                        return
                    both[one].sendall(piece)

    def do_GET(self) -> None:
        found = urlsplit(self.path)
        with self._reached(found.netloc, 80) as upstream:
            kept = [f"{name}: {text}" for name, text in self.headers.items() if not _is_for_us(name)]
            path = found._replace(scheme="", netloc="").geturl() or "/"
            lines = [f"{self.command} {path} HTTP/1.1", f"Host: {found.netloc}", "Connection: close", *kept, "", ""]
            upstream.sendall("\r\n".join(lines).encode("latin-1"))
            while piece := upstream.recv(CHUNK):
                self.wfile.write(piece)

    do_HEAD = do_GET

    def _reached(self, authority: str, default_port: int | None) -> socket.socket:
        """Raises OSError, with the answer given."""
        self.close_connection = True
        host, _, number = authority.partition(":")
        if not host or not (number or default_port) or not (number or "0").isdigit():
            self.send_error(400)
            raise OSError(f"no host: {authority}")
        host, port = host.lower().rstrip("."), int(number or default_port or 0)
        if not self.server.allows(host, port):
            self.send_error(403, f"{host} is not on the allow-list of the setup phase")
            raise OSError("not on the list")
        try:
            upstream = socket.create_connection((host, port), CONNECT_TIMEOUT_S)
        except OSError as error:
            self.send_error(502, f"{host} cannot be reached: {type(error).__name__}")
            raise
        upstream.settimeout(SILENCE_S)
        return upstream


def _is_for_us(name: str) -> bool:
    return name.lower() in HOP_BY_HOP or name.lower().startswith("proxy-")


def serve_beside(proxy: Proxy) -> None:
    """In a process that is no child of the command's, whose own children are its business."""
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
        proxy.socket.close()
        return
    if os.fork() == 0:
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        proxy.serve_forever()
    os._exit(0)


def main() -> None:
    """Ends as a shell does when there is no such program; the command's own environment goes before ours."""
    rules, *argv = sys.argv[1:]
    proxy = Proxy(json.loads(rules))
    serve_beside(proxy)
    try:
        os.execvpe(argv[0], argv, {**proxied(proxy.server_address[1]), **os.environ})
    except OSError as error:
        os.write(2, os.fsencode(f"{argv[0]}: {os.strerror(error.errno or 0)}\n"))
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


if __name__ == "__main__":
    main()
