"""Who may call: App JWTs, installation tokens and their subsets, what is forbidden and what is invisible."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.standins.github.auth import credential_of
from tests.standins.github.scene import scene

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("claims", "status", "message"),
    [
        pytest.param({}, 200, None, id="good"),
        pytest.param({"exp": 601}, 401, "'Expiration time' claim ('exp') is too far in the future", id="too-long"),
        pytest.param({"exp": 600}, 200, None, id="ten-minutes-exactly"),
        pytest.param({"exp": 0}, 401, "'Expiration time' claim ('exp') must be a numeric", id="expired"),
        pytest.param({"iat": 5}, 401, "'Issued at' claim ('iat') must be an Integer", id="from-the-future"),
        pytest.param({"iss": "999"}, 404, "Integration not found", id="unknown-app"),
    ],
)
async def test_an_app_jwt(tmp_path: Path, claims: dict[str, Any], status: int, message: str | None) -> None:
    async with scene(tmp_path) as it:
        now = int(it.clock())
        moments = {name: value if name == "iss" else now + value for name, value in claims.items()}
        said = await it.as_app("GET", "/app", **moments)
        assert said.status_code == status
        assert message is None or said.json()["message"].startswith(message)


async def test_a_jwt_signed_with_another_key_is_refused(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        said = await it.as_app("GET", "/app")
        assert (said.status_code, said.json()["message"]) == (401, "A JSON web token could not be decoded")


async def test_a_token_is_long_lives_an_hour_and_can_be_revoked(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        assert token.startswith(f"ghs_{it.app.app.id}_")
        assert len(token) == 520
        assert (await it.ask("GET", "", token=token)).status_code == 200
        it.clock.at += 3_599
        assert (await it.ask("GET", "", token=token)).status_code == 200
        it.clock.at += 1
        late = await it.ask("GET", "", token=token)
        assert (late.status_code, late.json()["message"]) == (401, "Bad credentials")
        fresh = await it.token()
        assert (await it.ask("DELETE", "/installation/token", token=fresh)).status_code == 204
        assert (await it.ask("GET", "", token=fresh)).status_code == 401


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        pytest.param({"permissions": {"issues": "read"}}, 201, None, id="a-permission-less"),
        pytest.param(
            {"permissions": {"issues": "write", "metadata": "read"}}, 201, None, id="metadata-is-always-there"
        ),
        pytest.param({"permissions": {"workflows": "write"}}, 422, "The permissions requested", id="never-granted"),
        pytest.param({"permissions": {"issues": "admin"}}, 422, "The permissions requested", id="a-level-too-high"),
        pytest.param({"repositories": ["tool"]}, 201, None, id="by-name"),
        pytest.param({"repositories": ["nowhere"]}, 422, "There is at least one repository", id="unknown-name"),
        pytest.param({"repository_ids": [7]}, 422, "There is at least one repository", id="unknown-id"),
    ],
)
async def test_a_token_is_never_for_more_than_was_granted(
    tmp_path: Path, asked: dict[str, Any], status: int, message: str | None
) -> None:
    async with scene(tmp_path) as it:
        said = await it.as_app("POST", f"/app/installations/{it.installation.id}/access_tokens", asked)
        assert said.status_code == status, said.text
        assert message is None or said.json()["message"].startswith(message)


async def test_what_a_token_may_not_do_is_forbidden_and_says_what_would_be_needed(tmp_path: Path) -> None:
    """Red when `authorize` lets everything through: tried."""
    async with scene(tmp_path) as it:
        it.github.open_issue(it.repo, "mona", "Say hello")
        token = await it.token(permissions={"contents": "read"})
        said = await it.ask("POST", "issues/1/comments", {"body": "hi"}, token=token)
        assert (said.status_code, said.json()["message"]) == (403, "Resource not accessible by integration")
        assert said.headers["x-accepted-github-permissions"] == "issues=write; pull_requests=write"
        assert (await it.ask("GET", "issues/1", token=token)).status_code == 403
        assert (await it.ask("POST", "git/blobs", {"content": "x"}, token=token)).status_code == 403
        assert (await it.ask("GET", "git/ref/heads/main", token=token)).status_code == 200


async def test_a_private_repository_outside_the_token_is_invisible(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.github.add_repository("octo", "hidden", private=True)
        it.github.add_repository("octo", "open")
        token = await it.token(repository_ids=[it.repo.id])
        assert (await it.ask("GET", "/repos/octo/hidden", token=token)).status_code == 404
        assert (await it.ask("GET", "/repos/octo/open", token=token)).status_code == 200
        said = await it.ask("POST", "/repos/octo/open/issues", {"title": "x"}, token=token)
        assert said.status_code == 403
        listed = (await it.ask("GET", "/installation/repositories", token=token)).json()
        assert [one["name"] for one in listed["repositories"]] == ["tool"]


async def test_without_credentials_a_public_repository_may_be_read_only(tmp_path: Path) -> None:
    async with scene(tmp_path, private=False) as it:
        assert (await it.http.get("/repos/octo/tool")).status_code == 200
        said = await it.http.post("/repos/octo/tool/issues", json={"title": "x"})
        assert (said.status_code, said.json()["message"]) == (401, "Requires authentication")
        assert (await it.http.get("/repos/octo/tool/collaborators/mona/permission")).status_code == 401
        assert (await it.http.get("/app")).status_code == 401


async def test_suspended_and_removed_installations_give_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        it.installation.suspended_at = it.clock()
        assert (await it.ask("GET", "", token=token)).status_code == 403
        it.installation.suspended_at = None
        it.github.uninstall(it.installation)
        assert (await it.ask("GET", "", token=token)).status_code == 401
        assert (await it.as_app("GET", "/repos/octo/tool/installation")).status_code == 404


async def test_the_rate_limit_counts_down_and_ends(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        token = await it.token()
        it.github.world.rate_limit = 2
        left = [(await it.ask("GET", "", token=token)).headers["x-ratelimit-remaining"] for _ in range(2)]
        assert left == ["1", "0"]
        over = await it.ask("GET", "", token=token)
        assert (over.status_code, over.headers["x-ratelimit-remaining"]) == (403, "0")
        assert int(over.headers["x-ratelimit-reset"]) == int(it.clock()) + 3_600
        it.clock.at += 3_600
        fresh = await it.token()
        assert (await it.ask("GET", "", token=fresh)).status_code == 200


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        pytest.param("Bearer abc", "abc", id="bearer"),
        pytest.param("token abc", "abc", id="token"),
        pytest.param("Basic eC1hY2Nlc3MtdG9rZW46YWJj", "abc", id="basic-as-git-sends-it"),
        pytest.param("Basic !!!", None, id="broken-base64"),
        pytest.param("Digest abc", None, id="another-scheme"),
    ],
)
def test_the_secret_in_a_header(header: str, secret: str | None) -> None:
    assert credential_of(header) == secret
