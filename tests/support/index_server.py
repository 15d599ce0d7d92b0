"""A loopback server with PyTorch's index (``/whl/``) and a default package index (``/simple/``), faults on demand.

    with IndexServer() as server:
        server.add(torch_wheel("2.10.0", "cu128"), folder="cu128")
        server.add(torch_wheel("2.11.0.dev20260102", "cu128"), folder="nightly/cu128")
        server.add_package(build_wheel("numpy", "2.3.0"))
        server.serve_day("2026-01-03")                        # recorded rows, real page format
        server.fault("/whl/torch/", Fault(status=503, times=2))
        ...  server.torch_index, server.default_index, server.log, server.requests("/whl/")

Pages are PyTorch's to the byte: 4-space indent, attribute order, ``%2B``, anchors sorted by key, no final newline,
no ``#sha256`` on nightly pages, 403 for what is not there, ``no-store`` on nightly pages. Of a recorded row the page
shows the recorded sha256 (``real_hashes=False``: that of the body served, so that it can be installed), and
``data-core-metadata`` is always the hash of the metadata served, since the real metadata was never recorded.

By hand: ``PYTHONPATH=tests python -m support.index_server --day 2026-01-03 --port 8000 --seconds 600``.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import secrets
import ssl
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from support.index_pages import Anchor, render_package_page, render_project_list, render_project_page
from support.recorded import UPLOAD_TIME_SINCE, Row, recording
from support.serving import LOGIN_PAGE, Fault, LoopbackServer, Request, handler_for
from support.wheels import BuiltWheel, normalize

__all__ = ["LOGIN_PAGE", "Anchor", "Fault", "IndexServer", "Request", "render_project_page"]

FROZEN = ("cpu-cxx11-abi", "cpu_pypi_pkg")  # as seen on 2026-05-19: their own pages answer, the root's leaves them out


@dataclass
class _File:
    """A wheel that can be asked for; ``row`` ones are built when asked."""

    key: str
    wheel: BuiltWheel | None = None
    row: Row | None = None
    hashed: bool = True
    upload_time: str | None = None
    offer_metadata: bool = True
    yanked: str | None = None
    listed: bool = True

    def built(self) -> BuiltWheel:
        if self.wheel is None:
            assert self.row is not None
            self.wheel = recording().body(self.row)
        return self.wheel

    def metadata(self) -> bytes:
        return recording().metadata(self.row) if self.row is not None else self.built().metadata

    @cached_property
    def project(self) -> str:
        return normalize(self.key.rpartition("/")[2].partition("-")[0])


class IndexServer:
    """The server; a context manager. Everything may be added while it runs."""

    def __init__(
        self, *, port: int = 0, real_hashes: bool = True, flat: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        """``flat``: no project pages, ``/whl/cu128/`` is one page of all wheels of the folder, as some mirrors are."""
        self._scheme = "http" if tls is None else "https"
        self.real_hashes = real_hashes
        self.flat = flat
        self.log: list[Request] = []
        self._files: dict[str, _File] = {}
        self._packages: dict[str, dict[str, BuiltWheel]] = {}
        self._pages: dict[str, bytes] = {}
        self._faults: list[tuple[str, Fault]] = []
        self._signatures: set[str] | None = None
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self._server = LoopbackServer(("127.0.0.1", port), handler_for(self))
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop serving; stalled answers are dropped."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    @cached_property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    @property
    def torch_index(self) -> str:
        return f"{self.url}/whl"

    @property
    def default_index(self) -> str:
        return f"{self.url}/simple"

    # What is served

    def add(
        self,
        wheel: BuiltWheel,
        *,
        folder: str = "",
        hashed: bool | None = None,
        metadata: bool = True,
        upload_time: str | None = None,
        yanked: str | None = None,
    ) -> str:
        """Put a wheel under ``/whl/<folder>/`` (``cu128``, ``nightly/cu128``, empty for the root); return its URL.

        ``hashed`` defaults to what PyTorch does: stable rows have a hash, nightly rows none.
        """
        key = "/".join(part for part in ("whl", folder.strip("/"), wheel.filename) if part)
        shown = not folder.startswith("nightly") if hashed is None else hashed
        self._files[key] = _File(
            key, wheel=wheel, hashed=shown, upload_time=upload_time, offer_metadata=metadata, yanked=yanked
        )
        self._pages.clear()
        return f"{self.url}/{key.replace('+', '%2B')}"

    def remove(self, key: str) -> None:
        """Take one wheel away by its key (``cu128/torch-….whl``)."""
        del self._files[f"whl/{key}"]
        self._pages.clear()

    def hide(self, *keys: str) -> None:
        """Leave files out of every page while their links still answer, as the real index does with old nightlies.

        Without ``keys`` everything that stands here now is hidden.
        """
        for name, file in self._files.items():
            if not keys or name.removeprefix("whl/") in keys:
                file.listed = False
        self._pages.clear()

    def clear(self) -> None:
        """Take every wheel of the torch index away (to serve another day)."""
        self._files.clear()
        self._pages.clear()

    def add_package(self, wheel: BuiltWheel) -> None:
        """Put a wheel on the default package index (PEP 503, hashes, PEP 658)."""
        self._packages.setdefault(wheel.project, {})[wheel.filename] = wheel
        self._pages.clear()

    def serve_day(
        self,
        day: str,
        *,
        projects: Collection[str] | None = None,
        variants: Collection[str] | None = None,
        unlisted: bool = False,
    ) -> int:
        """Serve the recorded rows of a day, beside what was added; return how many. Call ``clear`` to change days."""
        rows = recording().on(day, projects=projects, variants=variants, unlisted=unlisted)
        for row in rows:
            shown = row.upload_time if day >= UPLOAD_TIME_SINCE else None
            key = f"whl/{row.key}"
            self._files[key] = _File(
                key, row=row, hashed=row.listed_hash, upload_time=shown, offer_metadata=row.metadata_sha256 is not None
            )
        self._pages.clear()
        return len(rows)

    def fault(self, path: str, fault: Fault) -> None:
        """Let requests whose path starts with ``path`` fail. ``+`` in paths is written ``%2B``. Later faults win."""
        self._faults.insert(0, (path, fault))

    def heal(self) -> None:
        """Remove every fault."""
        self._faults.clear()

    def sign(self) -> None:
        """From now on links carry a signature, as those of object stores do, and files need one. Older ones expire."""
        self._signatures = set()

    def admits(self, path: str, query: str) -> bool:
        """Whether a request may have what it asks for."""
        is_file = path.endswith((".whl", ".metadata"))
        return self._signatures is None or not is_file or query.removeprefix("sig=") in self._signatures

    def _signed(self, page: bytes) -> bytes:
        if self._signatures is None:
            return page
        signature = f"signature-{secrets.token_hex(8)}"
        self._signatures.add(signature)
        return re.sub(rb'(href="[^"#?]*\.whl)', rb"\1?sig=" + signature.encode(), page)

    # What was asked

    def requests(self, prefix: str = "/") -> list[Request]:
        """Requests whose path starts with ``prefix``."""
        return [request for request in self.log if request.path.startswith(prefix)]

    def pages(self) -> list[Request]:
        """Requests for index pages."""
        return [request for request in self.log if request.path.endswith("/")]

    def sent(self, prefix: str = "/") -> int:
        """Body bytes sent for paths that start with ``prefix``."""
        return sum(request.sent for request in self.requests(prefix))

    # Answers

    def take_fault(self, path: str, *, ranged: bool) -> Fault:
        """The fault that applies now; one that does nothing where none does."""
        with self._lock:
            for prefix, fault in self._faults:
                if path.startswith(prefix) and fault.times != 0 and (ranged or not fault.only_ranges):
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return Fault()

    def answer(self, path: str) -> tuple[int, bytes, str, dict[str, str]]:
        """Status, body, content type and headers for a path."""
        if path.startswith("/simple") or path.endswith("/"):
            answer = self._answer_package(path) if path.startswith("/simple") else self._answer_page(path)
            if answer[0] == 200 and path.endswith("/") and self._signatures is not None:
                return 200, self._signed(answer[1]), "text/html", {"Cache-Control": "no-store"}
            return answer
        name = unquote(path).lstrip("/")
        metadata = name.endswith(".metadata")
        file = self._files.get(name.removesuffix(".metadata"))
        if file is None or "+" in path or (metadata and not file.offer_metadata):
            return 403, b"<Error><Code>AccessDenied</Code></Error>", "application/xml", {}
        body = file.metadata() if metadata else file.built().body
        tag = {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "ETag": f'"{hashlib.md5(body).hexdigest()}"'}
        return 200, body, "binary/octet-stream", tag

    def _answer_page(self, path: str) -> tuple[int, bytes, str, dict[str, str]]:
        cache = "no-cache,no-store,must-revalidate" if "/nightly/" in path else "max-age=600, public, must-revalidate"
        if path not in self._pages:
            text = self._render(path.strip("/"))
            if text is None:
                return 403, b"<Error><Code>AccessDenied</Code></Error>", "application/xml", {}
            self._pages[path] = text.encode()
        body = self._pages[path]
        return 200, body, "text/html", {"Cache-Control": cache, "ETag": f'"{hashlib.md5(body).hexdigest()}"'}

    def _render(self, path: str) -> str | None:
        """A page of the torch index; ``None`` where there is none."""
        if path != "whl" and not path.startswith("whl/"):
            return None
        folder = path.removeprefix("whl").strip("/")
        if self.flat:
            files = [
                file
                for file in self._files.values()
                if file.listed and file.key.rpartition("/")[0].removeprefix("whl").strip("/") == folder
            ]
            return render_project_page(folder, map(self._anchor, files)) if files and folder else None
        channel, variant = (
            ("nightly", folder.removeprefix("nightly").strip("/"))
            if re.match(r"nightly(/|$)", folder)
            else ("", folder)
        )
        root = f"whl/{channel}/" if channel else "whl/"
        here = [file for file in self._files.values() if file.listed and self._channel(file.key) == channel]
        folders = {file.key.removeprefix(root).rpartition("/")[0] for file in here} - {""}
        if variant in folders or not variant:
            names = {file.project for file in here if self._in_variant(file.key, root, variant)}
            names |= folders | ({"nightly"} if not channel and self._has_nightlies else set()) if not variant else set()
            return render_project_list(names) if names else None
        wanted, _, project = variant.rpartition("/")
        rows = [file for file in here if file.project == project and self._in_variant(file.key, root, wanted)]
        return render_project_page(project, map(self._anchor, rows)) if rows else None

    @property
    def _has_nightlies(self) -> bool:
        return any(key.startswith("whl/nightly/") for key in self._files)

    @staticmethod
    def _channel(key: str) -> str:
        return "nightly" if key.startswith("whl/nightly/") else ""

    @staticmethod
    def _in_variant(key: str, root: str, variant: str) -> bool:
        """A root lists everything but frozen folders, a variant's page its folder and what lies at the root."""
        folder = key.removeprefix(root).rpartition("/")[0]
        return folder in ("", variant) if variant else folder not in FROZEN

    def _anchor(self, file: _File) -> Anchor:
        row = file.row
        if row is None or not self.real_hashes:
            sha256: str | None = file.built().sha256
        else:
            sha256 = row.sha256
        return Anchor(
            key=file.key,
            sha256=sha256 if file.hashed else None,
            metadata_sha256=hashlib.sha256(file.metadata()).hexdigest() if file.offer_metadata else None,
            upload_time=file.upload_time,
            yanked=file.yanked,
        )

    def _answer_package(self, path: str) -> tuple[int, bytes, str, dict[str, str]]:
        parts = unquote(path).strip("/").split("/")
        if len(parts) == 1:
            links = "".join(f'<a href="/simple/{name}/">{name}</a>\n' for name in sorted(self._packages))
            return 200, f"<!DOCTYPE html><html><body>\n{links}</body></html>\n".encode(), "text/html", {}
        wheels = self._packages.get(parts[1], {})
        if len(parts) == 2 and wheels:
            if path not in self._pages:
                self._pages[path] = render_package_page(parts[1], wheels.values()).encode()
            headers = {
                "ETag": f'"{hashlib.md5(self._pages[path]).hexdigest()}"',
                "Cache-Control": "max-age=600, public",
            }
            return 200, self._pages[path], "text/html", headers
        wheel = wheels.get(parts[-1].removesuffix(".metadata"))
        if wheel is None:
            return 404, b"404 Not Found", "text/plain", {}
        body = wheel.metadata if parts[-1].endswith(".metadata") else wheel.body
        return 200, body, "application/octet-stream", {"Cache-Control": "max-age=365000000, immutable"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a recorded day of PyTorch's index on 127.0.0.1.")
    parser.add_argument("--day", default="2026-01-03")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--variants", nargs="*", help="only these folders")
    parser.add_argument("--seconds", type=float, default=3600, help="stop by itself after that long")
    parser.add_argument("--installable", action="store_true", help="page hashes are those of the stand-in bodies")
    arguments = parser.parse_args()
    with IndexServer(port=arguments.port, real_hashes=not arguments.installable) as server:
        count = server.serve_day(arguments.day, variants=arguments.variants)
        print(
            f"{server.torch_index}  {count} wheels of {arguments.day}; stops after {arguments.seconds:.0f} s",
            flush=True,
        )
        deadline = time.monotonic() + arguments.seconds
        while time.monotonic() < deadline:
            time.sleep(0.2)


if __name__ == "__main__":
    main()
