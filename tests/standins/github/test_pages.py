"""The pages a person uses: what they show, what their buttons do, and that nothing in a thread runs."""

import re
from pathlib import Path

import pytest

from bot.standins.github.markdown import rendered
from tests.standins.github.scene import Scene, scene

pytestmark = pytest.mark.anyio


async def submit(it: Scene, path: str, **fields: str) -> str:
    """Posts a form as mona; answers where it leads."""
    said = await it.http.post(path, data={"as": "mona"} | fields)
    assert said.status_code == 303, said.text
    return said.headers["location"]


async def test_a_person_opens_an_issue_and_comments(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        where = await submit(it, "/octo/tool/issues/new", title="Say hello", body="It says `hullo`.\r\nToday.")
        assert where == "/octo/tool/issues/1"
        await submit(it, "/octo/tool/threads/1/comment", body="/backspace say hello")
        page = (await it.http.get(where)).text
        for words in ("Say hello", "<code>hullo</code>", "/backspace say hello", "<strong>mona</strong>"):
            assert words in page
        assert [one.event for one in it.github.deliveries] == ["issues", "issue_comment"]
        assert it.repo.issues[1].body == "It says `hullo`.\nToday."


async def test_who_may_write_is_offered_first_and_a_stranger_too(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.github.add_user("mallory")
        it.github.add_user("acme", type="Organization")
        it.github.set_role(it.repo, "zoe", "write")
        it.github.open_issue(it.repo, "mona", "Say hello")
        page = (await it.http.get("/octo/tool/issues/1")).text
        offered = re.findall(r'<option value="([^"]+)"(?: selected)?>([^<]+)<', page)
        logins = [login for login, _ in offered]
        assert dict(offered) == {login: f"{login} ({it.repo.role_of(it.github.user(login))})" for login in logins}
        roles = [it.repo.role_of(it.github.user(login)) in ("admin", "write") for login in logins]
        assert roles == sorted(roles, reverse=True)
        assert {"zoe", "mallory"} <= set(logins)
        assert "acme" not in logins


async def test_the_buttons_label_close_and_reopen(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        for verb in ("label", "unlabel", "close", "reopen"):
            await submit(it, f"/octo/tool/threads/1/{verb}", name="backspace")
        actions = [one.action for one in it.github.deliveries]
        assert actions == ["opened", "labeled", "unlabeled", "closed", "reopened"]


async def test_a_pull_request_shows_its_diff_and_check_and_can_be_merged(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        head = await it.branch("backspace/1", {"tool.py": "def hello() -> str:\n    return 'hello'\n"}, token=token)
        asked = {"title": "Say hello", "body": "**Fixed**", "head": "backspace/1", "base": "main"}
        await it.ask("POST", "pulls", asked, token=token)
        output = {"title": "Opened #1", "summary": "- [x] Sandbox ready"}
        button = {"label": "Retry", "description": "Again", "identifier": "retry"}
        wanted = {
            "name": "backspace",
            "head_sha": head,
            "conclusion": "success",
            "output": output,
            "actions": [button],
        }
        run = (await it.ask("POST", "check-runs", wanted, token=token)).json()
        page = (await it.http.get("/octo/tool/pull/1")).text
        for words in ("<strong>Fixed</strong>", 'class="add"', "Verified", "backspace/1", "success", "-    return"):
            assert words in page
        check = (await it.http.get(f"/octo/tool/runs/{run['id']}")).text
        for words in ("Opened #1", "<input type='checkbox' disabled checked> Sandbox ready", ">Retry</button>"):
            assert words in check
        await submit(it, f"/octo/tool/runs/{run['id']}/retry")
        await submit(it, f"/octo/tool/runs/{run['id']}/rerequest")
        assert [one.action for one in it.github.deliveries[-2:]] == ["requested_action", "rerequested"]
        await submit(it, "/octo/tool/threads/1/merge")
        assert "Merged" in (await it.http.get("/octo/tool/pull/1")).text
        assert (await it.http.get("/octo/tool/pull/1.diff")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/", id="index"),
        pytest.param("/octo/tool", id="repository"),
        pytest.param("/octo/tool/issues/new", id="new-issue"),
        pytest.param("/octo/tool/tree/main", id="tree"),
        pytest.param("/octo/tool/commit/main", id="commit"),
        pytest.param("/deliveries", id="deliveries"),
        pytest.param("/assets/page.css", id="style"),
        pytest.param("/assets/page.js", id="script"),
        pytest.param("/avatars/1", id="avatar"),
    ],
)
async def test_every_page_opens_and_forbids_foreign_code(tmp_path: Path, path: str) -> None:
    async with scene(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        said = await it.http.get(path)
        assert said.status_code == 200
        assert "script-src 'self'" in said.headers["content-security-policy"]


async def test_a_delivery_can_be_looked_at_and_sent_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        await it.github.deliver()
        id = it.github.deliveries[0].id
        page = (await it.http.get(f"/deliveries/{id}")).text
        assert "X-Hub-Signature-256" in page
        assert "It&#39;s a Secret" not in page
        assert (await it.http.post(f"/deliveries/{id}/redeliver")).status_code == 303
        assert it.github.deliveries[1].guid == it.github.deliveries[0].guid


@pytest.mark.parametrize(
    ("path", "fields", "headers", "status"),
    [
        pytest.param("/octo/tool/threads/1/comment", {"as": "mona", "body": " "}, {}, 422, id="empty-comment"),
        pytest.param("/octo/tool/threads/1/comment", {"as": "nobody", "body": "x"}, {}, 422, id="nobody"),
        pytest.param("/octo/tool/threads/1/burn", {"as": "mona"}, {}, 404, id="no-such-button"),
        pytest.param("/octo/tool/threads/9/close", {"as": "mona"}, {}, 404, id="no-such-thread"),
        pytest.param(
            "/octo/tool/threads/1/close", {"as": "mona"}, {"Sec-Fetch-Site": "cross-site"}, 403, id="another-site"
        ),
    ],
)
async def test_a_form_that_is_refused(
    tmp_path: Path, path: str, fields: dict[str, str], headers: dict[str, str], status: int
) -> None:
    """The last row is red when `fields_of` does not look at `Sec-Fetch-Site`: tried."""
    async with scene(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        assert (await it.http.post(path, data=fields, headers=headers)).status_code == status
        assert it.repo.issues[1].state == "open"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        pytest.param("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;", id="script"),
        pytest.param("a <img src=x onerror=y>", "<p>a &lt;img src=x onerror=y&gt;</p>\n", id="image-with-a-handler"),
        pytest.param("![cat](http://x/y.png)", "<p><span class='image'>[image: cat]</span></p>\n", id="remote-image"),
        pytest.param("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n", id="script-link"),
        pytest.param("<!-- marker -->\n\nhi", "\n<p>hi</p>\n", id="comment"),
        pytest.param("`<!-- shown -->`", "<p><code>&lt;!-- shown --&gt;</code></p>\n", id="comment-in-code"),
        pytest.param("see #12", "<p>see <a href='/o/r/issues/12'>#12</a></p>\n", id="reference"),
        pytest.param("@mona", "<p><strong class='mention'>@mona</strong></p>\n", id="mention"),
        pytest.param(
            "<details><summary>log</summary>\n\nx\n\n</details>",
            "<details><summary>log</summary>\n<p>x</p>\n</details>",
            id="folded",
        ),
        pytest.param("<details onclick=x>", "&lt;details onclick=x&gt;", id="folded-with-a-handler"),
    ],
)
def test_markdown_is_shown_and_nothing_in_it_runs(text: str, html: str) -> None:
    """Red when HTML passes as it is: tried."""
    assert rendered(text, base="/o/r") == html
