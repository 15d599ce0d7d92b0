"""The recording that other tests stand on: real rows, real places, the documented days."""

from __future__ import annotations

from support.recorded import Row, recording


def row(day: str, key: str) -> Row:
    return next(row for row in recording().on(day) if row.key == key)


def test_a_nightly_stands_in_the_next_mornings_pages() -> None:
    key = "nightly/cu128/torch-2.11.0.dev20260102+cu128-cp312-cp312-win_amd64.whl"
    assert key not in {row.key for row in recording().on("2026-01-02", projects={"torch"})}
    found = row("2026-01-03", key)
    assert (found.channel, found.variant, found.platform, found.sha256) == ("nightly", "cu128", "win_amd64", None)


def test_companions_pin_torch_of_their_day_or_of_the_newest_before() -> None:
    pages = recording()
    same = row("2026-01-03", "nightly/cu128/torchvision-0.25.0.dev20260102+cu128-cp312-cp312-win_amd64.whl")
    assert "torch==2.11.0.dev20260102" in pages.requirements(same).requires
    gap = row("2025-11-18", "nightly/cu128/torchvision-0.25.0.dev20251116+cu128-cp312-cp312-manylinux_2_28_x86_64.whl")
    assert "torch==2.10.0.dev20251114" in pages.requirements(gap).requires  # no torch on 15 to 17 November
    assert not pages.requirements(gap).real
    known = row("2025-12-10", "nightly/cu128/torchvision-0.25.0.dev20251209+cu128-cp312-cp312-win_amd64.whl")
    assert pages.requirements(known).real
    assert "torch==2.10.0.dev20251208" in pages.requirements(known).requires


def test_stand_ins_hold_what_the_index_page_promises() -> None:
    pages = recording()
    found = row("2026-01-03", "cu128/torch-2.8.0+cu128-cp312-cp312-manylinux_2_28_x86_64.whl")
    assert pages.kernels(found)[0] == ("sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
    built = pages.body(found)
    assert built.filename == found.filename
    assert built.metadata == pages.metadata(found)
    assert built == pages.body(found)  # byte for byte
    vision = row("2026-05-19", "cu130/torchvision-0.25.0+cu130-cp312-cp312-manylinux_2_28_x86_64.whl")
    assert "torch==2.10.0" in pages.requirements(vision).requires
