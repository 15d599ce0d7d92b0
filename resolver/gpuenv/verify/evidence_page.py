"""The evidence as one page: tables and curves, no script, nothing fetched."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.documents import filled
from gpuenv.model.verification import Report
from gpuenv.verify.evidence_text import MEANING, VERDICTS, Text, place


def page(text: Text) -> str:
    """Return the whole page as HTML. Nothing is fetched even if a value held markup: the page carries all it shows."""
    report, about, what = text.report, text.about, ("What", "Value")
    more = f'<p>The lock: <a href="{escape(about.lock)}">{escape(about.lock)}</a></p>\n' if about.lock else ""
    if about.because:
        reasons = "".join(f"<li>{escape(sentence)}</li>\n" for sentence in about.because)
        more += f"<h2>Why these wheels</h2><ul>\n{reasons}</ul>\n"
    training = [*_training_charts(report), _table(what, text.results()), *_numbers(report)]
    return filled(
        Path(__file__).with_suffix(".html"),
        TITLE=escape(text.headline),
        VERDICT=report.verdict,
        ENVIRONMENT=escape(about.environment),
        PROFILE=f" with profile <b>{escape(about.profile)}</b>" if about.profile else "",
        CREATED=escape(about.created),
        COMMAND=escape(about.command),
        CHECKS=_checks(report),
        TRAINING="\n".join(training),
        HARDWARE=_table(what, text.hardware()),
        SOFTWARE=_table(what, text.software()),
        MORE=more,
        LINES=str(len(report.log)),
        LOG=escape("\n".join(report.log)),
        MEANING=MEANING,
    )


def _checks(report: Report) -> str:
    rows = []
    for check in report.checks:
        cause = ""
        if check.cause:
            cause = (
                f'<br><span class="{check.status}">{escape(check.cause)}</span><br><code>{escape(check.hint)}</code>'
            )
        rows.append(
            f'<tr><td>{escape(check.title)}</td><td class="verdict {check.status}">{VERDICTS[check.status]}</td>'
            f'<td>{escape(check.seen)}{cause}</td><td class="soft">{escape(check.expected)}</td></tr>'
        )
    head = "<tr><th>Requirement</th><th>Verdict</th><th>Seen</th><th>Expected</th></tr>"
    return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _training_charts(report: Report) -> list[str]:
    if report.training is None:
        return ["<p>No training took place.</p>"]
    styles = ("one", "two", "three")
    runs = report.runs[:2]
    names = ["CUDA graph" if run.mode == "graph" else "step by step" for run in runs]
    losses = [
        Series(name=name, values=tuple(step.loss for step in run.steps), style=style)
        for name, run, style in zip(names, runs, styles, strict=False)
    ]
    parts = [line_chart("Loss of the training", losses, unit="nats a token")]
    memory = [
        Series(name=name, values=tuple((step.memory_bytes or 0) / 1e9 for step in run.steps), style=style)
        for name, run, style in zip(names, runs, styles, strict=False)
        if any(step.memory_bytes for step in run.steps)
    ]
    if memory:
        parts.append(
            line_chart("Peak device memory so far", memory, unit="GB, peak device memory so far", from_zero=True)
        )
    else:
        parts.append('<p class="soft">No device memory is recorded: the training ran on the CPU.</p>')
    return parts


def _numbers(report: Report) -> list[str]:
    parts: list[str] = []
    for curve in report.curves:
        parts.append(f"<h2>Small model, {escape(curve.precision)} on {escape(place(curve.device))}</h2>")
        lines = [
            Series(name="measured", values=curve.losses, style="one"),
            Series(name="reference", values=curve.reference, style="two"),
        ]
        parts.append(line_chart("Loss of the small model and its reference", lines, unit="nats a token"))
        allowed = Series(name="allowed", values=curve.bounds[: len(curve.losses)], style="two")
        apart = tuple(abs(a - b) for a, b in zip(curve.losses, curve.reference, strict=False))
        parts.append(
            line_chart(
                "Difference to the reference",
                [Series(name="difference", values=apart, style="one"), allowed],
                unit="difference in nats and what is allowed",
                from_zero=True,
            )
        )
    if report.families:
        parts.append("<h2>Kernel families: exact, or within a bound in unit roundoffs u</h2>")
        rows = [(place(row.device), row.family, row.type, row.summary) for row in report.families]
        parts.append(_table(("Device", "Family", "Type", "Found"), rows))
    return parts


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'


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
    for step in range(1, steps + 1, max(1, math.ceil(steps / 14))):
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
