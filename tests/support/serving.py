"""Serves answers on loopback and lets them go wrong on demand. What is served is for :class:`Served` to say."""

from __future__ import annotations

import re
import ssl
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol
from urllib.parse import urlsplit

LOGIN_PAGE = (
    b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><form><input name=user></form></body></html>"
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it was answered. ``sent`` counts body bytes."""

    method: str
    path: str
    range: str | None
    status: int
    sent: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Fault:
    """What goes wrong on a path. With ``times`` only that often, then the path works. Options may be combined.

    ``status`` answers with that status; ``body`` replaces the body (``LOGIN_PAGE``, garbage); ``truncate`` announces
    the whole length and closes after that many bytes; ``no_ranges`` ignores Range (200, whole body); ``wrong_range``
    sends 206 with other bytes and an honest Content-Range; ``lying_range`` sends other bytes under the asked range;
    ``unsatisfiable`` answers 416 to any range; ``stall`` waits that many seconds before the first byte (until the
    server stops at most); ``slow`` waits that long before each KiB; ``drop`` closes without an answer; ``redirect``
    points elsewhere (302, or ``status``); ``only_ranges`` applies the fault to range requests alone.
    """

    status: int | None = None
    body: bytes | None = None
    content_type: str | None = None
    truncate: int | None = None
    no_ranges: bool = False
    wrong_range: bool = False
    lying_range: bool = False
    unsatisfiable: bool = False
    stall: float = 0.0
    slow: float = 0.0
    drop: bool = False
    redirect: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    times: int | None = None
    only_ranges: bool = False


class LoopbackServer(ThreadingHTTPServer):
    """Says nothing of clients that go away in the middle: that is what some tests are for."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Served(Protocol):
    """What a handler needs of the server that owns it."""

    stopping: threading.Event
    log: list[Request]

    def take_fault(self, path: str, *, ranged: bool) -> Fault: ...

    def answer(self, path: str) -> tuple[int, bytes, str, dict[str, str]]: ...

    def admits(self, path: str, query: str) -> bool: ...


def handler_for(index: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        server_index = index

    return Handler


class _Handler(BaseHTTPRequestHandler):
    server_index: Served
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the log is a list."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        index = self.server_index
        path = urlsplit(self.path).path
        wanted = self.headers.get("Range")
        fault = index.take_fault(path, ranged=wanted is not None)
        if fault.stall and index.stopping.wait(fault.stall):
            self.close_connection = True
            return
        if fault.drop:
            self._note(path, 0, 0)
            self.close_connection = True
            return
        if fault.redirect is not None:
            self._send(path, fault.status or 302, b"", "text/html", {"Location": fault.redirect}, fault)
            return
        status, body, kind, headers = index.answer(path)
        if not index.admits(path, urlsplit(self.path).query):
            status, body = 403, b"<Error><Code>AccessDenied</Code></Error>"
        if fault.status is not None:
            status, body = fault.status, f"<html><body><h1>{fault.status}</h1></body></html>".encode()
        if fault.body is not None:
            body = fault.body
        if status == 200 and headers.get("ETag") and self.headers.get("If-None-Match") == headers["ETag"]:
            status, body = 304, b""
        if self.headers.get("If-Range") not in (None, headers.get("ETag"), headers.get("Last-Modified")):
            wanted = None  # another version of the file: the whole of it (RFC 9110, 13.1.5)
        if status == 200 and wanted and not path.endswith("/"):
            status, body, more = _cut(body, wanted, fault)
            headers = {**headers, **more}
        self._send(path, status, body, fault.content_type or kind, headers, fault)

    def _send(self, path: str, status: int, body: bytes, kind: str, headers: dict[str, str], fault: Fault) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if not fault.no_ranges and not path.endswith("/"):
            self.send_header("Accept-Ranges", "bytes")
        for name, value in {**headers, **fault.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        out = b"" if self.command == "HEAD" else body if fault.truncate is None else body[: fault.truncate]
        self._note(path, status, len(out))
        if fault.truncate is not None:
            self.close_connection = True
        try:
            for start in range(0, len(out), 1024 if fault.slow else 1 << 20):
                if fault.slow and self.server_index.stopping.wait(fault.slow):
                    break
                self.wfile.write(out[start : start + (1024 if fault.slow else 1 << 20)])
                if fault.slow:
                    self.wfile.flush()
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _note(self, path: str, status: int, sent: int) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server_index.log.append(Request(self.command, path, self.headers.get("Range"), status, sent, headers))


def _cut(body: bytes, wanted: str, fault: Fault) -> tuple[int, bytes, dict[str, str]]:
    """Answer a range request (one range; RFC 9110 §14), or as the fault wants it."""
    if fault.no_ranges:
        return 200, body, {}
    size = len(body)
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted)
    if fault.unsatisfiable or match is None or match.groups() == ("", ""):
        return 416, b"", {"Content-Range": f"bytes */{size}"}
    if match[1]:
        first, last = int(match[1]), min(int(match[2]) if match[2] else size - 1, size - 1)
    else:
        first, last = max(size - int(match[2]), 0), size - 1
    if first > last:
        return 416, b"", {"Content-Range": f"bytes */{size}"}
    part = body[first : last + 1]
    if fault.wrong_range:
        first, last, part = 0, len(part) - 1, body[: len(part)]
    if fault.lying_range:
        part = bytes(byte ^ 0x55 for byte in part)
    return 206, part, {"Content-Range": f"bytes {first}-{last}/{size}"}
