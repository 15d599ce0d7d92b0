"""The packaged tables as such: whole, sourced, and made by the tools."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from gpuenv import knowledge
from gpuenv.knowledge import files
from gpuenv.knowledge.facts import KernelRow
from gpuenv.knowledge.rules import Code

TABLES = knowledge.load()
NAMES = [
    "built_against",
    "cards",
    "companion_facts",
    "companion_sets",
    "companions",
    "drivers",
    "family",
    "gpus",
    "kernels",
    "releases",
    "schedulers",
    "source_builds",
    "sources",
    "systems",
    "torch_exports",
]
ROOT = Path(__file__).resolve().parents[3]


def test_every_table_is_dated() -> None:
    assert [path.stem for path in sorted(files.FOLDER.glob("*.toml"))] == NAMES
    for name in NAMES:
        assert re.fullmatch(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]", files.read(name)["date"])


def test_version_is_a_date_and_a_hash() -> None:
    assert re.fullmatch(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]\+[0-9a-f]{12}", TABLES.version)


def test_version_changes_with_any_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in files.FOLDER.glob("*.toml"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(files, "FOLDER", tmp_path)
    assert files.version() == TABLES.version
    with (tmp_path / "gpus.toml").open("a") as file:
        file.write("# a remark\n")
    assert files.version() != TABLES.version


def test_all_rows_are_there() -> None:
    assert len(TABLES.kernels) == 226
    assert sum(row.read for row in TABLES.kernels.values()) == 49
    assert len(TABLES.releases) == 33
    assert len(TABLES.gpus) == 636


@pytest.mark.parametrize("row", TABLES.kernels.values(), ids=lambda row: f"{row.torch}-{row.variant}-{row.platform}")
def test_every_kernel_row_is_sound(row: KernelRow) -> None:
    codes = [Code.parse(text) for text in row.sass]
    assert codes
    assert None not in codes
    assert codes == sorted(codes)  # type: ignore[type-var]  # None was excluded above
    assert all(text.startswith("compute_") and Code.parse(text) for text in row.ptx)
    assert set(row.doubtful) <= set(row.sass)
    assert row.source
    assert TABLES.cuda_of(row.variant)
    floor = TABLES.driver_floor(row.variant, "windows" if row.platform == "win_amd64" else "linux")
    assert floor is not None
    assert floor.by == "table"


def test_every_release_is_sourced_and_its_variants_have_rows() -> None:
    for release in TABLES.releases.values():
        assert release.source
        assert TABLES.package_index_variant(release.torch, "linux_x86_64")
        for platform, variants in release.variants:
            for variant in variants:
                assert (release.torch, variant, platform) in TABLES.kernels


def test_family_has_its_members_and_no_library_of_nvidia() -> None:
    assert {"torch", "torchvision", "torchaudio", "triton", "pytorch-triton", "torchtriton"} <= TABLES.family
    assert {"torchao", "torchcodec", "torchtext", "fbgemm-gpu", "xformers"} <= TABLES.family
    assert not any(name.startswith("nvidia") for name in TABLES.family)
    assert all(name == re.sub(r"[-_.]+", "-", name).lower() for name in TABLES.family)
    assert TABLES.role("torch") == "core"
    assert TABLES.role("triton") == "compiler"
    assert TABLES.role("numpy") is None


def test_every_source_is_used_and_every_row_has_one() -> None:
    for name, rows in (("kernels", "rows"), ("releases", "release"), ("cards", "cards")):
        table = files.read(name)
        assert {row["source"] for row in table[rows]} == set(table["sources"])
    drivers = files.read("drivers")
    assert all(row["source"] for row in (*drivers["toolkits"], *drivers["branches"]))


def test_no_address_stands_in_a_table() -> None:
    for path in files.FOLDER.glob("*.toml"):
        assert "://" not in path.read_text("utf-8")


def test_tables_equal_what_the_tool_makes_of_the_research(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.environ.get("GPUENV_RESEARCH_DATA")
    if not folder:
        pytest.skip("GPUENV_RESEARCH_DATA names no folder of research data")
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import make_tables

    for path, text in make_tables.make_all(Path(folder)).items():
        assert path.read_text("utf-8") == text, path.name


def test_tables_are_toml_that_others_can_read() -> None:
    for path in files.FOLDER.glob("*.toml"):
        assert tomllib.loads(path.read_text("utf-8"))
        assert path.read_bytes().endswith(b"\n")
        assert b"\r" not in path.read_bytes()
