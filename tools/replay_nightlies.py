"""Replay half a year of nightlies: what would have been chosen on every recorded day.

    python tools/replay_nightlies.py                       print the table
    python tools/replay_nightlies.py --write               put it into docs/nightlies.md
    python tools/replay_nightlies.py --day 2025-10-10      one day, every set in full

The rows are the recorded ones (``tests/data/index``), the decision is ``gpuenv.select`` as the commands use it. Every
set is held to the law that no member may break: one variant, one channel, one platform, every pin on torch met by the
torch that was chosen, and the triton that torch asks for on the same page. A set that breaks it ends the replay.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from packaging.requirements import Requirement  # noqa: E402 # the folder of the recording has to be on the path first

from gpuenv.model.decision import Decision, NoDecision  # noqa: E402
from gpuenv.model.machine import Arch, Os  # noqa: E402
from gpuenv.model.wheel import Catalog, Wheel  # noqa: E402
from gpuenv.select.candidates import nightly_day  # noqa: E402
from support.choosing import FAMILY, answer, machine, of_row, profile  # noqa: E402
from support.recorded import Row, recording  # noqa: E402

DOCUMENT = ROOT / "docs" / "nightlies.md"
BEGIN, END = "<!-- replay: begin -->", "<!-- replay: end -->"
FIRST, LAST = date(2025, 9, 1), date(2026, 3, 15)
VARIANTS = ("cu126", "cu128", "cu129", "cu130")
PYTHON = "3.12"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A kind of machine to replay for, with a GPU and a driver that every variant has code for."""

    name: str
    tag: str
    os: Os
    arch: Arch
    capability: str
    driver: str


PLATFORMS = (
    Platform(name="Linux x86_64", tag="linux_x86_64", os="linux", arch="x86_64", capability="9.0", driver="580.95.05"),
    Platform(
        name="Linux aarch64", tag="linux_aarch64", os="linux", arch="aarch64", capability="9.0", driver="580.95.05"
    ),
    Platform(name="Windows", tag="win_amd64", os="windows", arch="x86_64", capability="8.9", driver="581.42"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of one day. ``chosen`` is empty where the set was refused; days are nightlies' own."""

    day: str
    """Of the index page."""
    variant: str
    platform: str
    newest: str
    """The newest nightly that any member of the family has here, empty for none."""
    chosen: str = ""
    """torch's nightly."""
    versions: tuple[str, ...] = ()
    reason: str = ""
    """Why nothing was chosen."""
    real: int = 0
    by_rule: int = 0

    @property
    def back(self) -> int:
        """By how many days the set lies before the newest nightly."""
        return (_date(self.newest) - _date(self.chosen)).days

    @property
    def spread(self) -> bool:
        """Whether a companion bears another day than torch: its pin still names this torch."""
        return len({nightly_day(version) for version in self.versions}) > 1


class MixedSetError(AssertionError):
    """A set whose members do not belong together."""


def replay(day: str, variant: str, platform: Platform) -> Replayed:
    """Decide on the page of one day, and hold the set to its law."""
    rows = rows_of(day, variant)
    said = answer(
        machine(platform.capability, driver=platform.driver, os=platform.os, arch=platform.arch),
        profile(packages=FAMILY),
        Catalog(wheels=tuple(of_row(row) for row in rows)),
        pythons=(PYTHON,),
        channel="nightly",
        variant=variant,
    )
    here = [row for row in rows if row.platform == platform.tag]
    newest = max((nightly_day(row.version) or "" for row in here), default="")
    if not isinstance(said, Decision):
        return Replayed(day=day, variant=variant, platform=platform.name, newest=newest, reason=refusal(said, here))
    real, by_rule = hold_to_law(said, {of_row(row).url: row for row in here}, day, variant)
    return Replayed(
        day=day,
        variant=variant,
        platform=platform.name,
        newest=newest,
        chosen=nightly_day(said.packages[0].version) or "",
        versions=tuple(f"{wheel.project} {wheel.version}" for wheel in said.packages),
        real=real,
        by_rule=by_rule,
    )


def rows_of(day: str, variant: str) -> list[Row]:
    """The family's nightly rows of a variant's pages, every platform and Python."""
    return [row for row in recording().on(day, projects=FAMILY, variants=[variant]) if row.channel == "nightly"]


def refusal(said: NoDecision, here: Iterable[Row]) -> str:
    """The decision's sentence without the day, so that equal ones can be counted."""
    listed = {row.project for row in here if row.tag.split("-")[1] == "cp" + PYTHON.replace(".", "")}
    missing = sorted(set(FAMILY) - listed)
    if "torch" in missing:
        return f"{said.summary}: none is listed for Python {PYTHON}"
    return said.summary.partition(": ")[0] + (f": no {' and no '.join(missing)} is listed at all" if missing else "")


def hold_to_law(decision: Decision, rows: dict[str, Row], day: str, variant: str) -> tuple[int, int]:
    """Count the pins that are real and those by rule; raises :class:`MixedSetError` for a set that is none."""
    torch = decision.packages[0]
    names = [wheel.project for wheel in decision.packages]
    _demand(sorted(names) == sorted(FAMILY), f"{names} is not the family")
    known = [recording().requirements(rows[wheel.url]) for wheel in decision.packages if wheel.url in rows]
    _demand(len(known) == len(decision.packages), f"{day} {variant}: a wheel of another platform")
    for wheel, requirements in zip(decision.packages, known, strict=True):
        what = f"{day} {variant}: {wheel.filename}"
        _demand((wheel.variant, wheel.channel) == (variant, "nightly"), f"{what} is of {wheel.channel} {wheel.variant}")
        _demand(wheel.version.partition("+")[2] in ("", variant), f"{what} says another variant")
        for pin in map(Requirement, requirements.requires):
            if pin.name == "torch" and wheel is not torch:
                _demand(pin.specifier.contains(torch.version, prereleases=True), f"{what} requires {pin}")
    for text in known[0].requires:
        if "triton" in Requirement(text).name:
            _demand(has_triton(Requirement(text), torch, day, variant), f"{day} {variant}: {text} is not listed")
    real = sum(each.real for each in known)
    return real, len(known) - real


def has_triton(wanted: Requirement, torch: Wheel, day: str, variant: str) -> bool:
    """Whether the triton that torch asks for stands on the variant's page, for torch's platform and Python."""
    if wanted.marker is not None and torch.filename.endswith("win_amd64.whl"):
        return True  # every recorded pin is for Linux only
    python = torch.filename.split("-")[2]
    arch = "aarch64" if torch.filename.endswith("aarch64.whl") else "x86_64"
    return any(
        row.channel == "nightly"
        and row.tag.startswith(f"{python}-")
        and row.platform == f"linux_{arch}"
        and wanted.specifier.contains(row.version, prereleases=True)
        for row in recording().on(day, projects=[wanted.name], variants=[variant])
    )


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise MixedSetError(otherwise)


def days(first: date = FIRST, last: date = LAST) -> Iterator[str]:
    """Every day of the recording, both ends included."""
    for number in range((last - first).days + 1):
        yield (first + timedelta(days=number)).isoformat()


def replay_day(day: str, *, variants: Sequence[str] = VARIANTS) -> list[Replayed]:
    """Every variant and platform of one day."""
    return [replay(day, variant, platform) for variant in variants for platform in PLATFORMS]


def table(found: Sequence[Replayed]) -> list[str]:
    """The table of the document, one row a variant and platform, and what was refused and why."""
    lines = [
        "| variant | platform | pages | same day | back 1 | back 2 | back 3 or more | refused | real | by rule |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for variant in VARIANTS:
        for platform in PLATFORMS:
            lines.append(_line(variant, platform.name, _of(found, variant, platform.name)))
    lines.append(_line("all", "all", found))
    lines += ["", *_gaps(found), "", *_refusals(found)]
    return lines


def _of(found: Sequence[Replayed], variant: str, platform: str) -> list[Replayed]:
    return [each for each in found if (each.variant, each.platform) == (variant, platform)]


def _line(variant: str, platform: str, rows: Sequence[Replayed]) -> str:
    chosen = [each for each in rows if each.chosen]
    back = Counter(min(each.back, 3) for each in chosen)
    most = max((each.back for each in chosen), default=0)
    far = f"{back[3]} (at most {most})" if back[3] else "0"
    cells = [len(rows), back[0], back[1], back[2], far, len(rows) - len(chosen)]
    cells += [sum(each.real for each in chosen), sum(each.by_rule for each in chosen)]
    return f"| {variant} | {platform} | {' | '.join(map(str, cells))} |"


def _gaps(found: Sequence[Replayed]) -> list[str]:
    """Runs of days on which a set had to move back, longest gaps first said by their first page."""
    lines = ["Sets that had to move back, by the pages they were decided on:", ""]
    for variant in VARIANTS:
        for platform in PLATFORMS:
            runs: list[tuple[Replayed, Replayed]] = []
            for each in _of(found, variant, platform.name):
                if not each.chosen or not each.back:
                    continue
                if (
                    runs
                    and _date(each.day) - _date(runs[-1][1].day) == timedelta(1)
                    and each.chosen == runs[-1][1].chosen
                ):
                    runs[-1] = (runs[-1][0], each)
                else:
                    runs.append((each, each))
            if runs:
                text = "; ".join(_run(first, last) for first, last in runs)
                lines.append(f"- {variant}, {platform.name}: {text}")
    return lines


def _run(first: Replayed, last: Replayed) -> str:
    pages = first.day if first.day == last.day else f"{first.day} to {last.day}"
    return f"{pages} → nightly of {_date(first.chosen).isoformat()}"


def _refusals(found: Sequence[Replayed]) -> list[str]:
    lines = ["Refused:", ""]
    reasons = Counter((each.variant, each.platform, each.reason) for each in found if each.reason)
    for variant, platform, reason in sorted(reasons):
        rows = [each.day for each in found if (each.variant, each.platform, each.reason) == (variant, platform, reason)]
        lines.append(f"- {variant}, {platform}: {len(rows)} pages from {rows[0]} to {rows[-1]}: {reason}")
    return lines


def _date(text: str) -> date:
    return date.fromisoformat(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"put the table into {DOCUMENT.relative_to(ROOT)}")
    parser.add_argument("--day", help="one page only, every set in full")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.day:
        for each in replay_day(arguments.day):
            print(each.variant, each.platform, "|", each.reason or f"{each.back} back: {', '.join(each.versions)}")
        return 0
    with ProcessPoolExecutor(arguments.jobs) as pool:
        found = [each for rows in pool.map(partial(replay_day), days(), chunksize=7) for each in rows]
    text = "\n".join(table(found))
    chosen, spread = sum(bool(each.chosen) for each in found), sum(each.spread for each in found)
    text += (
        f"\n\nMixed sets: 0 of {chosen}. Sets with a companion of another day, which pins the torch taken: {spread}."
    )
    if not arguments.write:
        print(text)
        return 0
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8", newline="\n")
    print(f"wrote {DOCUMENT.relative_to(ROOT)}: {len(found)} decisions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
