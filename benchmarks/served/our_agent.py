"""Ours: the agent loop with its real adapters for some turns of a scripted model. Arguments: base URL, turns, folder,
files in the repository.

Claude's SDK, a bubblewrap sandbox and a journal in SQLite that is durable (FULL) before each step.
"""

import asyncio
import json
import resource
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from benchmarks.jobs import job
from benchmarks.tree import committed
from bot.agent.limits import Limits
from bot.agent.loop import work
from bot.agent.prompt import Task
from bot.agent.review import Review
from bot.models.anthropic import AnthropicModel
from bot.ports import Remote, Sandbox
from bot.publish.mirror import Mirror
from bot.recorder import Recorder
from bot.report.leaks import Leaks
from bot.sandboxes.bubblewrap import Bubblewrap
from bot.stores import open_store


async def worked(url: str, turns: int, at: Path, files: int) -> dict[str, float]:
    source = at / "source"
    sha = committed(source, files)
    workspace = await Mirror(at / "mirrors").pin(Remote(str(source), ""), repo_id=1, sha=sha)
    store = await open_store(f"sqlite:///{at / 'store.db'}")
    await store.accept(guid="1", event="issue_comment", action="created", job=job(1))
    claim = await store.claim("benchmark")
    assert claim is not None
    journal = await Recorder.open(store, claim, leaks=Leaks(["a secret of the benchmark"]), on_recorded=lambda _: None)
    model = AnthropicModel("a key of the benchmark", model="claude-opus-5-5", base_url=url)
    sandbox = await Bubblewrap().open("benchmark")
    try:
        await workspace.fill(sandbox)
        before = resource.getrusage(resource.RUSAGE_SELF)
        outcome = await work(
            task(sha),
            model=model,
            sandbox=sandbox,
            review=Review(workspace, sandbox, gate=lambda patch: (), check_command="", open_base=_no_base),
            journal=journal,
            limits=Limits(turns=turns, usd=10_000, input_tokens=10**9, output_tokens=10**9),
        )
        after = resource.getrusage(resource.RUSAGE_SELF)
    finally:
        await sandbox.close()
        await model.aclose()
        await store.close()
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"turns": outcome.turns, "cpu_s": cpu_s}


def task(sha: str) -> Task:
    return Task(
        repo="acme/widget",
        branch="main",
        base_sha=sha,
        issue_number=1,
        issue_title="A greeting",
        issue_text="Please see to it.",
        issue_author="alice",
        issue_trusted=True,
        request="Say which number it is, again and again.",
        requested_by="alice",
        today="2026-01-01",
    )


def _no_base() -> AbstractAsyncContextManager[Sandbox]:
    raise NotImplementedError("the script never submits")


if __name__ == "__main__":
    url, turns, folder, files = sys.argv[1:]
    sys.stdout.write(json.dumps(asyncio.run(worked(url, int(turns), Path(folder), int(files)))) + "\n")
