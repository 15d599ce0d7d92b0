"""Writes what several hosts proved together: a page for a person, a file for programs, the log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from gpuenv.model.nodes import NodesReport
from gpuenv.report import escaped, visible
from gpuenv.system.files import write_atomic
from gpuenv.verify.evidence import About
from gpuenv.verify.evidence_text import HEADLINES, MEANING, VERDICTS
from gpuenv.verify.payload.channel import plain

SCHEMA = {"name": "gpuenv-nodes", "version": "1"}
FILES = ("README.md", "log.txt", "nodes.json")


def write(folder: Path, *, report: NodesReport, about: About) -> tuple[Path, ...]:
    """Write the three files, replacing older ones, and return their paths, the page to open first.

    Same arguments, same bytes. Raises :class:`~gpuenv.errors.FileError` where the folder cannot be written.
    """
    value = json.dumps(to_json(report, about), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    page = "\n".join(map(visible, _page(report, about))) + "\n"
    log = "\n".join(map(visible, [_headline(report), *report.log])) + "\n"
    for name, content in zip(FILES, (page, log, escaped(value)), strict=True):
        write_atomic(folder / name, content, what="the evidence")
    return tuple(folder / name for name in FILES)


def to_json(report: NodesReport, about: About) -> dict[str, object]:
    """Return the whole of it as JSON values."""
    return plain(
        {
            "schema": SCHEMA,
            "about": asdict(about),
            **asdict(replace(report, log=())),
            "buses": [asdict(each) | {"gigabytes": each.gigabytes} for each in report.buses],
            "links": [asdict(each) | {"gigabytes": each.gigabytes} for each in report.links],
        }
    )


def _headline(report: NodesReport) -> str:
    where = "GPU" if report.accelerator == "cuda" else "CPU, no GPU was used"
    return f"{report.meeting.nodes} nodes together: {HEADLINES[report.verdict]} ({where})"


def _page(report: NodesReport, about: About) -> Iterable[str]:
    yield f"# {_headline(report)}"
    yield ""
    yield f"{about.created} · gpuenv {about.gpuenv} · {report.seconds:.1f} s · as {report.meeting.node} saw it"
    yield ""
    yield f"Again: `{about.command}` on every node. {MEANING}"
    yield ""
    yield from _table(
        ("check", "verdict", "seen", "cause"),
        [(each.title, VERDICTS[each.status], each.seen, each.cause) for each in report.checks],
    )
    if report.ranks:
        yield "## Ranks"
        yield ""
        rows = [(str(each.rank), each.node, each.device, each.name) for each in report.ranks]
        yield from _table(("rank", "node", "device", "card"), rows)
    if report.buses:
        yield "## Sums over all ranks"
        yield ""
        yield from _table(
            ("bytes", "time of the slowest rank", "bus bandwidth", "slowest rank"),
            [
                (f"{each.bytes:,}", f"{each.seconds * 1e6:,.0f} µs", f"{each.gigabytes:.3g} GB/s", str(each.slowest))
                for each in report.buses
            ],
        )
    if report.links:
        yield "## Links, the slowest first"
        yield ""
        yield from _table(
            ("from", "to", "kind", "bandwidth", "wrong elements"),
            [
                (
                    str(each.source),
                    str(each.target),
                    "within a node" if each.within else "between nodes",
                    f"{each.gigabytes:.3g} GB/s",
                    str(each.wrong),
                )
                for each in sorted(report.links, key=lambda link: link.gigabytes)
            ],
        )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""
