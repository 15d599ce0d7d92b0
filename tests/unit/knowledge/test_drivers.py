"""Drivers: floors by variant, CUDA by driver, branches by architecture."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from gpuenv import knowledge
from gpuenv.knowledge import DriverFloor, files
from gpuenv.knowledge.rules import compare_versions
from gpuenv.model.machine import ComputeCapability, Os

TABLES = knowledge.load()


def floor(variant: str, os: Os = "linux") -> DriverFloor:
    found = TABLES.driver_floor(variant, os)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("variant", "os", "minimum", "full", "by"),
    [
        ("cu102", "linux", "440.33", "440.33", "table"),
        ("cu118", "linux", "450.80.02", "520.61.05", "table"),
        ("cu128", "linux", "525.60.13", "570.26", "table"),
        ("cu128", "windows", "527.41", "570.65", "table"),
        ("cu130", "linux", "580.65.06", "580.65.06", "table"),
        ("cu130", "windows", "580.88", "580", "table"),
        ("cu132", "linux", "580.65.06", "595.45.04", "table"),
        ("cu132", "windows", "580.88", "595", "table"),
        ("cu131", "linux", "580.65.06", "590.44.01", "major-rule"),
        ("cu125", "windows", "527.41", "555.85", "major-rule"),
        ("cu137", "linux", "580.65.06", None, "major-rule"),
        ("cu110", "linux", "450.36.06", "450.36.06", "table"),
        ("cu101", "linux", "418.39", "418.39", "table"),
        ("cu92", "linux", "396.37", "396.37", "table"),
    ],
)
def test_least_driver(variant: str, os: Os, minimum: str, full: str | None, by: str) -> None:
    found = floor(variant, os)
    assert (found.minimum, found.full, found.by) == (minimum, full, by)
    assert found.source


@pytest.mark.parametrize("variant", ["cu140", "cu151", "cpu", "rocm6.4", "xpu", "cu"])
def test_no_floor_is_made_up(variant: str) -> None:
    assert TABLES.driver_floor(variant, "linux") is None


def test_no_driver_on_a_mac() -> None:
    assert TABLES.driver_floor("cu128", "macos") is None
    assert TABLES.driver_cuda("580.65.06", "macos") is None


@pytest.mark.parametrize(
    ("variant", "cuda"),
    [("cu128", "12.8"), ("cu140", "14.0"), ("cu92", "9.2"), ("cu1210", "12.10"), ("cpu", None), ("rocm6.4", None)],
)
def test_cuda_stands_in_the_name_of_a_variant(variant: str, cuda: str | None) -> None:
    assert TABLES.cuda_of(variant) == cuda
    if cuda is not None:
        assert TABLES.variant_of(cuda) == variant


@pytest.mark.parametrize(
    ("version", "os", "cuda"),
    [
        ("570.124.06", "linux", "12.8"),
        ("576.88", "windows", "12.9"),
        ("572.61", "windows", "12.8"),
        ("616.92", "windows", "13.4"),
        ("621.10", "windows", "13.4"),
        ("640.10", "linux", "13.4"),
        ("600.10", "linux", "13.2"),
        ("535.104.05", "linux", "12.2"),
        ("580.65.06", "linux", "13.0"),
        ("470.256.02", "linux", "11.4"),
        ("384.81", "linux", "9.0"),
    ],
)
def test_cuda_that_a_driver_knows(version: str, os: Os, cuda: str) -> None:
    assert TABLES.driver_cuda(version, os) == cuda


def test_older_than_all_branches_is_not_known() -> None:
    assert TABLES.driver_cuda("340.108", "linux") is None


@pytest.fixture(name="table_with_another_toolkit")
def fixture_table_with_another_toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A CUDA 12.95 that came within branch 575, as 13.x updates may come within a long-lived branch."""
    row = '{ cuda = "12.95", release = "GA", linux = "575.90.01", source = "made up" },'
    text = (files.FOLDER / "drivers.toml").read_text("utf-8")
    (tmp_path / "drivers.toml").write_text(text.replace("toolkits = [", f"toolkits = [\n  {row}"))
    monkeypatch.setattr(files, "FOLDER", tmp_path)
    files.read.cache_clear()
    yield
    files.read.cache_clear()


@pytest.mark.usefixtures("table_with_another_toolkit")
def test_a_toolkit_that_came_within_a_branch_counts_from_its_own_driver_on() -> None:
    assert TABLES.driver_cuda("575.90.00", "linux") == "12.9"
    assert TABLES.driver_cuda("575.90.01", "linux") == "12.95"
    assert TABLES.driver_cuda("576.88", "windows") == "12.9"
    assert TABLES.driver_cuda("580.65.06", "linux") == "13.0"


@pytest.mark.parametrize("os", ["linux", "windows"])
def test_no_driver_is_two_steps(os: Os) -> None:
    steps = TABLES.driver_steps(os)
    assert all(compare_versions(one, next_one) < 0 for one, next_one in pairwise(steps)), steps


def test_every_toolkit_is_known_to_the_driver_it_came_with() -> None:
    for row in files.read("drivers")["toolkits"]:
        for os in ("linux", "windows"):
            if row.get(os):
                known = TABLES.driver_cuda(row[os], os)
                assert known is not None
                assert compare_versions(known, row["cuda"]) >= 0, (row, os, known)


@pytest.mark.parametrize(
    ("capability", "name", "first_cuda", "least", "last"),
    [
        ("3.5", "Kepler", "6.0", None, "470"),
        ("5.2", "Maxwell", "6.5", None, "580"),
        ("6.1", "Pascal", "8.0", None, "580"),
        ("7.0", "Volta", "9.0", "384", "580"),
        ("7.5", "Turing", "10.0", "410", None),
        ("8.6", "Ampere", "11.1", "455", None),
        ("8.9", "Ada", "11.8", "520", None),
        ("9.0", "Hopper", "11.8", "520", None),
        ("10.0", "Blackwell", "12.8", "570", None),
        ("11.0", "Blackwell", "13.0", "580", None),
        ("12.0", "Blackwell", "12.8", "570", None),
        ("12.1", "Blackwell", "12.9", "575", None),
    ],
)
def test_architectures(capability: str, name: str, first_cuda: str, least: str | None, last: str | None) -> None:
    value = ComputeCapability.parse(capability)
    assert TABLES.architecture(value) == name
    assert TABLES.first_cuda_for(value) == first_cuda
    assert TABLES.least_branch_for(value) == least
    assert TABLES.last_branch_for(value) == last


def test_unheard_of_capability() -> None:
    value = ComputeCapability(15, 3)
    assert TABLES.architecture(value) is None
    assert TABLES.first_cuda_for(value) is None
    assert TABLES.least_branch_for(value) is None
    assert TABLES.last_branch_for(value) is None


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("570.26", "570.124.06"),
        ("570.124.06", "576.88"),
        ("99.9", "100.0"),
        ("525.60", "525.60.13"),
        ("535.9", "535.10"),
    ],
)
def test_drivers_compare_component_by_component(older: str, newer: str) -> None:
    assert compare_versions(older, newer) == -1
    assert compare_versions(newer, older) == 1
    assert compare_versions(newer, newer) == 0


def test_leading_zeros_and_missing_parts_are_the_same_driver() -> None:
    assert compare_versions("580.65.06", "580.65.6") == 0
    assert compare_versions("580", "580.0") == 0


@pytest.mark.parametrize("text", ["", "580.x", "n/a", "580..1", "５８０"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="dotted version"):
        compare_versions(text, "580")
