"""A bound of our own on one call of a database server: its machine may be gone, and then nobody there keeps one."""

import os
import socket
import threading
from contextlib import suppress
from typing import Any

import psycopg
from sqlalchemy.exc import DisconnectionError, TimeoutError


class Line:
    """The connection one call uses, which another thread may cut. SQLAlchemy tells it by `taken`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._is_cut = False

    def taken(self, connection: psycopg.Connection[Any]) -> None:
        """Raises DisconnectionError for one that is dead, so that the pool makes another, TimeoutError when the call's
        time is over."""
        with self._lock:
            if self._is_cut:
                raise TimeoutError("cut")
            self._connection = connection
        try:
            connection.autocommit = True  # one round trip: no transaction around it
            connection.execute("")
            connection.autocommit = False
        except psycopg.Error as error:
            raise DisconnectionError from error

    def left(self) -> None:
        """It is somebody else's from now on."""
        with self._lock:
            self._connection = None

    def cut(self) -> None:
        """Whoever waits on it gets a psycopg.OperationalError at once; no other is taken for the call."""
        with self._lock, suppress(OSError, psycopg.Error):
            self._is_cut = True
            if self._connection is not None:
                with socket.socket(fileno=os.dup(self._connection.fileno())) as beside:
                    beside.shutdown(socket.SHUT_RDWR)
