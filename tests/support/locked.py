"""Small locks over a loopback file server that fails on request."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from gpuenv.lock.model import Lock, LockedDecision, LockedPackage, LockInputs, MachineTarget
from support.wheels import BuiltWheel

Fault = Callable[["FileHandler", bytes], bool]
"""Answers a request itself and returns true, or leaves it (false)."""


class FileHandler(BaseHTTPRequestHandler):
    """Serves ``files`` of its server by name."""

    protocol_version = "HTTP/1.1"
    server: FileServer  # type: ignore[assignment]  # the base class says BaseServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        name = self.path.rsplit("/", 1)[-1].replace("%2B", "+").replace("%2b", "+")
        self.server.requests.append(f"{self.command} {name}")
        body = self.server.files.get(name)
        try:
            if body is None:
                self.answer(404, b"not here")
            elif name not in self.server.faults or not self.server.faults[name](self, body):
                self.answer(200, body)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def answer(self, status: int, body: bytes, *, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Cache-Control", "max-age=365000000, immutable")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


class FileServer(ThreadingHTTPServer):
    """Files under ``http://127.0.0.1:PORT/``; a context manager. ``requests`` lists what was asked for."""

    daemon_threads = True

    def __init__(self, wheels: Iterable[BuiltWheel] = ()) -> None:
        super().__init__(("127.0.0.1", 0), FileHandler)
        self.files = {wheel.filename: wheel.body for wheel in wheels}
        self.faults: dict[str, Fault] = {}
        self.requests: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""

    def __enter__(self) -> FileServer:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()


def status(code: int) -> Fault:
    """Answer ``code``."""

    def fault(handler: FileHandler, body: bytes) -> bool:
        handler.answer(code, b"no")
        return True

    return fault


def cut(share: float) -> Fault:
    """Promise the whole body, send a share of it, and hang up."""

    def fault(handler: FileHandler, body: bytes) -> bool:
        handler.answer(200, body[: int(len(body) * share)], length=len(body))
        handler.close_connection = True
        return True

    return fault


def replaced(other: bytes) -> Fault:
    """Answer with other bytes, all of them."""

    def fault(handler: FileHandler, body: bytes) -> bool:
        handler.answer(200, other)
        return True

    return fault


def trickle(seconds: float, pieces: int = 200) -> Fault:
    """Send the body slowly: ``pieces`` pieces over ``seconds``."""

    def fault(handler: FileHandler, body: bytes) -> bool:
        handler.answer(200, b"", length=len(body))
        size = max(1, len(body) // pieces)
        for start in range(0, len(body), size):
            handler.wfile.write(body[start : start + size])
            handler.wfile.flush()
            time.sleep(seconds / pieces)
        return True

    return fault


def write_lock(path: Path, wheels: Iterable[BuiltWheel], *, base: str, python: str = ">=3.11") -> Path:
    """Write a ``pylock.toml`` that locks ``wheels`` at ``base`` by sha256 and size."""
    lines = ['lock-version = "1.0"', 'created-by = "tests"', f'requires-python = "{python}"', ""]
    for wheel in sorted(wheels, key=lambda each: each.project):
        digest = hashlib.sha256(wheel.body).hexdigest()
        url = f"{base}/{wheel.filename.replace('+', '%2B')}"
        lines += [
            "[[packages]]",
            f'name = "{wheel.project}"',
            f'version = "{wheel.version}"',
            f'wheels = [{{ name = "{wheel.filename}", url = "{url}", size = {len(wheel.body)}, '
            f'hashes = {{ sha256 = "{digest}" }} }}]',
            "",
        ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def make_lock(wheels: Iterable[BuiltWheel], *, base: str, python: str | None = None) -> Lock:
    """Make the lock that :func:`write_lock` writes, as gpuenv's own value."""
    packages = tuple(
        LockedPackage(
            name=wheel.project,
            version=wheel.version,
            filename=wheel.filename,
            url=f"{base}/{wheel.filename}",
            sha256=wheel.sha256,
            size=len(wheel.body),
            hash_origin="index",
            source="pytorch",
            family=wheel.project in ("torch", "torchvision", "torchaudio"),
        )
        for wheel in wheels
    )
    target = MachineTarget(
        os="linux",
        arch="x86_64",
        libc="glibc 2.28",
        python=python or f"{sys.version_info[0]}.{sys.version_info[1]}",
        compute_capabilities=(),
        driver=None,
    )
    inputs = LockInputs(
        profile="cpu",
        profile_digest="0" * 64,
        target=target,
        snapshot="0" * 64,
        sources=(base,),
        cutoff=None,
        knowledge="tests",
    )
    decision = LockedDecision(
        accelerator="cpu", wish="cpu", torch="1.0", variant="cpu", channel="stable", source="pytorch"
    )
    return Lock(command="gpuenv lock", inputs=inputs, decision=decision, packages=packages)
