"""Cards as people write them are found; what is near is offered; nothing else is guessed."""

from __future__ import annotations

import pytest

from gpuenv import knowledge
from gpuenv.errors import UsageError
from gpuenv.knowledge.called import capabilities_of, gpus_called

TABLES = knowledge.load()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5090", ["12.0"]),
        ("rtx5090", ["12.0"]),
        ("RTX 5090", ["12.0"]),
        ("RTX-5090", ["12.0"]),
        ("rtx_5090", ["12.0"]),
        ("GeForce RTX 4090 Laptop GPU", ["8.9"]),
        ("4090 laptop", ["8.9"]),
        ("3080ti", ["8.6"]),
        ("gtx1080ti", ["6.1"]),
        ("h100 nvl", ["9.0"]),
        ("Jetson Thor", ["11.0"]),
        ("DGX Spark", ["12.1"]),
        ("orin nano", ["8.7"]),
        ("RTX4070TiSuper", ["8.9"]),
        ("A100-SXM", ["8.0"]),
        ("a100", ["8.0"]),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", ["8.0"]),
        ("GRID T4-16Q", ["7.5"]),
        ("h200", ["9.0"]),
        ("H100", ["9.0"]),
        ("NVIDIA H100 80GB HBM3", ["9.0"]),
        ("rtxa6000", ["8.6"]),
        ("RTX 6000 Ada", ["8.9"]),
        ("titanv", ["7.0"]),
        ("rtxpro6000", ["12.0"]),
        ("v100", ["7.0"]),
        ("730", ["3.0", "3.5"]),
        ("Ada Lovelace", ["8.9"]),
        ("sm_86", ["8.6"]),
        ("sm_120", ["12.0"]),
        ("compute_90", ["9.0"]),
    ],
)
def test_names_as_people_write_them(text: str, expected: list[str]) -> None:
    found = [str(capability) for capability in capabilities_of(TABLES, text)]
    assert set(expected) <= set(found)
    if text not in ("rtxpro6000", "730"):
        assert found == expected


@pytest.mark.parametrize("text", ["509", "a1", "RTX 9990", "rtx", "GeForce", "", "gpu", "H", "RTX 5090 XYZ"])
def test_what_names_no_card_finds_none(text: str) -> None:
    assert gpus_called(TABLES.gpus, text) == ()


@pytest.mark.parametrize(
    ("text", "near"), [("rtx 5o90", "GeForce RTX 5090"), ("509", "GeForce RTX 5090"), ("Blackwel", "Blackwell")]
)
def test_an_unknown_name_is_answered_with_near_ones(text: str, near: str) -> None:
    with pytest.raises(UsageError) as caught:
        capabilities_of(TABLES, text)
    offered = [hint.split("`")[1] for hint in caught.value.hints if hint.startswith("Did you mean")]
    assert f'gpuenv matrix "{near}"' in offered
    for hint in offered:
        assert capabilities_of(TABLES, hint.split('"')[1])


def test_every_name_of_the_table_is_found_without_its_blanks() -> None:
    """What a person may glue together still finds at least the chip it names."""
    for gpu in TABLES.gpus[::7]:
        glued = gpu.name.replace(" ", "")
        found = {each.compute_capability for each in gpus_called(TABLES.gpus, glued)}
        assert gpu.compute_capability in found, gpu.name
