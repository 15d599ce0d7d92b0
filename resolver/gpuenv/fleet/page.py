"""The fleet's report as one page: what failed first, nothing fetched, no script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from gpuenv.documents import filled
from gpuenv.fleet import health
from gpuenv.fleet.desk import host_key
from gpuenv.fleet.figures import LARGEST_DEVIATION, LEAST_HOSTS
from gpuenv.fleet.report import ClassRow, FleetReport, HostRow

_PAGE = Path(__file__).with_suffix(".html")


def page(report: FleetReport) -> str:
    """Return the whole page as HTML."""
    return filled(
        _PAGE,
        TITLE="Fleet of GPU hosts",
        SUMMARY=escape(report.summary),
        PROFILE=escape(report.profile),
        CREATED=escape(report.created),
        VERSION=escape(report.gpuenv),
        HOSTS=_table(("Host", "Class", "Verdict", "Why", "Built", "Figures"), [_host(row) for row in report.hosts]),
        CLASSES="\n".join(_class(row) for row in report.classes),
        PERCENT=f"{LARGEST_DEVIATION:.0%}",
        LEAST=str(LEAST_HOSTS),
    )


def _host(row: HostRow) -> tuple[str, ...]:
    host = row.host
    name = escape(host.name)
    if host.evidence is not None:
        name = f'<a href="hosts/{host_key(host.name)}/evidence/report.html">{name}</a>'
    why = [escape(row.why)] if row.why else []
    why += [f"<small>{escape(each)}</small>" for each in (host.problem.causes if host.problem else ())]
    why += [f"<small>hint: {escape(each)}</small>" for each in (host.problem.hints if host.problem else ())]
    why += [
        f'<span class="unusual">{escape(each.sentence)}</span>' for each in row.deviations if each.sentence != row.why
    ]
    why += [
        f'<span class="{"failed" if each.failed else "soft"}">dcgmi {escape(each.test)}: {escape(each.result)}'
        f"{escape(f', {each.detail}') if each.detail else ''}</span>"
        for each in health.diagnoses(host.health)
        if each.failed or each.result.lower() == "warn"
    ]
    built = " · ".join(str(host.built[key]) for key in ("torch", "python") if host.built.get(key))
    seconds = host.built.get("seconds")
    built += f" · {seconds:.0f} s" if isinstance(seconds, int | float) else ""
    figures = [f"{escape(each.what)}: {each.value:.4g} {escape(each.unit)}" for each in row.figures]
    verdict = f'<span class="{row.verdict}">{row.verdict}</span>'
    return name, escape(row.group), verdict, "<br>".join(why), escape(built), "<br>".join(figures)


def _class(row: ClassRow) -> str:
    group, lock = row.group, row.lock
    locked = (
        f"<code>{escape(lock.path)}</code>: torch {escape(lock.torch)} ({escape(lock.variant)}), Python "
        f"{escape(lock.python)}, {lock.packages} packages, sha256 <code>{escape(lock.sha256)}</code>"
        if lock.path
        else "no lock"
    )
    parts = [f"<h3>{escape(group.name)}</h3>", f"<p>{escape(', '.join(group.members))}<br>{locked}</p>"]
    if row.medians:
        figures = [(escape(m.what), f"{m.value:.4g} {escape(m.unit)}", str(m.hosts)) for m in row.medians]
        parts.append(_table(("Figure", "Median", "Hosts"), figures))
    if row.differences:
        rows = [
            (escape(each.what), "<br>".join(f"{escape(value)}: {escape(_few(hosts))}" for value, hosts in each.values))
            for each in row.differences
        ]
        parts.append(_table(("What differs", "Where"), rows))
    return "\n".join(parts)


def _few(hosts: Sequence[str]) -> str:
    return ", ".join(hosts) if len(hosts) <= 8 else f"{len(hosts)} hosts"


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{each}</th>" for each in heading)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>'
