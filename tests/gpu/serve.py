"""Serve a folder on loopback, ranges included, until the given process ends: serve.py FOLDER PORT_FILE PARENT_PID"""

from __future__ import annotations

import http.server
import os
import re
import sys
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files and folder pages, with single ranges (RFC 9110, section 14) and an etag."""

    protocol_version = "HTTP/1.1"
    limit: int | None = None

    def send_head(self):  # type: ignore[no-untyped-def]  # the base class's own signature
        """Answer a range of a file; everything else as the base class does."""
        path = Path(self.translate_path(self.path))
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        self.limit = None
        if not path.is_file() or found is None or not (found[1] or found[2]):
            return super().send_head()
        size = path.stat().st_size
        first = int(found[1]) if found[1] else max(size - int(found[2]), 0)
        last = min(int(found[2]), size - 1) if found[1] and found[2] else size - 1
        if first > last:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        file = path.open("rb")
        file.seek(first)
        self.limit = last - first + 1
        self.send_response(HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(self.limit))
        self.end_headers()
        return file

    def end_headers(self) -> None:
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def copyfile(self, source: BinaryIO, outputfile: BinaryIO) -> None:  # type: ignore[override]  # narrower on purpose
        """Send the range, or all of it."""
        left = self.limit
        while left is None or left > 0:
            data = source.read(1 << 20 if left is None else min(1 << 20, left))
            if not data:
                return
            outputfile.write(data)
            left = None if left is None else left - len(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the port file is the only output."""


def main(arguments: list[str]) -> int:
    """Serve until the parent is gone, so that no server is left behind."""
    folder, port_file, parent = arguments[0], Path(arguments[1]), int(arguments[2])
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *rest, **more: Handler(*rest, directory=folder, **more)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    partial = port_file.with_suffix(".partial")
    partial.write_text(str(server.server_address[1]))
    partial.rename(port_file)
    while Path(f"/proc/{parent}").exists():
        time.sleep(0.2)
    server.shutdown()
    return 0


if __name__ == "__main__":
    os.environ.pop("http_proxy", None)
    sys.exit(main(sys.argv[1:]))
