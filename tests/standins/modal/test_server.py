"""The Modal stand-in's own ground: the real client is let in, and a call that nobody answers is never lost."""

from pathlib import Path

import modal
import pytest

from tests.standins.modal.server import ModalStandIn, modal_standin

pytestmark = pytest.mark.anyio


async def test_the_real_client_is_let_in(modal_server: ModalStandIn) -> None:
    client = await modal.Client.from_credentials.aio("ak-1", "as-1")
    app = await modal.App.lookup.aio("an-app", client=client, create_if_missing=True)
    again = await modal.App.lookup.aio("an-app", client=client)
    assert app.app_id == again.app_id
    with pytest.raises(modal.exception.NotFoundError):
        await modal.App.lookup.aio("no-app", client=client)
    await client.close.aio()


async def test_a_call_that_nobody_answers_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with modal_standin(tmp_path) as standin:
        monkeypatch.setenv("MODAL_SERVER_URL", standin.url)
        client = await modal.Client.from_credentials.aio("ak-1", "as-1")
        with pytest.raises(modal.exception.Error):
            await modal.Queue.objects.create.aio("unheard-of", client=client)
        await client.close.aio()
        assert standin.unanswered == ["QueueGetOrCreate"]
        standin.unanswered.clear()
