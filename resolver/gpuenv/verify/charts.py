"""Line charts as inline SVG: no script, no font, no network, the same bytes for the same numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 16, 44


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line: values by step, from step 1. ``style`` is the class of the line in the page's style sheet."""

    name: str
    values: tuple[float, ...]
    style: str


def line_chart(title: str, series: Sequence[Series], *, unit: str, from_zero: bool = False) -> str:
    """Draw series over their steps. Values that are not numbers leave a gap; the chart never fails for them."""
    known = [value for line in series for value in line.values if math.isfinite(value)]
    steps = max((len(line.values) for line in series), default=0)
    if not known or steps == 0:
        return f'<p class="empty">{escape(title)}: no values</p>'
    low, high = (0.0 if from_zero else min(known)), max(known)
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])

    def x(step: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((step - 1) / max(steps - 1, 1))

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / ((high - low) or 1.0))

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
    ]
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for step in _step_ticks(steps):
        parts.append(f'<text class="tick" x="{x(step):.1f}" y="{HEIGHT - 26}" text-anchor="middle">{step}</text>')
    for line in series:
        for run in _runs(line.values):
            points = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in run)
            parts.append(f'<polyline class="line {line.style}" points="{points}"/>')
    parts.append(f'<text class="tick" x="{LEFT}" y="{HEIGHT - 6}">step, {escape(unit)}</text>')
    parts += _legend(series)
    return "\n".join([*parts, "</svg>"])


def _legend(series: Sequence[Series]) -> list[str]:
    parts = []
    at = WIDTH - RIGHT
    for line in reversed(series):
        parts.append(
            f'<text class="legend {line.style}" x="{at}" y="{HEIGHT - 6}" text-anchor="end">{escape(line.name)}</text>'
        )
        at -= 8 * len(line.name) + 20
    return parts


def _runs(values: tuple[float, ...]) -> list[list[tuple[int, float]]]:
    """Split at values that are not numbers."""
    runs: list[list[tuple[int, float]]] = [[]]
    for step, value in enumerate(values, start=1):
        if math.isfinite(value):
            runs[-1].append((step, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _ticks(low: float, high: float) -> list[float]:
    """Choose about five round numbers that enclose the values."""
    span = (high - low) or abs(high) or 1.0
    raw = span / 4
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw)
    first = math.floor(low / step)
    last = math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _step_ticks(steps: int) -> list[int]:
    every = max(1, math.ceil(steps / 14))
    return list(range(1, steps + 1, every))
