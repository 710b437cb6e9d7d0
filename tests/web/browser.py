"""Real Chromium on the other end of a pipe, for tests that look at the page."""

import asyncio
import base64
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Tab:
    """One page, driven by the DevTools protocol."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._next_id = 0
        self._session: str | None = None
        self._loaded: set[str] = set()
        self.complaints: list[str] = []

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        self._next_id += 1
        message: dict[str, object] = {"id": self._next_id, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._writer.write(json.dumps(message).encode() + b"\0")
        await self._writer.drain()
        while True:
            answer: dict[str, Any] = json.loads((await self._reader.readuntil(b"\0"))[:-1])
            if answer.get("id") == self._next_id:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._hear(answer)

    def _hear(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Page.lifecycleEvent" and event["params"]["name"] == "load":
            self._loaded.add(event["params"]["loaderId"])
        if event.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}:
            self.complaints.append(json.dumps(event["params"]))
        if event.get("method") == "Page.javascriptDialogOpening":
            self.complaints.append("a dialog opened")

    async def attach(self) -> None:
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.call("Page.setLifecycleEventsEnabled", enabled=True)

    async def look(self, *, width: int, height: int = 900, scheme: str = "light") -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def open(self, url: str) -> None:
        """Returns when this page and its script have loaded; what another page still tells does not count."""
        loader = (await self.call("Page.navigate", url=url))["loaderId"]
        while loader not in self._loaded:
            self._hear(json.loads((await self._reader.readuntil(b"\0"))[:-1]))

    async def evaluate(self, expression: str) -> Any:
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def until(self, expression: str, *, timeout_s: float = 60.0) -> None:
        look = f"if ({expression}) {{ clearInterval(timer); done(true); }}"
        async with asyncio.timeout(timeout_s):
            await self.evaluate(f"new Promise((done) => {{ const timer = setInterval(() => {{ {look} }}, 15); }})")

    async def screenshot(self, *, whole: bool = True) -> bytes:
        """A PNG."""
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(shot["data"])


@asynccontextmanager
async def tab(profile: Path) -> AsyncIterator[Tab]:
    """A fresh browser with a fresh profile, gone at the end of the block."""
    program = chromium()
    assert program is not None, "chromium is not installed: apt-get install chromium"
    to_browser, from_us = os.pipe()
    to_us, from_browser = os.pipe()
    process = await asyncio.create_subprocess_exec(
        "/bin/bash",
        "-c",
        'exec "$0" "$@" 3<&"$IN" 4>&"$OUT"',
        program,
        *FLAGS,
        f"--user-data-dir={profile}",
        env={**os.environ, "IN": str(to_browser), "OUT": str(from_browser)},
        pass_fds=(to_browser, from_browser),
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(to_browser)
    os.close(from_browser)
    reader, writer, transports = await _streams(to_us, from_us)
    page = Tab(reader, writer)
    try:
        await page.attach()
        yield page
    finally:
        with suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            page._session = None
            async with asyncio.timeout(5):
                await page.call("Browser.close")
        for transport in transports:
            transport.close()
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _streams(
    reading: int, writing: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, list[asyncio.BaseTransport]]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    read, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", 0))
    write, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(writing, "wb", 0))
    return reader, asyncio.StreamWriter(write, protocol, None, loop), [read, write]
