"""Ends a connection when its time is over, whatever it is doing: shaking hands, sending headers, or a body.

A read time-out never fires on a server that sends a byte now and then, so time is kept outside the connection: the
alarm shuts the socket, and what waits for it fails at once.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from urllib3 import disable_warnings
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import InsecureRequestWarning

disable_warnings(InsecureRequestWarning)  # pip's trusted-host is said once, as a note on the configuration

_of_thread = threading.local()


class Alarm:
    """A context manager: connections that this thread opens or uses inside are shut after ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self.rang = False
        self._due = time.monotonic() + seconds
        self._over = threading.Event()
        self._watched: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        _of_thread.alarm = self
        threading.Thread(target=self._wait, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        _of_thread.alarm = None
        self._over.set()
        with self._lock:
            for handle in self._watched:
                handle.close()
            self._watched.clear()

    def postpone(self, seconds: float) -> None:
        """Ring that many seconds from now instead."""
        self._due = time.monotonic() + seconds

    def watch(self, handle: socket.socket) -> None:
        """Shut this socket too; at once where the time is over.

        A handle of our own is kept: a connection closes its own while the body of the last answer is still read.
        """
        with self._lock:
            self._watched.append(handle.dup())
            if self.rang:
                _shut(handle)

    def _wait(self) -> None:
        while (left := self._due - time.monotonic()) > 0:
            if self._over.wait(left):
                return
        with self._lock:
            self.rang = True
            for handle in self._watched:
                _shut(handle)


def _shut(handle: socket.socket) -> None:
    with suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)


class _Watched(HTTPConnection):
    """A connection that the thread's alarm can shut. It keeps a second handle of its socket, which encryption does not
    take over as it does the first."""

    _handle: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        self._handle = made.dup()
        self._watch()
        return made

    def request(self, *args: Any, **options: Any) -> None:  # Any: handed on to urllib3
        self._watch()
        super().request(*args, **options)

    def close(self) -> None:
        super().close()
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def _watch(self) -> None:
        alarm: Alarm | None = getattr(_of_thread, "alarm", None)
        if alarm is not None and self._handle is not None:
            alarm.watch(self._handle)


class _WatchedTls(_Watched, HTTPSConnection):
    """The same, encrypted."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTls


POOLS = {"http": _Pool, "https": _TlsPool}
