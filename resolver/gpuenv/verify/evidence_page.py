"""The evidence as one page: tables and curves, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from gpuenv.model.verification import Report
from gpuenv.verify.charts import Series, line_chart
from gpuenv.verify.evidence_text import MEANING, VERDICTS, Text, place

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --paper: #ffffff; --rule: #d0d7de;
  --good: #1a7f37; --bad: #cf222e; --warn: #9a6700; --one: #0969da; --two: #bc4c00; --three: #8250df; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --paper: #0d1117; --rule: #3d444d;
  --good: #3fb950; --bad: #f85149; --warn: #d29922; --one: #4493f8; --two: #f0883e; --three: #ab7df8; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; border-left: .4rem solid; padding-left: .7rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--rule);
  overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; } td:first-child { min-width: 9rem; }
.passed { color: var(--good); } .failed { color: var(--bad); font-weight: 700; }
.warned, .unusual { color: var(--warn); }
.not-applicable, .soft { color: var(--soft); } .verdict { white-space: nowrap; overflow-wrap: normal; }
svg { width: 100%; max-width: 44rem; height: auto; } .grid { stroke: var(--rule); } .tick { fill: var(--soft); }
text { font: 12px system-ui, sans-serif; } .line { fill: none; stroke-width: 2; }
.line.one { stroke: var(--one); } .line.two { stroke: var(--two); stroke-dasharray: 6 4; }
.line.three { stroke: var(--three); stroke-dasharray: 2 3; }
.legend.one { fill: var(--one); } .legend.two { fill: var(--two); } .legend.three { fill: var(--three); }
pre { overflow: auto; max-height: 30rem; font-size: .8rem; border: 1px solid var(--rule); padding: .6rem; }
code { overflow-wrap: anywhere; }
"""


def page(text: Text) -> str:
    """Return the whole page as HTML."""
    report, about = text.report, text.about
    profile = f" with profile <b>{escape(about.profile)}</b>" if about.profile else ""
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        # Nothing is fetched even if a value held markup: the page carries all it shows.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{escape(text.headline)}</title><style>{STYLE}</style></head><body>",
        f'<h1 class="{report.verdict}">{escape(text.headline)}</h1>',
        f"<p>Environment <b>{escape(about.environment)}</b>{profile}, {escape(about.created)}. "
        f"Repeat with <code>{escape(about.command)}</code>.</p>",
        "<h2>Requirements</h2>",
        _checks(report),
        "<h2>Training</h2>",
        *_training_charts(report),
        _table(("What", "Value"), text.results()),
        *_numbers(report),
        "<h2>Hardware</h2>",
        _table(("What", "Value"), text.hardware()),
        "<h2>Software</h2>",
        _table(("What", "Value"), text.software()),
    ]
    if about.lock:
        parts.append(f'<p>The lock: <a href="{escape(about.lock, quote=True)}">{escape(about.lock)}</a></p>')
    if about.because:
        parts.append("<h2>Why these wheels</h2><ul>")
        parts += [f"<li>{escape(sentence)}</li>" for sentence in about.because]
        parts.append("</ul>")
    log = escape("\n".join(report.log))
    parts.append(f"<h2>Log</h2><details><summary>{len(report.log)} lines</summary><pre>{log}</pre></details>")
    parts.append(f'<p class="soft">{MEANING}</p></body></html>')
    return "\n".join(parts) + "\n"


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
