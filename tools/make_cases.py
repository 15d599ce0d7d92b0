"""Write docs/doctor/cases.md: each recorded case of people with GPU environments, and what gpuenv finds of it.

python tools/make_cases.py
"""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TABLE, PAGE = ROOT / "tests/data/doctor-cases.toml", ROOT / "docs/doctor/cases.md"
SETS = {
    "selection": "which wheel is right for a machine",
    "pain": "what went wrong, its cause and what would have caught it",
}
INTRODUCTION = """\
# Recorded cases

What people with GPUs reported in public threads, each with what becomes of it here. `make docs` writes this page from
[`tests/data/doctor-cases.toml`](../../tests/data/doctor-cases.toml); a test holds it to that table.

- **found**: the environment and the machine are laid down as the thread tells them, and the doctor has to find exactly
  these kinds of findings (`kind` of `gpuenv doctor --json`), by `tests/unit/doctor/test_cases.py`. *Nothing* is a
  control: what was right there must raise no alarm.
- **test**: what is wrong is no environment (detection, an index, a disk): the test that stages it.
- **decided**: a scenario decides for that machine, so that what the person had is not chosen.
"""


def page() -> str:
    """The whole page."""
    cases = tomllib.loads(TABLE.read_text("utf-8"))["case"]
    counts = Counter(next(key for key in ("finds", "tests", "why", "missed") if key in case) for case in cases)
    lines = [
        INTRODUCTION,
        f"{len(cases)} cases: {counts['finds']} found, {counts['tests']} by another test, "
        f"{counts['why']} that cannot be staged, {counts['missed']} not found yet.",
    ]
    for name, title in SETS.items():
        rows = [case for case in cases if case["set"] == name]
        lines += [
            "",
            f"## {name}: {title} ({len(rows)})",
            "",
            "| case | had | wrong | here |",
            "| --- | --- | --- | --- |",
        ]
        lines += [
            f"| [{case['id']}]({case['thread']}) | {cell(case['had'])} | {cell(case['wrong'])} | {here(case)} |"
            for case in rows
        ]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def here(case: dict[str, Any]) -> str:
    if "finds" in case:
        said = "found: " + (", ".join(f"`{kind}`" for kind in case["finds"]) or "*nothing*")
    elif "tests" in case:
        said = "test: " + ", ".join(f"`{test.removeprefix('tests/')}`" for test in case["tests"])
    elif "why" in case:
        said = f"cannot be staged: {cell(case['why'])}"
    else:
        said = f"not found yet: {cell(case['missed'])}"
    scenario = f"scenarios/case-{case['id']}.toml"
    decided = case.get("scenario") and f"tests/{scenario}" not in case.get("tests", ())
    return said + (f"; decided: `{scenario}`" if decided else "")


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
