"""The tools that make and renew the tables, on rows and readings made up here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from gpuenv.index.wheelfile import WheelReading
from gpuenv.model.wheel import Wheel, WheelContents
from support.readings import torch_wheel

TOOLS = Path(__file__).resolve().parents[3] / "tools"


@pytest.fixture(name="tools", scope="module")
def fixture_tools() -> Iterator[tuple[ModuleType, ModuleType]]:
    sys.path.insert(0, str(TOOLS))
    try:
        import table_text
        import update_tables

        yield table_text, update_tables
    finally:
        sys.path.remove(str(TOOLS))


@pytest.fixture(name="text")
def fixture_text(tools: tuple[ModuleType, ModuleType]) -> ModuleType:
    return tools[0]


@pytest.fixture(name="update")
def fixture_update(tools: tuple[ModuleType, ModuleType]) -> ModuleType:
    return tools[1]


class Rows:
    """The three files as rows, fresh for each test."""

    def __init__(self, text: ModuleType) -> None:
        self.text = text
        self.readings = text.reading_rows(text.READINGS.read_text("utf-8"))
        self.releases = text.release_rows((text.KNOWLEDGE / "releases.toml").read_text("utf-8"))
        self.kernels = text.kernel_rows((text.KNOWLEDGE / "kernels.toml").read_text("utf-8"), self.releases)

    def kernel(self, torch: str, variant: str, platform: str) -> dict[str, object]:
        (row,) = [
            r for r in self.kernels if (r["torch"], r["cuda_variant"], r["platform"]) == (torch, variant, platform)
        ]
        return dict(row)


@pytest.fixture(name="rows")
def fixture_rows(text: ModuleType) -> Rows:
    return Rows(text)


def test_tables_read_back_and_written_again_are_the_same_bytes(rows: Rows) -> None:
    text = rows.text
    assert text.make_kernels(rows.kernels, rows.releases) == (text.KNOWLEDGE / "kernels.toml").read_text("utf-8")
    assert text.make_releases(rows.releases, rows.readings) == (text.KNOWLEDGE / "releases.toml").read_text("utf-8")
    assert text.make_readings(rows.readings) == text.READINGS.read_text("utf-8")


def new_wheel(version: str = "9.9.0", platform: str = "manylinux_2_28_x86_64", python: str = "cp312") -> Wheel:
    name = f"torch-{version}-{python}-{python}-{platform}.whl"
    wheel = torch_wheel(name, version, source="package-index")
    return replace(wheel, upload_time="2027-01-02T03:04:05Z", requires_python=">=3.12", size=500)


def reading(*sass: str, ptx: tuple[str, ...] = ()) -> WheelReading:
    contents = WheelContents(
        cuda="13.6",
        sass=sass,
        ptx=ptx,
        git="0" * 40,
        requires_dist=(
            'nvidia-cudnn-cu13==9.30.0.1; platform_system == "Linux"',
            'triton~=4.0.0; platform_system == "Linux"',
            "sympy",
        ),
        requires_python=">=3.12",
    )
    return WheelReading(contents=contents, requests=3, bytes=300000, size=500)


def test_a_new_release_gets_rows_in_all_three_files(rows: Rows, update: ModuleType) -> None:
    wheels = [new_wheel(python="cp313"), new_wheel(), new_wheel(platform="win_amd64")]
    update.take(wheels[1], reading("sm_80", "sm_120", ptx=("compute_120",)), *_of(rows), wheels)
    row = rows.kernel("9.9.0", "cu136", "linux_x86_64")
    assert row["archs"] == ["sm_80", "sm_120"]
    assert row["ptx"] == ["compute_120"]
    assert row["cudnn"] == "9.30.0.1"
    assert row["verified_from_wheel"] is True
    release = rows.releases[-1]
    assert release["pythons"] == {"linux_x86_64": ["cp312", "cp313"], "linux_aarch64": [], "win_amd64": ["cp312"]}
    assert release["companions"]["triton"] == "triton~=4.0.0"
    assert release["uploaded"] == "2027-01-02"
    text = rows.text.make_releases(rows.releases, rows.readings)
    assert '"9.9.0" = { linux_x86_64 = "cu136" }' in text
    assert "torch-9.9.0" in rows.text.make_readings(rows.readings)
    assert len(rows.text.kernel_rows(rows.text.make_kernels(rows.kernels, rows.releases), rows.releases)) == 227


def test_what_was_read_goes_before_what_was_concluded(rows: Rows, update: ModuleType) -> None:
    assert rows.kernel("2.10.0", "cu126", "linux_x86_64")["verified_from_wheel"] is False
    row = {"header": "sm_75 sm_90", "requires_gpu": ["nvidia-cudnn-cu12==9.9.9"]}
    update.set_kernels(rows.kernels, "2.10.0", "cu126", "linux_x86_64", row, [])
    changed = rows.kernel("2.10.0", "cu126", "linux_x86_64")
    assert changed["archs"] == ["sm_75", "sm_90"]
    assert changed["verified_from_wheel"] is True
    assert changed["source"] == update.SOURCE


def test_reading_the_same_again_changes_nothing(rows: Rows, update: ModuleType) -> None:
    before = rows.kernel("2.15.0", "cu132", "linux_x86_64")
    row = {"header": " ".join(before["archs"]), "requires_gpu": []}  # type: ignore[call-overload]  # a list of strings
    update.set_kernels(rows.kernels, "2.15.0", "cu132", "linux_x86_64", row, [])
    assert rows.kernel("2.15.0", "cu132", "linux_x86_64") == before


def test_one_wheel_stands_for_a_version_and_platform(update: ModuleType) -> None:
    wheels = [new_wheel(python=python) for python in ("cp314t", "cp312", "cp313")] + [new_wheel(platform="win_arm64")]
    chosen = update.representatives(wheels, {})
    assert [(key, wheel.filename.split("-")[2]) for key, wheel in chosen.items()] == [
        (("9.9.0", "linux_x86_64"), "cp313"),
    ]
    again = update.representatives(wheels, {("9.9.0", "linux_x86_64"): wheels[1].filename})
    assert again["9.9.0", "linux_x86_64"] == wheels[1]


def test_differences_name_table_reading_and_build(rows: Rows, update: ModuleType) -> None:
    row = rows.readings[-1] if rows.readings[-1]["cuda"] else next(r for r in reversed(rows.readings) if r["cuda"])
    wheel = torch_wheel(row["filename"], row["filename"].split("-")[1], source="package-index")
    same = WheelContents(cuda=row["cuda"], sass=tuple(row["header"].split()), ptx=(), git=row["git"])
    told = WheelReading(contents=same, requests=1, bytes=1, size=1)
    assert update.differences(row, wheel, told) == []
    other = replace(told, contents=replace(same, sass=("sm_75",), git="f" * 40))
    words = "; ".join(update.differences(row, wheel, other))
    assert "the table says" in words
    assert "read earlier" in words
    assert "another build" in words


def test_nothing_is_written_unless_told(text: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = text.ROOT / "tests" / "data" / "no-such-file.toml"
    assert text.show_and_write({target: "a = 1\n"}, force=False) == 1
    assert "+a = 1" in capsys.readouterr().out
    assert not target.exists()


def _of(rows: Rows) -> tuple[list[dict[str, object]], list[dict[str, object]], list[dict[str, object]]]:
    return rows.readings, rows.kernels, rows.releases
