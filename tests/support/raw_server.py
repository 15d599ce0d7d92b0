"""A server on loopback that is scripted to the byte: what no HTTP library would send."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self


class RawServer:
    """Hands each connection to ``script``; ``stopping`` is set when the test is over. A context manager."""

    def __init__(self, script: Callable[[socket.socket, threading.Event], None]) -> None:
        self.connections = 0
        self.stopping = threading.Event()
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self._script(connection, self.stopping)


def answering(
    *pieces: bytes, pause: float = 0.0, forever: bytes = b""
) -> Callable[[socket.socket, threading.Event], None]:
    """Read a request, send ``pieces``, then ``forever`` again and again with a pause before each."""

    def script(connection: socket.socket, stopping: threading.Event) -> None:
        connection.recv(65536)
        for piece in pieces:
            connection.sendall(piece)
        while forever and not stopping.wait(pause):
            connection.sendall(forever)

    return script


def silent(connection: socket.socket, stopping: threading.Event) -> None:
    """Take the connection and say nothing."""
    stopping.wait()
