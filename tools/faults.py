"""Let every fault happen at every stage, and write what happened into docs/reliability.md (`make faults`).

The cases are data in tests/faults/; pytest runs them, each leaves a row, and this puts the rows into the page. Ends
with pytest's exit code: 0 where every row holds what must hold.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/reliability.md"
ROWS = ROOT / "build/faults"
ABOUT = ROWS / "about.json"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"

GROUPS = {
    "kills": "Kills",
    "disks": "Full and read-only disks",
    "answers": "Hostile and broken answers",
    "wheels": "Hostile wheels",
    "edits": "Edited locks",
    "sources": "Foreign sources, PyTorch's index out of reach",
    "secrets": "Secrets",
    "together": "Several at once",
    "damage": "Damaged files and caches",
}
Row = dict[str, Any]  # Any: a row of JSON, as tests/faults/case.py writes it


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", default="4", help="cases at once; most of a case is waiting (default: 4)")
    parser.add_argument("--only", metavar="WORDS", help="run these again (as pytest's -k), and renew their rows alone")
    parser.add_argument("--page-only", action="store_true", help="write the page again from the rows of the last run")
    arguments = parser.parse_args()
    started, code = time.monotonic(), 0
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    if not arguments.page_only:
        if not arguments.only:
            shutil.rmtree(ROWS, ignore_errors=True)
            ROWS.mkdir(parents=True)
        line = [
            sys.executable,
            "-m",
            "pytest",
            "-n",
            arguments.jobs,
            "--dist",
            "worksteal",
            "--tb=line",
            "tests/faults",
        ]
        line += ["-k", arguments.only] if arguments.only else []
        code = subprocess.run(
            line, cwd=ROOT, env={**os.environ, "GPUENV_TEST_FAULTS": str(ROWS)}, check=False
        ).returncode
    if arguments.only:
        about = json.loads(ABOUT.read_text(encoding="utf-8"))
        ABOUT.write_text(json.dumps(about | {"again": [*about["again"], [now, arguments.only]]}), encoding="utf-8")
    elif not arguments.page_only:
        about = {
            "date": now,
            "minutes": round((time.monotonic() - started) / 60, 1),
            "jobs": arguments.jobs,
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "again": [],
        }
        ABOUT.write_text(json.dumps(about), encoding="utf-8")
    about = json.loads(ABOUT.read_text(encoding="utf-8"))
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(ROWS.glob("*-*.json"))]
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{render(rows, about)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    print(f"{len(rows)} rows, {sum(bool(row['wrong']) for row in rows)} of them wrong: {PAGE.relative_to(ROOT)}")
    return code


def render(rows: Sequence[Row], about: Row) -> str:
    """The totals, and a table for each group."""
    columns = ("environments lost", "foreign files", "silent successes", "unbounded waits", "next `create` failed")
    lines = [
        f"Run on {about['date']}: {len(rows)} faults in {about['minutes']} minutes, {about['jobs']} at once on "
        f"{about['cores']} cores ({about['system']}, Python {about['python']}).",
        *(f"Run again on {date}, after a change: `{words}`." for date, words in about["again"]),
        "",
        f"| group | faults | {' | '.join(columns)} | rows that hold |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    groups = {title: [row for row in rows if row["group"] == name] for name, title in GROUPS.items()}
    lines += [_totals(title, some) for title, some in groups.items()]
    lines.append(_totals("**all**", rows))
    for title, some in groups.items():
        lines += ["", f"### {title}", "", "| fault | stage | exit | said | bounded | environment | next `create` |"]
        lines.append("| --- | --- | ---: | --- | --- | --- | --- |")
        lines += [_line(row) for row in sorted(some, key=lambda row: (row["stage"], row["fault"]))]
    return "\n".join(lines) + "\n"


def _totals(title: str, rows: Sequence[Row]) -> str:
    lost = sum(row["environment"].startswith(("LOST", "WRONG")) for row in rows)
    foreign = sum(row["foreign"] for row in rows)
    silent = sum(row["silent"] for row in rows)
    unbounded = sum(not row["bounded"] for row in rows)
    after = sum(not row["after"] for row in rows)
    holds = sum(not row["wrong"] for row in rows)
    return f"| {title} | {len(rows)} | {lost} | {foreign} | {silent} | {unbounded} | {after} | {holds} |"


def _line(row: Row) -> str:
    said = row["error"] or "–"
    if row["wrong"]:
        said = f"**WRONG: {'; '.join(row['wrong'])}** {said}"
    code = {-9: "killed"}.get(row["code"], row["code"])
    bounded, after = ("yes" if row[key] else "**no**" for key in ("bounded", "after"))
    cells = (row["fault"], row["stage"], code, said, bounded, row["environment"], after)
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
