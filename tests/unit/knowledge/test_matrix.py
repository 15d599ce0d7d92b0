"""The table of what runs where, and its renderings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpuenv import knowledge
from gpuenv.errors import UsageError
from gpuenv.knowledge.called import capabilities_of
from gpuenv.knowledge.matrix import Matrix, matrix
from gpuenv.knowledge.matrix_text import by_generation, grid, notes, to_markdown, to_value
from gpuenv.model.machine import ComputeCapability

TABLES = knowledge.load()


def cell(table: Matrix, torch: str, variant: str, platform: str, capability: str) -> str:
    column = [str(each.capability) for each in table.columns].index(capability)
    (row,) = [row for row in table.rows if (row.torch, row.variant, row.platform) == (torch, variant, platform)]
    return row.cells[column].support


def test_every_row_of_the_table_is_in_it() -> None:
    assert len(matrix(TABLES).rows) == len(TABLES.kernels)


def test_one_wheel_for_volta_and_blackwell_exists_only_as_cu128_of_three_minors() -> None:
    table = matrix(TABLES, platform="linux_x86_64", capabilities=[ComputeCapability(7, 0), ComputeCapability(12, 0)])
    both = {
        (row.torch, row.variant)
        for row in table.rows
        if all(cell.support == "native" and not cell.doubtful for cell in row.cells) and row.variant != "cu129"
    }
    assert both == {("2.8.0", "cu128"), ("2.9.0", "cu128"), ("2.9.1", "cu128"), ("2.10.0", "cu128")}


@pytest.mark.parametrize(
    ("torch", "variant", "platform", "capability", "expected"),
    [
        ("2.14.0", "cu126", "linux_x86_64", "6.1", "native"),
        ("2.11.0", "cu128", "linux_x86_64", "7.0", "none"),
        ("2.8.0", "cu126", "win_amd64", "5.2", "none"),
        ("2.9.0", "cu126", "win_amd64", "5.2", "native"),
        ("2.7.1", "cu118", "win_amd64", "12.0", "none"),
        ("2.7.1", "cu118", "linux_x86_64", "12.0", "none"),
        ("2.14.0", "cu130", "linux_aarch64", "8.7", "none"),
        ("2.14.0", "cu132", "linux_aarch64", "8.7", "native"),
        ("2.14.0", "cu132", "linux_x86_64", "8.7", "none"),
        ("2.15.0", "cu132", "linux_aarch64", "11.0", "native"),
        ("2.15.0", "cu132", "linux_x86_64", "11.0", "none"),
    ],
)
def test_cells(torch: str, variant: str, platform: str, capability: str, expected: str) -> None:
    assert cell(matrix(TABLES), torch, variant, platform, capability) == expected


def test_doubt_is_shown() -> None:
    table = matrix(TABLES, capabilities=[ComputeCapability(7, 0)], variant="cu129", platform="linux_x86_64")
    assert any("native?" in row for row in grid(table).rows)
    assert any("cuDNN" in note for note in notes(table))


def test_filters() -> None:
    assert {row.torch for row in matrix(TABLES, torch="2.9").rows} == {"2.9.0", "2.9.1"}
    assert {row.torch for row in matrix(TABLES, torch=">=2.14,<2.15").rows} == {"2.14.0", "2.14.1"}
    assert {row.platform for row in matrix(TABLES, platform="win_amd64").rows} == {"win_amd64"}
    assert {row.variant for row in matrix(TABLES, variant="cu130").rows} == {"cu130"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"torch": ">>2"}, "not a version"),
        ({"torch": "7.7"}, "no known build"),
        ({"platform": "beos"}, "beos"),
        ({"variant": "cu999"}, "cu999"),
    ],
)
def test_filters_that_leave_nothing(options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        matrix(TABLES, **options)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8.6", ["8.6"]),
        ("RTX 5090", ["12.0"]),
        ("NVIDIA GeForce GT 730", ["3.0", "3.5"]),
        ("hopper", ["9.0"]),
        ("Ampere", ["8.0", "8.6", "8.7"]),
    ],
)
def test_gpu_option(text: str, expected: list[str]) -> None:
    assert [str(capability) for capability in capabilities_of(TABLES, text)] == expected


def test_gpu_option_that_names_nothing() -> None:
    with pytest.raises(UsageError) as caught:
        capabilities_of(TABLES, "GeForce RTX 9990")
    assert caught.value.hints


def test_a_capability_nobody_knows_is_laid_out_too() -> None:
    table = matrix(TABLES, capabilities=[ComputeCapability(15, 0)], torch="2.15", platform="linux_x86_64")
    assert table.columns[0].generation == "unknown"
    assert {row.cells[0].support for row in table.rows} == {"none"}


def test_newest_first_everywhere() -> None:
    table = matrix(TABLES, platform="linux_x86_64")
    versions = [tuple(int(part) for part in row.torch.split(".")) for row in table.rows]
    assert versions == sorted(versions, reverse=True)


def test_text_folds_neighbours_that_say_the_same() -> None:
    chosen = [ComputeCapability(*each) for each in ((8, 0), (8, 6), (12, 0))]
    table = matrix(TABLES, capabilities=chosen, platform="linux_x86_64", variant="cu128")
    folded = grid(table)
    assert folded.heading == (
        ("", "", "least", "full", "Ampere", "Blackwell"),
        ("torch", "variant", "driver", "driver", "8.0 8.6", "12.0"),
    )
    assert folded.rows == (("2.7.0 – 2.11.0", "cu128", "525.60.13", "570.26", "native", "native"),)


def test_by_generation_every_build_with_code_is_named_once_and_no_other() -> None:
    table = matrix(TABLES, platform="linux_x86_64")
    parts = list(by_generation(table))
    assert [column for part in parts for column in part.columns] == list(table.columns)
    for part in parts:
        place = [table.columns.index(column) for column in part.columns]
        served = [row for row in table.rows if any(row.cells[index].support != "none" for index in place)]
        assert [(row.torch, row.variant) for row in part.rows] == [(row.torch, row.variant) for row in served]


def test_a_release_without_a_row_ends_a_span() -> None:
    """cu129 on aarch64 exists for 2.8.0 and again from 2.10.0: no line may speak of 2.9."""
    for variant in ("", "cu129"):
        table = matrix(TABLES, capabilities=[ComputeCapability(9, 0)], platform="linux_aarch64", variant=variant)
        spans = [row[0] for row in grid(table).rows if "cu129" in row]
        assert spans == ["2.12.1 – 2.13.0", "2.10.0 – 2.11.0", "2.8.0"]


def test_markdown_is_a_table() -> None:
    lines = to_markdown(matrix(TABLES, torch="2.15")).splitlines()
    assert lines[0].startswith("| torch | variant | platform |")
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1


def test_value_is_json_and_folds_nothing() -> None:
    value = to_value(matrix(TABLES))
    again = json.loads(json.dumps(value))
    assert len(again["rows"]) == len(TABLES.kernels)
    assert again["rows"][0]["support"]["9.0"] == {"support": "native", "by": "sm_90", "doubtful": False}
    assert again["knowledge"] == TABLES.version


def test_the_page_in_the_documentation_is_the_present_one() -> None:
    """Renew it with ``gpuenv matrix --platform all --format markdown``, below its heading."""
    page = Path(__file__).resolve().parents[3] / "docs" / "matrix.md"
    assert page.read_text("utf-8").rstrip().endswith(to_markdown(matrix(TABLES)).rstrip())
