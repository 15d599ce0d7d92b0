"""uv's words turned into our errors.

uv's exit status says only that something failed (1: no solution or a refusal, 2: everything else), so its standard
error is read. A sentence of uv that is not known here becomes a plain :class:`~gpuenv.errors.UvError` with the words
kept: never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gpuenv.errors import (
    GpuenvError,
    IndexUnreachableError,
    IntegrityError,
    InterpreterError,
    NoSpaceError,
    OfflineError,
    UvError,
)
from gpuenv.net.location import redact

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_URL = re.compile(r"https?://[^\s`'\"<>)]+")
_PACKAGE = re.compile(r"[Ff]ailed to (?:download|fetch|read|install|build)(?: wheel)?:? `(?P<package>[^`]+)`")
_STATUS = re.compile(r"HTTP status (?:client|server) error \((?P<status>\d{3})[^)]*\)")

_CAUSE_LINES = 12


class CacheEntryError(IntegrityError):
    """An entry of uv's cache that uv cannot read: it stays so until the cache is cleaned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sign:
    """One way uv says one thing: any of ``words``, in lower case, anywhere in what it said."""

    words: tuple[str, ...]
    error: type[GpuenvError]
    message: str
    hints: tuple[str, ...] = ()


# Order matters: a failed download names its URL and a "failed to fetch" whatever the reason was, so reasons come first.
_SIGNS = (
    _Sign(
        words=("no space left on device", "disk quota exceeded", "file too large", "not enough space on the disk"),
        error=NoSpaceError,
        message="there is no space left for the environment or uv's cache",
        hints=("free some space, or move the cache: UV_CACHE_DIR=/a/larger/disk",),
    ),
    _Sign(
        words=(
            "hash mismatch",
            "size mismatch",
            "the server advertised",
            "exceeds the expected size",
            "but the lockfile records",
        ),
        error=IntegrityError,
        message="a download is not the file that was locked",
        hints=(
            "Do not install it; see what changed: `gpuenv lock --check`",
            "If the index replaced the file on purpose, lock again: `gpuenv lock --upgrade`",
        ),
    ),
    _Sign(
        words=(
            "failed to extract archive",
            "zip structure",
            "invalid zip file",
            "bad uncompressed size",
            "bad crc",
            "not a valid wheel",
        ),
        error=IntegrityError,
        message="a download is not a whole wheel",
        hints=("See whether the index still has the file that was locked: `gpuenv lock --check`",),
    ),
    _Sign(
        words=("failed to deserialize cache entry",),
        error=CacheEntryError,
        message="uv's cache holds a damaged entry",
        hints=("Clear it where there is a network: `uv cache clean`",),
    ),
    _Sign(
        words=(
            "network connectivity is disabled",
            "network was disabled",
            "because the network was disabled",
            "--offline",
        ),
        error=OfflineError,
        message="something is missing from the cache, and the network must not be used",
        hints=("Run once without --offline",),
    ),
    _Sign(
        words=("no interpreter found for", "no interpreter found at", "no interpreter found in"),
        error=InterpreterError,
        message="uv found no interpreter of the Python version decided on",
    ),
)

# A connection that broke leaves half an archive, and uv tells of both.
_BROKEN_OFF = ("error decoding response body", "request or response body error", "connection reset")

_NETWORK = (
    "failed to fetch",
    "failed to download",
    "request failed after",
    "error sending request",
    "could not connect",
    "connection refused",
    "connection reset",
    "dns error",
    "timed out",
    "unsuccessful tunnel",
    "tunnel error",
    "http status client error",
    "http status server error",
    "invalid package format",
    "error decoding response body",
)


def translate(stderr: str, *, doing: str = "uv") -> GpuenvError:
    """Make the error to raise for what uv said when ``doing`` failed.

    uv's last lines, credentials removed, are the causes. A cut-off or unreadable download counts as the index's failure
    (:class:`~gpuenv.errors.IndexUnreachableError`), a whole one with other bytes as an integrity failure.
    """
    said = redact(_COLOUR.sub("", stderr))
    lower = said.lower()
    causes = tail(said)
    if any(word in lower for word in _BROKEN_OFF):
        return _unreachable(said, causes)
    for sign in _SIGNS:
        if any(word in lower for word in sign.words):
            message = _named(sign.message, said)
            if issubclass(sign.error, IntegrityError):
                return sign.error(message, causes=causes, hints=sign.hints, package=_package(said))
            return sign.error(message, causes=causes, hints=sign.hints)
    if any(word in lower for word in _NETWORK):
        return _unreachable(said, causes)
    return UvError(f"{doing} failed", causes=causes or ("it said nothing",))


def tail(stderr: str, lines: int = _CAUSE_LINES) -> tuple[str, ...]:
    """The last lines of what uv said, credentials and decoration removed; progress lines left out."""
    kept: list[str] = []
    for line in redact(_COLOUR.sub("", stderr)).splitlines():
        text = line.strip().lstrip("×╰─▶├│ ").strip()
        if text and not text.startswith(("Downloading ", "Downloaded ", "Using Python ", "Using CPython ")):
            kept.append(text)
    return tuple(kept[-lines:])


def _unreachable(said: str, causes: Sequence[str]) -> IndexUnreachableError:
    status = _STATUS.search(said)
    where = _place(said)
    if status is not None and status["status"] in ("404", "410"):
        return IndexUnreachableError(
            f"a locked wheel is gone from its index ({status['status']}): {where}",
            causes=causes,
            hints=(
                "See what replaces it: `gpuenv lock --check`",
                "Keep wheels for the next time: `gpuenv lock --keep`",
            ),
        )
    if status is not None:
        return IndexUnreachableError(f"the index answered {status['status']}: {where}", causes=causes)
    return IndexUnreachableError(
        f"a download failed: {where}" if where else "a download failed",
        causes=causes,
        hints=("Check the connection and the proxy, then run the same command again",),
    )


def _named(message: str, said: str) -> str:
    where = _place(said)
    return f"{message}: {where}" if where else message


def _place(said: str) -> str:
    """What uv was busy with: the URL it named, else the package."""
    url = _URL.search(said)
    if url is not None:
        return url[0].rstrip(".,;:")
    return _package(said)


def _package(said: str) -> str:
    package = _PACKAGE.search(said)
    return package["package"] if package is not None else ""
