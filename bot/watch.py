"""`backspace watch URL`: a job's live log in a terminal, by the same link and the same stream as the page."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit, urlunsplit

import httpx
from httpx_sse import SSEError, aconnect_sse
from rich.console import Console
from rich.text import Text

from bot.domain import events
from bot.report.amounts import change_size, cost, duration, token_use
from bot.report.characters import visible
from bot.report.check_run import plain
from bot.report.progress import Progress, after
from bot.report.receipts import passed, verdict
from bot.report.sse import recorded_of

SUCCESS, FAILURE, BAD_LINK = 0, 1, 2
SILENCE_S = 45.0  # three missed heartbeats: the connection is dead
RETRIES = 20  # in a row, without an event between them
FIRST_TRIES = 3  # where nothing has ever answered
LONGEST_WAIT_S = 15.0
VERDICTS = {True: ("✓", "bold green"), False: ("✗", "bold red"), None: ("·", "bold")}
FAILED_LINES = 8  # of a tool's output that went wrong; the rest is on the page


class _BadLink(Exception):
    """The link opens no job."""


class _NobodyThere(Exception):
    """No connection was ever made."""


async def watch(
    url: str,
    *,
    console: Console,
    client: httpx.AsyncClient | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> int:
    """Prints events as they happen until the job ends.

    Answers 0 when it succeeded, 1 when it ended otherwise or the stream was lost, 2 when the link opens no job.
    """
    try:
        stream = _stream_url(url)
    except ValueError as error:
        console.print(Text(str(error), style="red"))
        return BAD_LINK
    so_far = Progress()
    own_client = client or httpx.AsyncClient(timeout=httpx.Timeout(10, read=SILENCE_S), trust_env=False)
    try:
        async for recorded in _events(stream, client=own_client, console=console, sleep=sleep):
            so_far = after(so_far, recorded)
            for line in lines(recorded, so_far):
                console.print(line, highlight=False, soft_wrap=True)
    except _BadLink as error:
        console.print(Text(str(error), style="red"))
        return BAD_LINK
    except _NobodyThere:
        where = urlsplit(stream).netloc
        words = f"Nothing answers at {visible(where)}: is the bot running, and reached from here?"
        console.print(Text(words, style="red"), soft_wrap=True)
        return FAILURE
    finally:
        if client is None:
            await own_client.aclose()
    if so_far.finished is None:
        console.print(Text("The stream was lost. The job goes on; run the same command again.", style="red"))
        return FAILURE
    return SUCCESS if so_far.finished.conclusion is events.Conclusion.SUCCESS else FAILURE


def _stream_url(url: str) -> str:
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname or "/jobs/" not in parts.path:
        raise ValueError("That is no link to a job. Copy the “live log” link from the comment in the thread.")
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith("/events") else f"{path}/events", fragment=""))


async def _events(
    url: str, *, client: httpx.AsyncClient, console: Console, sleep: Callable[[float], Awaitable[None]]
) -> AsyncIterator[events.Recorded]:
    """Each event once, over as many connections as it takes; ends after the last one or when nothing helps.

    Raises _BadLink, _NobodyThere.
    """
    seen, failures, reached = 0, 0, False
    while failures <= RETRIES:
        try:
            async with aconnect_sse(client, "GET", url, headers={"Last-Event-ID": str(seen)}) as source:
                _opened(source.response)
                reached = reached or source.response.is_success
                async for message in source.aiter_sse():
                    if not message.data:  # a bare `retry:` is handed on as a message
                        continue
                    recorded = recorded_of(message.data)
                    seen, failures = max(seen, int(message.id or 0)), 0
                    if recorded is not None:
                        yield recorded
                    if recorded is not None and isinstance(recorded.event, events.JobFinished):
                        return
        except (httpx.TransportError, SSEError, ValueError):
            pass
        failures += 1
        if not reached and failures == FIRST_TRIES:
            raise _NobodyThere
        if failures == 1:
            console.print(Text("… reconnecting", style="dim"))
        await sleep(min(0.5 * 2**failures, LONGEST_WAIT_S))


def _opened(response: httpx.Response) -> None:
    if response.status_code in {400, 401, 403, 404, 410}:
        raise _BadLink("This link opens no job. Copy the whole “live log” link from the comment in the thread.")


def lines(recorded: events.Recorded, so_far: Progress) -> list[Text]:
    """One event in a terminal; `so_far` includes it. Every text of others stays text: no markup, no terminal codes."""
    match recorded.event:
        case events.JobQueued(instruction=instruction, requested_by=who):
            return [_line("◆", f"{who} asked: {' '.join(instruction.split())[:200]}", "bold")]
        case events.JobStarted(attempt=attempt, model=model):
            again = f", attempt {attempt}" if attempt > 1 else ""
            return [_line("◆", f"Started with {model}{again}", "bold")]
        case events.BasePinned(branch=branch, sha=sha):
            return [_line("·", f"Base {branch} at {sha[:12]}", "dim")]
        case events.SandboxReady(provider=provider, seconds=seconds):
            return [_line("·", f"Sandbox ready ({provider}, {duration(seconds)})", "dim")]
        case events.ContextRead(files=files, check=check):
            found = f", found {check}" if check else ""
            return [_line("·", f"Read {', '.join(files) or 'the repository'}{found}", "dim")]
        case events.ModelAnswered(text=text):
            return [_line(" ", text.strip(), "")] if text.strip() else []
        case events.ToolCalled(title=title, tool=tool):
            return [_line("→", title or tool, "cyan")]
        case events.ToolReturned():
            return _returned(recorded.event)
        case events.Noted(text=text) | events.ModelSwitched(text=text) | events.Steered(text=text):
            return [_line("!", text, "yellow")]
        case events.DiffShown(stats=stats):
            return [
                _line("±", f"Change: {change_size(stats)}", "bold"),
                *(_stat(s.path, s.additions, s.deletions) for s in stats),
            ]
        case events.Verified(receipt=receipt):
            words = " ".join(filter(None, ("Verification:", receipt.command, verdict(receipt))))
            mark, style = VERDICTS[passed(receipt)]
            return [_line(mark, words, style)]
        case events.BranchMoved(branch=branch, head_sha=sha):
            return [_line("·", f"{branch} is at {sha[:12]}", "dim")]
        case events.PullRequestOpened(number=number, url=url):
            return [_line("★", f"Pull request {number}: {url}", "bold green")]
        case events.JobFinished():
            return _finished(recorded.event, so_far)


def _returned(event: events.ToolReturned) -> list[Text]:
    took = f" ({duration(event.seconds)})" if event.seconds >= 1 else ""
    if event.ok:
        return [_line("  ✓", took.strip() or "done", "dim")]
    shown = "\n".join(event.output.rstrip("\n").split("\n")[-FAILED_LINES:])
    return [_line("  ✗", f"failed{took}", "red"), _line("   ", shown, "dim")]


def _stat(path: str, additions: int | None, deletions: int | None) -> Text:
    size = "binary" if additions is None else f"+{additions} -{deletions}"
    return _line("   ", f"{path} {size}", "dim")


def _finished(event: events.JobFinished, so_far: Progress) -> list[Text]:
    good = event.conclusion is events.Conclusion.SUCCESS
    spent = (cost(so_far.usd, so_far.budget_usd), token_use(so_far.usage), duration(so_far.seconds(0.0)))
    return [
        _line("■", plain(event.message), "bold green" if good else "bold red"),
        _line(" ", " · ".join(spent), "dim"),
    ]


def _line(mark: str, text: str, style: str) -> Text:
    indent = " " * (len(mark) + 1)
    return Text(f"{mark} {visible(text)}".replace("\n", f"\n{indent}"), style=style)
