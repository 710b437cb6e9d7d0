"""The Modal provider with the real SDK against the loopback Modal: the contract, and what is asked of Modal."""

from collections.abc import AsyncIterator

import pytest

from bot.ports import SandboxProvider
from bot.sandboxes.images import DEFAULT, published_name
from bot.sandboxes.modal import Modal
from tests.sandboxes.contract import SandboxContract
from tests.standins.modal.published import Published
from tests.standins.modal.server import ModalStandIn

pytestmark = pytest.mark.anyio
TOKEN = ("ak-test", "as-canary-4711")


@pytest.fixture
def standin(modal_server: ModalStandIn) -> ModalStandIn:
    modal_server.part(Published).publish(published_name(DEFAULT))
    return modal_server


@pytest.fixture
async def provider(standin: ModalStandIn) -> AsyncIterator[Modal]:
    provider = Modal(bot="7", token=TOKEN)
    yield provider
    await provider.reap(())
    await provider.aclose()


class TestModal(SandboxContract):
    @pytest.fixture
    async def provider(self, standin: ModalStandIn) -> AsyncIterator[SandboxProvider]:
        provider = Modal(bot="7", token=TOKEN)
        yield provider
        await provider.aclose()
