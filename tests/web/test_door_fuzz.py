"""However a delivery is bent, the door keeps its composure."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.stores import open_store
from bot.web.app import create_app
from tests.payloads.samples import SECRET, body_of, headers_of, labeled, mention, signature_of

EXPECTED = {202, 400, 401, 413, 415}
COMMENTS, LABELS = mention(), labeled()

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**62, max_value=2**65)
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["/backspace \x00", "/backspace --budget \u0665 x", "\u202e", "-rf", "a" * 70_000, "2026-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


class Door:
    """An application with its event loop, so that each example can be one plain call."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.store = self.runner.run(open_store(f"sqlite:///{folder / 'bot.db'}"))
        self.app = create_app(store=self.store, webhook_secrets=[SECRET])

    def status(self, body: bytes, headers: list[tuple[bytes, bytes]]) -> int:
        return self.runner.run(self._post(body, headers))

    async def _post(self, body: bytes, headers: list[tuple[bytes, bytes]]) -> int:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            return (await client.post("/webhook", content=body, headers=headers)).status_code

    def close(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    opened = Door(tmp_path_factory.mktemp("door"))
    yield opened
    opened.close()


def places(payload: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(payload, dict):
        for key, value in payload.items():
            yield (*path, key)
            yield from places(value, (*path, key))


READ = ("action", "issue", "comment", "repository", "sender", "installation", "label")


def bent(payload: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(payload))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


def signed(body: bytes, event: str) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers_of(body, event=event).items()]


fast = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fast
@given(data=st.data(), value=values)
def test_a_payload_with_one_value_replaced_is_never_an_error_of_ours(
    door: Door, data: st.DataObject, value: Any
) -> None:
    payload, event = data.draw(st.sampled_from([(COMMENTS, "issue_comment"), (LABELS, "issues")]))
    path = data.draw(st.sampled_from([place for place in places(payload) if place[0] in READ]))
    body = body_of(bent(payload, path, value))
    assert door.status(body, signed(body, event)) in EXPECTED


@fast
@given(text=st.text(max_size=300))
def test_any_comment_is_never_an_error_of_ours(door: Door, text: str) -> None:
    body = body_of(mention(f"/backspace {text}"))
    assert door.status(body, signed(body, "issue_comment")) in EXPECTED


@fast
@given(at=st.integers(min_value=0, max_value=12_000), junk=st.binary(max_size=20), cut=st.integers(0, 50))
def test_bytes_replaced_anywhere_are_never_an_error_of_ours(door: Door, at: int, junk: bytes, cut: int) -> None:
    body = body_of(COMMENTS)
    body = body[:at] + junk + body[at + cut :]
    assert door.status(body, signed(body, "issue_comment")) in EXPECTED


@fast
@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"x-github-event", b"x-github-delivery", b"content-type", b"x-hub-signature-256"]),
            st.binary(max_size=80),
        ),
        max_size=6,
    ),
    is_signed=st.booleans(),
)
def test_any_headers_are_never_an_error_of_ours(
    door: Door, headers: list[tuple[bytes, bytes]], is_signed: bool
) -> None:
    body = body_of(COMMENTS)
    if is_signed:
        headers = [*headers, (b"x-hub-signature-256", signature_of(body).encode())]
    assert door.status(body, headers) in EXPECTED
