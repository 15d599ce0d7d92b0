"""The line-by-line protocol to the parent: one JSON object a line, on a descriptor of its own."""

from __future__ import annotations

import json
import math
import os
import sys
import time


class Channel:
    """Write events where no library's stray output can mix with them.

    The original standard output is duplicated for events; descriptor 1 then leads to standard error, so that a
    ``printf`` of a C library ends in the log.
    """

    def __init__(self) -> None:
        self.kept: list[dict[str, object]] = []
        """The events of this process that the other ranks are told too; filled while ``keeps`` is set."""
        self.keeps = False
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._start = time.perf_counter()

    def emit(self, event: str, **values: object) -> None:
        """Send one event; a non-finite number travels as the text ``nan``, ``inf`` or ``-inf``."""
        line = {"event": event, "at": round(time.perf_counter() - self._start, 6), **plain(values)}
        if self.keeps:
            self.kept.append(line)
        data = (json.dumps(line, allow_nan=False) + "\n").encode()
        while data:
            data = data[os.write(self._descriptor, data) :]

    def elapsed(self) -> float:
        """Return the seconds since the process's first line."""
        return time.perf_counter() - self._start

    def wait_for_parent(self) -> None:
        """Block until the parent sends a line: it does when no other child disturbs what is timed next."""
        self.emit("waiting")
        sys.stdin.readline()
        self.emit("resumed")


def plain(values: dict[str, object]) -> dict[str, object]:
    """Make tuples lists, and numbers that JSON cannot hold words (``nan``, ``inf``, ``-inf``)."""
    return {str(key): _value(value) for key, value in values.items()}


def _value(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_value(item) for item in value]
    return plain(value) if isinstance(value, dict) else value
