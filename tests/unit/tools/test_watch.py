"""The watch, on pages and readings made up here: what is new becomes rows, and what a person has to decide is said."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gpuenv.errors import PackageIndexError
from gpuenv.index.wheelfile import WheelReading
from gpuenv.model.wheel import Wheel, WheelContents
from support.readings import torch_wheel

TOOLS = Path(__file__).resolve().parents[3] / "tools"
ROWS = (
    ("CUDA 14.0 GA", ">=700.10.01", "N/A"),
    ("CUDA 13.5 GA", ">=620.31.02", "N/A"),
    ("CUDA 13.2 Update 2", ">=595.71.05", "N/A"),
    ("CUDA 13.0 Update 3", ">=580.126.20", "N/A"),
    ("CUDA 12.9 Update 1", ">=575.57.08", ">=576.57"),
    ("CUDA 10.2.89", ">=440.33", ">=441.22"),
)


@pytest.fixture(name="watch", scope="module")
def fixture_watch() -> Iterator[ModuleType]:
    sys.path.insert(0, str(TOOLS))
    try:
        import watch

        yield watch
    finally:
        sys.path.remove(str(TOOLS))


@pytest.fixture(name="tables")
def fixture_tables(watch: ModuleType) -> Any:  # Any: a class of the tool
    return watch.Tables.load()


def page(*rows: tuple[str, str, str], caption: str = "CUDA Toolkit and Corresponding Driver Versions") -> str:
    """NVIDIA's release notes, as Sphinx writes them: another table first, headings, cells in paragraphs."""
    other = table("CUDA Toolkit and Minimum Required Driver Version", [("CUDA 13.9 GA", ">=580.1", "N/A")])
    return other + table(caption, rows)


def table(caption: str, rows: Iterable[tuple[str, ...]]) -> str:
    cells = [[f"<td><p>{cell.replace('>', '&gt;')}</p></td>" for cell in row] for row in rows]
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    return (
        f'<table class="docutils"><caption><span class="caption-number">Table 2 </span><span>{caption}</span></caption>'
        '<thead><tr><th rowspan="2"><p>CUDA Toolkit</p></th><th colspan="2"><p>Toolkit Driver Version</p></th></tr>'
        f"</thead><tbody>{body}</tbody></table>"
    )


def test_the_rows_of_the_release_notes_are_read(watch: ModuleType) -> None:
    found = watch.toolkits_of(page(*ROWS))
    assert [(each.cuda, each.release, each.linux, each.windows) for each in found] == [
        ("14.0", "GA", "700.10.01", None),
        ("13.5", "GA", "620.31.02", None),
        ("13.2", "Update 2", "595.71.05", None),
        ("13.0", "Update 3", "580.126.20", None),
        ("12.9", "Update 1", "575.57.08", "576.57"),
    ]
    with pytest.raises(PackageIndexError, match="has no table"):
        watch.toolkits_of(page(*ROWS, caption="Something else"))


def test_new_drivers_become_rows_and_a_new_major_is_said(watch: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    text = (watch.KNOWLEDGE / "drivers.toml").read_text("utf-8")
    before = tomllib.loads(text)
    after = tomllib.loads(watch.with_toolkits(text, watch.toolkits_of(page(*ROWS)), day="2027-01-02"))
    new = [row for row in after["toolkits"] if row not in before["toolkits"]]
    assert [(row["cuda"], row["release"], row["linux"]) for row in new] == [
        ("14.0", "GA", "700.10.01"),
        ("13.5", "GA", "620.31.02"),
        ("13.0", "Update 3", "580.126.20"),
    ]
    assert all("read 2027-01-02" in row["source"] for row in new)
    grown = [row for row in after["branches"] if row not in before["branches"]]
    assert [(row["branch"], row["cuda"]) for row in grown] == [("620", "13.5"), ("700", "14.0")]
    assert {key: after[key] for key in after if key not in ("toolkits", "branches")} == {
        key: before[key] for key in before if key not in ("toolkits", "branches")
    }
    assert "note: CUDA 14 is a new major version" in capsys.readouterr().out


def test_what_the_table_has_changes_nothing_and_a_disagreement_is_said(
    watch: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (watch.KNOWLEDGE / "drivers.toml").read_text("utf-8")
    assert watch.with_toolkits(text, watch.toolkits_of(page(ROWS[2], ROWS[4])), day="2027-01-02") == text
    other = watch.toolkits_of(page(("CUDA 13.2 Update 2", ">=595.99.01", "N/A")))
    assert watch.with_toolkits(text, other, day="2027-01-02") == text
    assert "note: CUDA 13.2 Update 2: the page says 595.99.01, the table 595.71.05" in capsys.readouterr().out


def build(version: str, variant: str, python: str = "cp312", platform: str = "manylinux_2_28_x86_64") -> Wheel:
    name = f"torch-{version}+{variant}-{python}-{python}-{platform}.whl"
    return torch_wheel(name, f"{version}+{variant}", variant=variant)


def test_builds_of_the_torch_index_without_a_row_are_found_and_taken(watch: ModuleType, tables: Any) -> None:
    wheels = [
        *(build("2.15.0", "cu139", python) for python in ("cp311", "cp312", "cp313")),
        build("2.15.0", "cu132"),
        build("2.15.0", "rocm7.2"),
        build("2.15.0", "cpu"),
        build("9.9.0", "cu139"),
    ]
    found = watch.unknown_builds(tables, wheels)
    assert {key: wheel.filename for key, wheel in found.items()} == {
        ("2.15.0", "cu139", "linux_x86_64"): "torch-2.15.0+cu139-cp312-cp312-manylinux_2_28_x86_64.whl"
    }
    contents = WheelContents(
        cuda="13.9", sass=("sm_80", "sm_130"), ptx=(), requires_dist=("nvidia-cudnn-cu13==9.40.0.1", "sympy")
    )
    reading = WheelReading(contents=contents, requests=4, bytes=300000, size=500)
    watch.take_build(tables, "2.15.0", "cu139", "linux_x86_64", reading)
    texts = {path.name: text for path, text in tables.texts().items()}
    (row,) = [each for each in tomllib.loads(texts["kernels.toml"])["rows"] if each["variant"] == "cu139"]
    assert (row["torch"], row["platform"], row["sass"], row["cudnn"]) == (
        "2.15.0",
        "linux_x86_64",
        "80 130",
        "9.40.0.1",
    )
    assert row["read"] is True
    release = tomllib.loads(texts["releases.toml"])["release"][-1]
    assert release["variants"]["linux_x86_64"][-1] == "cu139"


def test_a_build_of_another_cuda_than_its_folder_gets_no_row(
    watch: ModuleType, tables: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    reading = WheelReading(contents=WheelContents(cuda="", sass=(), ptx=()), requests=4, bytes=300000, size=500)
    before = tables.texts()
    watch.take_build(tables, "2.15.0", "cu139", "linux_x86_64", reading)
    assert tables.texts() == before
    assert "is built with CUDA none: no row" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("requires", "row", "taken"),
    [
        (("torch>=2.15.0", "numpy"), ["torch>=2.15.0"], ["2.15.0"]),
        (("torch==2.15.0",), ["torch==2.15.0"], ["2.15.0"]),
        (("torch>=2.14.0",), ["torch>=2.14.0"], ["2.14.0", "2.14.1", "2.15.0"]),
        ((), [], ["2.15.0"]),
    ],
)
def test_a_new_companion_goes_to_the_releases_that_it_asks_for(
    watch: ModuleType, tables: Any, requires: tuple[str, ...], row: list[str], taken: list[str]
) -> None:
    import update_tables

    wheel = replace(torch_wheel("torchvision-0.99.0-py3-none-any.whl", "0.99.0"), project="torchvision")
    update_tables.take_companion(wheel, requires, tables.releases, tables.asked)
    text = next(text for path, text in tables.texts().items() if path.name == "releases.toml")
    table = tomllib.loads(text)
    (found,) = [each for each in table["companions"]["rows"] if each["version"] == "0.99.0"]
    assert found["requires"] == row
    assert [each["torch"] for each in table["release"] if "0.99.0" in each["companions"]["torchvision"]] == taken
    # The next run reads this from the table, and it is the same.
    import table_text

    assert table_text.asked_rows(text).get(("torchvision", "0.99.0")) == (
        None if row == ["torch==2.15.0"] else tuple(row)
    )


def test_a_new_release_has_the_earlier_companions_that_admit_it(tables: Any) -> None:
    import update_tables

    new = [{"torch": "9.9.0", "companions": {}}, {"torch": "2.13.9", "companions": {}}]
    update_tables.earlier_companions(new, tables.asked)
    assert [row["companions"] for row in new] == [
        {"torchvision": ["0.29.1", "0.29.2"], "torchaudio": ["2.11.0"]},
        {"torchaudio": ["2.11.0"]},
    ]


def test_a_table_bears_the_day_on_which_its_rows_changed(watch: ModuleType, tables: Any) -> None:
    same = watch.dated(tables.texts(), "2027-01-02")
    assert all(path.read_text("utf-8") == text for path, text in same.items())
    path = watch.KNOWLEDGE / "drivers.toml"
    changed = watch.dated({path: path.read_text("utf-8") + "\n# more\n"}, "2027-01-02")
    assert 'date = "2027-01-02"' in changed[path]
