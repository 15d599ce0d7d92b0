"""How long the phases of a build take."""

from __future__ import annotations

import time


class Clock:
    """Seconds by phase, in the order in which they ended."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """End a phase: what passed since the last one is its own."""
        now = time.monotonic()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now
