"""A sandbox's way out by one listening socket: made inside, where commands reach it, and handed to the proxy outside.

A socket stays in the network namespace it was made in, whoever holds it. So the sandbox needs no route, no address of
the host and no forwarder: commands connect to their own 127.0.0.1, and what accepts there is the proxy of the bot.
"""

import asyncio
import os
import socket
from collections.abc import Sequence

from bot.domain.errors import ProviderError
from bot.sandboxes.egress import WayOut
from bot.sandboxes.inside.observing import proxied
from bot.sandboxes.proxy import DIALER, AllowListProxy, Dialer

HAND_OVER_S = 10.0


class HandedNetwork:
    """`channel`: a Unix socket whose other end the helper has, or one that listens for the helper to connect."""

    def __init__(self, channel: socket.socket, *, provider: str, way_out: WayOut, dialer: Dialer = DIALER) -> None:
        self._channel, self._provider = channel, provider
        self._way_out, self._dialer = way_out, dialer
        self._proxy: AllowListProxy | None = None

    def prepare(self) -> bool:
        """The channel is there already."""
        return True

    async def open(self, names: Sequence[str]) -> dict[str, str]:
        try:
            listener = await asyncio.to_thread(_handed, self._channel)
        except (OSError, ValueError) as error:
            raise ProviderError(self._provider, f"the setup phase got no network: {error}") from None
        port = listener.getsockname()[1]
        self._proxy = AllowListProxy(names, self._way_out, dialer=self._dialer)
        await self._proxy.serve(listener)
        return proxied(port)

    async def close(self) -> tuple[str, ...]:
        self._channel.close()
        return await self._proxy.close() if self._proxy else ()


def _handed(channel: socket.socket) -> socket.socket:
    """Raises OSError, and ValueError for anything but a listening TCP socket: what is inside is not trusted."""
    if _listens(channel):
        channel.settimeout(HAND_OVER_S)
        arrived, _ = channel.accept()
        with arrived:
            return _received(arrived)
    return _received(channel)


def _received(channel: socket.socket) -> socket.socket:
    channel.settimeout(HAND_OVER_S)
    _, descriptors, _, _ = socket.recv_fds(channel, 64, 1)
    for spare in descriptors[1:]:  # the kernel may round up
        os.close(spare)
    if not descriptors:
        raise ValueError("no socket was handed over")
    try:
        listener = socket.socket(fileno=descriptors[0])
    except OSError:
        os.close(descriptors[0])
        raise
    kind = (listener.family, listener.type)
    if kind != (socket.AF_INET, socket.SOCK_STREAM) or not _listens(listener):
        listener.close()
        raise ValueError("what was handed over is no listening socket")
    listener.setblocking(False)
    return listener


def _listens(one: socket.socket) -> bool:
    return bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
