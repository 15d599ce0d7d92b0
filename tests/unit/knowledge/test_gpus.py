"""Names of GPUs, their ids, and what cards can do."""

from __future__ import annotations

import pytest

from gpuenv import knowledge

TABLES = knowledge.load()


def capabilities(name: str) -> list[str]:
    return sorted({str(gpu.compute_capability) for gpu in TABLES.gpu_by_name(name)})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA GeForce RTX 5090", ["12.0"]),
        ("GeForce RTX 5090", ["12.0"]),
        ("rtx 5090", ["12.0"]),
        ("NVIDIA GeForce GTX 1080 Ti", ["6.1"]),
        ("GTX 1080 Ti", ["6.1"]),
        ("NVIDIA H200", ["9.0"]),
        ("NVIDIA A100-SXM4-80GB", ["8.0"]),
        ("NVIDIA H100 80GB HBM3", ["9.0"]),
        ("NVIDIA GB10", ["12.1"]),
        ("NVIDIA Thor", ["11.0"]),
        ("Orin (nvgpu)", ["8.7"]),
        ("Tesla V100-SXM2-32GB", ["7.0"]),
        ("V100", ["7.0"]),
        ("GeForce RTX 5090 Laptop GPU", ["12.0"]),
        ("GT 730", ["3.0", "3.5"]),
        ("NVIDIA GeForce GTX 860M", ["3.0", "5.0"]),
        ("GeForce RTX 9990", []),
        ("NVIDIA", []),
        ("", []),
    ],
)
def test_names(name: str, expected: list[str]) -> None:
    assert capabilities(name) == expected


def test_of_an_ambiguous_name_the_pci_id_decides() -> None:
    found = TABLES.gpu_by_name("GeForce GT 730")
    assert len(found) == 2
    assert len({gpu.compute_capability for gpu in found}) == 2
    assert [str(gpu.compute_capability) for gpu in TABLES.gpu_by_pci("1287")] == ["3.5"]
    assert [str(gpu.compute_capability) for gpu in TABLES.gpu_by_pci("0x0FC9")] == ["3.0"]


@pytest.mark.parametrize("text", ["2b85", "0x2B85", "10de:2b85", "10DE:2B85"])
def test_pci_ids_in_any_spelling(text: str) -> None:
    assert [gpu.name for gpu in TABLES.gpu_by_pci(text)] == ["GeForce RTX 5090"]


def test_unknown_pci_id() -> None:
    assert TABLES.gpu_by_pci("ffff") == ()


def test_every_name_finds_itself_with_and_without_the_vendor() -> None:
    for gpu in TABLES.gpus:
        for name in (gpu.name, f"NVIDIA {gpu.name}", gpu.name.upper()):
            assert gpu in TABLES.gpu_by_name(name), name
        assert TABLES.architecture(gpu.compute_capability), gpu.name
        assert gpu.source


@pytest.mark.parametrize("name", ["NVIDIA H200", "NVIDIA GeForce RTX 5090", "Tesla T4", "NVIDIA A100-SXM4-80GB"])
def test_limits_of_cards(name: str) -> None:
    limits = TABLES.card_limits(name)
    assert limits is not None
    assert limits.source
    assert limits.memory_gb_s > 100


def test_limits_are_for_the_whole_card_only() -> None:
    assert TABLES.card_limits("NVIDIA H100 80GB HBM3 MIG 1g.10gb") is None
    assert TABLES.card_limits("NVIDIA GeForce RTX 5090 Laptop GPU") is None
    assert TABLES.card_limits("NVIDIA Something New") is None


def test_limits_are_ordered_as_hardware_is() -> None:
    """No rate without sparsity is above the tensor cores' usual multiples: a figure taken with sparsity would be."""
    from gpuenv.knowledge import tables

    for known, limits in tables.cards():
        assert capabilities(known[0]), f"{known[0]} is not among the names"
        if limits.bf16 is not None:
            assert limits.tf32 is not None
            assert limits.fp16 == limits.bf16
            assert 1.9 < limits.bf16 / limits.tf32 < 2.1
        if limits.fp16 is not None:
            assert limits.fp16 > limits.fp32


def test_bf16_stands_where_the_card_has_it() -> None:
    from gpuenv.knowledge import tables

    for known, limits in tables.cards():
        (gpu, *_) = TABLES.gpu_by_name(known[0])
        assert (limits.bf16 is not None) is (gpu.compute_capability >= (8, 0))
