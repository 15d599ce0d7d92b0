"""An index on loopback that shows uv the torch source's own rows and nothing else.

PyTorch's pages list copies of every dependency on its own hosts beside links to other hosts (index-format, section 3).
A resolver given those pages would follow both. This one filters them, serves METADATA in advance, and asks the source
only for what uv asks for; uv itself reaches nothing but loopback.
"""

from __future__ import annotations

import hashlib
import html
import re
import secrets
import threading
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, unquote, urlsplit

from gpuenv.environment.compiling import Indexes, Resolver
from gpuenv.errors import GpuenvError, IntegrityError
from gpuenv.lock.model import canonical_time
from gpuenv.model.wheel import Wheel, WheelContents
from gpuenv.net.location import Location, host_of


class SingleSourceIndex:
    """A context manager that serves while it is open.

    ``listed`` gives the rows of a project to show, ``contents`` METADATA; both are called one at a time, from the
    server's thread. What they raise ends the resolution: :meth:`forget_unreadable` raises it again in the caller's
    thread.
    """

    def __init__(
        self,
        *,
        listed: Callable[[str], Sequence[Wheel]],
        contents: Callable[[Wheel], WheelContents | None],
    ) -> None:
        self._listed = listed
        self._contents = contents
        self._rows: dict[str, Wheel] = {}
        self._unreadable: set[str] = set()
        self._refused: set[str] = set()
        self._failure: GpuenvError | None = None
        self._one_at_a_time = threading.Lock()
        # A path that no earlier run used: what uv cached of another server on the same port is never taken for ours.
        self._prefix = "/" + secrets.token_hex(8)
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> SingleSourceIndex:
        index = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self._answer()

            def do_GET(self) -> None:
                self._answer()

            def _answer(self) -> None:
                body = index.answer(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
                self.send_header("Content-Length", str(len(body or b"")))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                if body is not None and self.command == "GET":
                    self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    @property
    def url(self) -> str:
        """Its address, as a package index."""
        port = 0 if self._server is None else self._server.server_address[1]
        return f"http://127.0.0.1:{port}{self._prefix}/simple/"

    @property
    def indexes(self) -> Indexes:
        """This index alone."""
        return Indexes(default=Location.parse(self.url, origin="gpuenv"))

    def confine(self, resolver: Resolver, cache: Path) -> Resolver:
        """The resolver without a way out: no proxy, a cache of its own, loopback allowed."""
        proxies = dict.fromkeys(
            ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), ""
        )
        environ = {**resolver.extra_env, **proxies, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        return replace(resolver, cache=cache, offline=False, extra_env=environ)

    def row(self, url: str) -> Wheel:
        """The source's row behind one of our links."""
        key = unquote(urlsplit(url).path).removeprefix(self._prefix + "/files/")
        if key not in self._rows:
            raise IntegrityError(f"uv answered with a file the torch source did not list: {url}")
        return self._rows[key]

    def forget_unreadable(self) -> bool:
        """Leave out the rows whose METADATA could not be had; whether there were any, so that asking again may help."""
        if self._failure is not None:
            raise self._failure
        new = self._unreadable - self._refused
        self._refused |= new
        return bool(new)

    def answer(self, path: str) -> bytes | None:
        """The body for a path, ``None`` for what is not there."""
        place = unquote(urlsplit(path).path)
        with self._one_at_a_time:
            try:
                if place.startswith(f"{self._prefix}/simple/"):
                    return self._page(place.removeprefix(f"{self._prefix}/simple/").strip("/"))
                if place.startswith(f"{self._prefix}/files/") and place.endswith(".metadata"):
                    key = place.removeprefix(f"{self._prefix}/files/").removesuffix(".metadata")
                    return self._metadata(key)
            except GpuenvError as error:
                self._failure = self._failure or error
        return None

    def _page(self, name: str) -> bytes | None:
        rows = self._listed(name)
        if not rows:
            return None
        lines = []
        for row in rows:
            # Keyed by address: one file name stands in several folders with different bytes.
            key = f"{hashlib.sha256(row.url.encode()).hexdigest()[:16]}/{row.filename}"
            if key in self._refused:
                continue
            self._rows[key] = row
            python = f' data-requires-python="{html.escape(row.requires_python)}"' if row.requires_python else ""
            href = f"{self._prefix}/files/{quote(key)}#sha256={row.sha256 or _unknown(row)}"
            lines.append(f'<a href="{href}" data-core-metadata="true"{python}>{html.escape(row.filename)}</a><br/>')
        return ("<!DOCTYPE html>\n<html><body>\n" + "\n".join(lines) + "\n</body></html>\n").encode()

    def _metadata(self, key: str) -> bytes | None:
        row = self._rows.get(key)
        if row is None:
            return None
        contents = self._contents(row)
        if contents is None or contents.requires_dist is None:
            self._unreadable.add(key)
            return None
        return metadata_text(
            row.project,
            row.version,
            requires=contents.requires_dist,
            requires_python=contents.requires_python or row.requires_python,
        ).encode()


def choose_rows(rows: Sequence[Wheel], *, hosts: frozenset[str], variant: str, cutoff: str | None) -> tuple[Wheel, ...]:
    """The rows of one project that a single-source lock may use, one a file name.

    Kept are wheels on the source's own hosts, not yanked, not newer than the cutoff; of one file name in
    several folders the decision's variant wins, then the channel's root. Other variants' files are never taken.
    """
    chosen: dict[str, Wheel] = {}
    for row in sorted(rows, key=lambda row: (row.variant != variant, row.url)):
        if row.variant not in (None, variant) or row.yanked is not None:
            continue
        if host_of(row.url) not in hosts:
            continue
        uploaded = canonical_time(row.upload_time)
        if cutoff is not None and uploaded is not None and uploaded > (canonical_time(cutoff) or ""):
            continue
        chosen.setdefault(row.filename, row)
    return tuple(sorted(chosen.values(), key=lambda row: (row.filename, row.url)))


def _unknown(row: Wheel) -> str:
    """A stand-in for a hash no index states: with none, uv would download the file to make one.

    It never leaves this module: what is locked is the row, whose hash is learned from a download of ours.
    """
    return hashlib.sha256(f"unknown {row.url}".encode()).hexdigest()


PLACEHOLDER_VERSION = "0"


def metadata_text(name: str, version: str, *, requires: Sequence[str], requires_python: str | None) -> str:
    """METADATA that says what the real wheel's says about names, versions and requirements.

    Extras are those the requirements' markers mention. A line break in a requirement is a forged header: it is removed.
    """
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    if requires_python:
        lines.append(f"Requires-Python: {_one_line(requires_python)}")
    lines += [f"Requires-Dist: {_one_line(requirement)}" for requirement in requires]
    lines += [f"Provides-Extra: {extra}" for extra in extras_of(requires)]
    return "\n".join(lines) + "\n"


def extras_of(requires: Sequence[str]) -> tuple[str, ...]:
    """Extras that the requirements' markers ask about, sorted."""
    found: set[str] = set()
    for requirement in requires:
        marker = requirement.partition(";")[2]
        found.update(re.findall(r"""extra\s*==\s*['"]([^'"]+)['"]""", marker))
        found.update(re.findall(r"""['"]([^'"]+)['"]\s*==\s*extra""", marker))
    return tuple(sorted(found))


def write_stub(
    folder: Path, name: str, version: str, *, requires: Sequence[str] = (), requires_python: str | None = None
) -> Path:
    """Write a wheel without code into ``folder`` and return its path. The same arguments give the same bytes."""
    stem = re.sub(r"[-_.]+", "_", name)
    info = f"{stem}-{version}.dist-info"
    path = folder / f"{stem}-{version}-py3-none-any.whl"
    members = {
        "METADATA": metadata_text(name, version, requires=requires, requires_python=requires_python),
        "WHEEL": "Wheel-Version: 1.0\nGenerator: gpuenv\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(zipfile.ZipInfo(f"{info}/{member}", date_time=(1980, 1, 1, 0, 0, 0)), text)
    return path


def _one_line(text: str) -> str:
    return " ".join(text.split())
