"""The gaps of half a year of nightlies come out as they are known to be (docs/nightlies.md)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from gpuenv.model.decision import Decision
from gpuenv.model.wheel import Catalog
from support.choosing import FAMILY, answer, machine, of_row, profile

TOOLS = Path(__file__).resolve().parents[3] / "tools"
LINUX, ARM, WINDOWS = 0, 1, 2

pytestmark = pytest.mark.xdist_group("recorded-index")


@pytest.fixture(name="tool", scope="module")
def fixture_tool() -> Iterator[ModuleType]:
    sys.path.insert(0, str(TOOLS))
    try:
        import replay_nightlies

        yield replay_nightlies
    finally:
        sys.path.remove(str(TOOLS))


GAPS = [
    # no torch for Linux x86_64, though its companions and the other platforms are there
    ("2025-10-10", "cu128", LINUX, "2025-10-08"),
    ("2025-10-10", "cu128", WINDOWS, "2025-10-09"),
    ("2025-12-12", "cu126", LINUX, "2025-12-10"),
    ("2025-12-10", "cu130", LINUX, "2025-12-08"),
    ("2025-11-18", "cu128", LINUX, "2025-11-14"),
    ("2025-11-18", "cu130", LINUX, "2025-11-17"),
    ("2026-02-06", "cu126", LINUX, "2026-02-03"),
    # no torch for the platform at all
    ("2025-11-04", "cu130", ARM, "2025-10-31"),
    ("2025-09-17", "cu130", WINDOWS, "2025-09-10"),
    ("2025-10-08", "cu128", WINDOWS, "2025-10-06"),
    # torch without torchvision
    ("2025-12-02", "cu130", LINUX, "2025-11-24"),
    ("2025-11-25", "cu128", LINUX, "2025-11-22"),
    # nobody built anything for six days
    ("2025-11-29", "cu130", LINUX, "2025-11-24"),
    # a variant that was away for weeks
    ("2025-10-10", "cu129", LINUX, "2025-09-01"),
    ("2025-10-18", "cu129", LINUX, "2025-10-17"),
    # torchvision of the 16th pins torch of the 12th (a recorded pin): the newest set is of the 12th
    ("2026-02-17", "cu130", ARM, "2026-02-12"),
    # a day like any other
    ("2026-01-03", "cu130", LINUX, "2026-01-02"),
]


@pytest.mark.parametrize(("day", "variant", "platform", "nightly"), GAPS)
def test_gaps_come_out_as_known(tool: ModuleType, day: str, variant: str, platform: int, nightly: str) -> None:
    found = tool.replay(day, variant, tool.PLATFORMS[platform])
    assert found.chosen == nightly.replace("-", "")


def test_what_cannot_be_chosen_is_refused_with_the_reason(tool: ModuleType) -> None:
    """cu129 for Windows ended on 2025-10-16 with torch alone, and left the index 60 versions later."""
    lonely = tool.replay("2025-11-03", "cu129", tool.PLATFORMS[WINDOWS])
    gone = tool.replay("2026-01-03", "cu129", tool.PLATFORMS[WINDOWS])
    assert (lonely.chosen, gone.chosen) == ("", "")
    assert "no torchaudio and no torchvision is listed" in lonely.reason
    assert "none is listed for Python 3.12" in gone.reason


def test_real_pins_are_told_from_pins_by_rule(tool: ModuleType) -> None:
    recorded = tool.replay("2025-10-29", "cu130", tool.PLATFORMS[LINUX])
    usual = tool.replay("2025-10-28", "cu130", tool.PLATFORMS[LINUX])
    assert (recorded.real, recorded.by_rule) == (1, 2)
    assert (usual.real, usual.by_rule) == (0, 3)


def test_a_mixed_set_ends_the_replay(tool: ModuleType) -> None:
    """The control: a set that no index would give is not let through."""
    day, variant = "2026-01-03", "cu130"
    rows = tool.rows_of(day, variant)
    said = answer(
        machine("9.0"),
        profile(packages=FAMILY),
        Catalog(wheels=tuple(of_row(row) for row in rows)),
        pythons=("3.12",),
        channel="nightly",
        variant=variant,
    )
    assert isinstance(said, Decision)
    places = {of_row(row).url: row for row in rows if row.platform == "linux_x86_64"}
    assert sum(tool.hold_to_law(said, places, day, variant)) == 3
    other_day = next(
        of_row(row)
        for row in places.values()
        if row.project == "torchvision" and "20260101" in row.version and "cp312-cp312-" in row.filename
    )
    torch, audio, _ = said.packages
    for members in (
        (torch, audio, other_day),
        (torch, audio),
        (torch, replace(audio, variant="cu126"), said.packages[2]),
    ):
        with pytest.raises(tool.MixedSetError):
            tool.hold_to_law(replace(said, packages=members), places, day, variant)
