"""uv's words turned into our errors.

uv's exit status says only that something failed (1: no solution or a refusal, 2: everything else), so its standard
error is read. A sentence of uv that is not known here becomes a plain :class:`~gpuenv.errors.UvError` with the words
kept: never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpuenv import errors
from gpuenv.documents import shipped
from gpuenv.net.location import redact

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_URL = re.compile(r"https?://[^\s`'\"<>)]+")
_PACKAGE = re.compile(r"[Ff]ailed to (?:download|fetch|read|install|build)(?: wheel)?:? `(?P<package>[^`]+)`")
_STATUS = re.compile(r"HTTP status (?:client|server) error \((?P<status>\d{3})[^)]*\)")

_CAUSE_LINES = 12


class CacheEntryError(errors.IntegrityError):
    """An entry of uv's cache that uv cannot read: it stays so until the cache is cleaned."""


def translate(stderr: str, *, doing: str = "uv") -> errors.GpuenvError:
    """Make the error to raise for what uv said when ``doing`` failed.

    uv's last lines, credentials removed, are the causes. A cut-off or unreadable download counts as the index's failure
    (:class:`~gpuenv.errors.IndexUnreachableError`), a whole one with other bytes as an integrity failure.
    """
    said = redact(_COLOUR.sub("", stderr))
    lower = said.lower()
    causes = tail(said)
    table = shipped(__file__, "uv_words")

    def says(words: Sequence[str]) -> bool:
        return any(word in lower for word in words)

    if says(table["broken_off"]):
        return _unreachable(said, causes)
    for sign in table["sign"]:
        if says(sign["words"]):
            where = _place(said)
            message = f"{sign['message']}: {where}" if where else sign["message"]
            kind: type[errors.GpuenvError] = getattr(errors, sign["error"], CacheEntryError)
            hints = sign.get("hints", ())
            if issubclass(kind, errors.IntegrityError):
                return kind(message, causes=causes, hints=hints, package=_package(said))
            return kind(message, causes=causes, hints=hints)
    if says(table["network"]):
        return _unreachable(said, causes)
    return errors.UvError(f"{doing} failed", causes=causes or ("it said nothing",))


def tail(stderr: str, lines: int = _CAUSE_LINES) -> tuple[str, ...]:
    """The last lines of what uv said, credentials and decoration removed; progress lines left out."""
    kept: list[str] = []
    for line in redact(_COLOUR.sub("", stderr)).splitlines():
        text = line.strip().lstrip("×╰─▶├│ ").strip()
        if text and not text.startswith(("Downloading ", "Downloaded ", "Using Python ", "Using CPython ")):
            kept.append(text)
    return tuple(kept[-lines:])


def _unreachable(said: str, causes: Sequence[str]) -> errors.IndexUnreachableError:
    status = _STATUS.search(said)
    where = _place(said)
    if status is not None and status["status"] in ("404", "410"):
        return errors.IndexUnreachableError(
            f"a locked wheel is gone from its index ({status['status']}): {where}",
            causes=causes,
            hints=(
                "See what replaces it: `gpuenv lock --check`",
                "Keep wheels for the next time: `gpuenv lock --keep`",
            ),
        )
    if status is not None:
        return errors.IndexUnreachableError(f"the index answered {status['status']}: {where}", causes=causes)
    return errors.IndexUnreachableError(
        f"a download failed: {where}" if where else "a download failed",
        causes=causes,
        hints=("Check the connection and the proxy, then run the same command again",),
    )


def _place(said: str) -> str:
    """What uv was busy with: the URL it named, else the package."""
    url = _URL.search(said)
    if url is not None:
        return url[0].rstrip(".,;:")
    return _package(said)


def _package(said: str) -> str:
    package = _PACKAGE.search(said)
    return package["package"] if package is not None else ""
