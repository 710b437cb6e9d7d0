"""`backspace watch` against the real page's stream: what it prints, when it comes back, how it ends."""

import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from starlette.applications import Starlette

from bot.domain.events import Conclusion, JobEvent, JobFinished, Noted, Recorded, ToolCalled, ToolReturned, Verified
from bot.domain.job import Check, Receipt
from bot.ports import JobStore
from bot.report.progress import Progress
from bot.standins.serving import serve
from bot.stores import open_store
from bot.watch import lines, watch
from bot.web.live import routes
from tests.report.samples import PASSED, WATCH_KEY, finished, job

pytestmark = pytest.mark.anyio
HOSTILE = "[red]x[/red] \x1b]0;title\x07\x1b[2Jgone\r\u202e"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JobStore]:
    opened = await open_store(f"sqlite:///{tmp_path}/backspace.db")
    yield opened
    await opened.close()


@pytest.fixture
async def url(store: JobStore) -> AsyncIterator[str]:
    async with serve(Starlette(routes=list(routes(store)))) as base:
        yield f"{base}/jobs/k7f3?t={WATCH_KEY}"


async def over(store: JobStore, events: Sequence[JobEvent]) -> None:
    await store.accept(guid="g", event="issue_comment", action="created", job=job())
    claim = await store.claim("worker")
    assert claim is not None
    await store.commit(claim, events=events, finish="succeeded")


async def seen(url: str, *, client: httpx.AsyncClient | None = None) -> tuple[int, str]:
    printed = io.StringIO()

    async def no_wait(_: float) -> None:
        return

    code = await watch(url, console=Console(file=printed, width=100), client=client, sleep=no_wait)
    return code, printed.getvalue()


@pytest.mark.parametrize(
    ("receipt", "line"),
    [
        pytest.param(PASSED, "✓ Verification: uv run pytest 214 passed on base, 219 on head", id="passed"),
        pytest.param(
            Receipt(command="make", runs=(Check(where="head", exit_code=2, seconds=1.0, tail=""),)),
            "✗ Verification: make failed (exit 2) on head",
            id="failed",
        ),
        pytest.param(
            Receipt(command="make", runs=(), reason="no time was left"),
            "· Verification: make not run: no time was left",
            id="not-run",
        ),
        pytest.param(Receipt(command=None, runs=()), "· Verification: not run: no test command found", id="no-command"),
    ],
)
def test_only_a_check_that_passed_has_a_tick(receipt: Receipt, line: str) -> None:
    assert [text.plain for text in lines(Recorded(1, 0.0, Verified(receipt)), Progress())] == [line]


async def test_a_whole_run_in_a_terminal(store: JobStore, url: str) -> None:
    await over(store, finished()[1:])
    code, text = await seen(url)
    took = text.rsplit(" · ", 1)[1]
    assert code == 0
    assert text == (
        "◆ alice asked: add --json to the export command\n"
        "◆ Started with claude-opus-5-5\n"
        "· Base main at aaaaaaaaaaaa\n"
        "· backspace/12-aabbccdd is at 111111111111\n"
        "· Sandbox ready (bubblewrap, 1.2 s)\n"
        "· Read AGENTS.md, found uv run pytest\n"
        "  I read the command first.\n"
        "→ read export/cli.py\n"
        "  ✓ done\n"
        "→ edit export/cli.py\n"
        "  ✓ done\n"
        "± Change: 3 files, +88 -4\n"
        "    export/cli.py +80 -3\n"
        "    tests/test_cli.py +8 -1\n"
        "    logo.png binary\n"
        "✓ Verification: uv run pytest 214 passed on base, 219 on head\n"
        "· backspace/12-aabbccdd is at 222222222222\n"
        "★ Pull request 42: https://github.com/acme/widget/pull/42\n"
        "■ Opened #42\n"
        f"  $0.04 of $3.00 · 24.6k tokens in (83 % cached), 2.4k out · {took}"
    )


@pytest.mark.parametrize("conclusion", [c for c in Conclusion if c is not Conclusion.SUCCESS])
async def test_every_other_end_is_exit_code_1(store: JobStore, url: str, conclusion: Conclusion) -> None:
    await over(store, [JobFinished(conclusion, "**Cancelled** by @alice.")])
    code, text = await seen(url)
    assert (code, "■ Cancelled by @alice.\n" in text) == (1, True)


async def test_hostile_text_moves_no_cursor_and_paints_nothing(store: JobStore, url: str) -> None:
    """Red when `visible` gives its text back unchanged (tried)."""
    calls = (ToolCalled("c", "bash", HOSTILE), ToolReturned("c", "bash", False, HOSTILE * 20, 2.0))
    await over(store, [Noted(HOSTILE), *calls, JobFinished(Conclusion.FAILURE, HOSTILE)])
    _, text = await seen(url)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "! [red]x[/red] gone\n  ⟨U+202E⟩\n" in text
    assert "  ✗ failed (2.0 s)\n" in text


@pytest.mark.parametrize(
    "link",
    [
        pytest.param("not a link", id="words"),
        pytest.param("ftp://example/jobs/x?t=y", id="scheme"),
        pytest.param("https://example/elsewhere", id="path"),
        pytest.param("http://[bad", id="broken-host"),
    ],
)
async def test_what_is_no_link_is_refused_without_a_request(link: str) -> None:
    code, text = await seen(link)
    assert code == 2
    assert text


@pytest.mark.parametrize("change", [(WATCH_KEY, "wrong"), ("k7f3", "k7f4"), (f"?t={WATCH_KEY}", "")])
async def test_a_link_that_opens_nothing_is_exit_code_2(store: JobStore, url: str, change: tuple[str, str]) -> None:
    await over(store, finished()[1:])
    code, text = await seen(url.replace(*change))
    assert (code, text.replace("\n", " ").strip()) == (
        2,
        "This link opens no job. Copy the whole “live log” link from the comment in the thread.",
    )


class Cutting(httpx.AsyncBaseTransport):
    """Cuts every connection after some events, as a bad network does."""

    def __init__(self, inner: httpx.AsyncBaseTransport, *, after: int) -> None:
        self._inner = inner
        self._after = after
        self.asked_from: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked_from.append(request.headers["last-event-id"])
        answer = await self._inner.handle_async_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=Cut(answer, after=self._after))

    async def aclose(self) -> None:
        await self._inner.aclose()


class Cut(httpx.AsyncByteStream):
    def __init__(self, answer: httpx.Response, *, after: int) -> None:
        self._answer = answer
        self._left = after

    async def __aiter__(self) -> AsyncIterator[bytes]:
        whole = b"".join([chunk async for chunk in self._answer.aiter_raw()])
        *head, tail = whole.split(b"\n\n")
        yield b"".join(part + b"\n\n" for part in head[: self._left])
        if len(head) > self._left:
            raise httpx.ReadError("the line is dead")
        yield tail

    async def aclose(self) -> None:
        await self._answer.aclose()


async def test_a_cut_stream_goes_on_and_repeats_nothing(store: JobStore, url: str) -> None:
    await over(store, finished()[1:])
    transport = Cutting(httpx.AsyncHTTPTransport(verify=False), after=6)
    async with httpx.AsyncClient(transport=transport) as client:
        code, text = await seen(url, client=client)
    assert code == 0
    assert transport.asked_from == ["0", "5", "10", "15"]
    assert [text.count(line) for line in ("Started with", "→ edit export/cli.py", "■ Opened #42")] == [1, 1, 1]


class Dying(httpx.AsyncBaseTransport):
    """A server that answers once and is gone then."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.asked = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.asked > 1:
            raise httpx.ConnectError("nobody there")
        answer = await self._inner.handle_async_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=Cut(answer, after=2))

    async def aclose(self) -> None:
        await self._inner.aclose()


async def test_a_server_that_is_gone_is_said_in_the_end(store: JobStore, url: str) -> None:
    await over(store, finished()[1:])
    transport = Dying(httpx.AsyncHTTPTransport(verify=False))
    async with httpx.AsyncClient(transport=transport) as client:
        code, text = await seen(url, client=client)
    assert (code, transport.asked) == (1, 21)
    assert text.endswith("The stream was lost. The job goes on; run the same command again.\n")


async def test_an_address_where_nothing_ever_answers_is_given_up_soon() -> None:
    code, text = await seen("http://127.0.0.1:9/jobs/k7f3?t=secret")
    assert code == 1
    assert text == "… reconnecting\nNothing answers at 127.0.0.1:9: is the bot running, and reached from here?\n"


async def test_a_server_that_only_apologises_is_given_up_soon() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(502, text="Bad Gateway"))
    async with httpx.AsyncClient(transport=transport) as client:
        code, text = await seen("https://bot.example/jobs/k7f3?t=secret", client=client)
    assert code == 1
    assert "Nothing answers at bot.example: is the bot running" in text
