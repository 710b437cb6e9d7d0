"""A folder's own instructions are named once, when the first file below it is read."""

from pathlib import Path

from tests.agent.bench import bench, run
from tests.fakes import ScriptedModel, results, steps, submit, use

FILES = {
    "AGENTS.md": b"For all.\n",
    "web/AGENTS.md": b"For the web.\n",
    "web/forms/AGENTS.md": b"For forms.\n",
    "web/app.ts": b"a\n",
    "web/forms/login.ts": b"b\n",
    "web/forms/logout.ts": b"c\n",
    "api/main.go": b"d\n",
}
FORMS = "[instructions for this folder: web/forms/AGENTS.md, web/AGENTS.md]"


async def test_a_read_below_a_folder_with_instructions_names_them_once(tmp_path: Path) -> None:
    paths = ("api/main.go", "web/forms/login.ts", "web/forms/logout.ts", "web/app.ts")
    model = ScriptedModel(
        steps(
            [use("read", file_path=path) for path in paths],
            [use("read", file_path="./web/forms/../forms/login.ts")],
            [submit(outcome="blocked")],
        )
    )
    await run(await bench(tmp_path, FILES), model)
    assert results(model.asked[1]) == ["1\td", f"1\tb\n{FORMS}", "1\tc", "1\ta"]
    assert results(model.asked[2]) == ["1\tb"]


async def test_reading_the_instructions_themselves_is_no_reason_to_name_them(tmp_path: Path) -> None:
    model = ScriptedModel(
        steps(
            [use("read", file_path="web/AGENTS.md")], [use("read", file_path="web/app.ts")], [submit(outcome="blocked")]
        )
    )
    await run(await bench(tmp_path, FILES), model)
    assert [results(asked) for asked in model.asked[1:]] == [["1\tFor the web."], ["1\ta"]]
