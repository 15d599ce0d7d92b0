"""What was read of a wheel's libraries is the same after it was remembered, and is no other wheel's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv.companions.memory import LibraryMemory
from gpuenv.knowledge.companion_facts import all_facts
from gpuenv.model.wheel import Wheel

WHEEL = Wheel(
    project="xformers", version="0.0.35", filename="x.whl", url="https://i.example/x.whl", source="package-index",
    channel="stable", variant=None, sha256="a" * 64, size=7,
)  # fmt: skip


def test_all_that_a_table_holds_comes_back(tmp_path: Path) -> None:
    memory = LibraryMemory(tmp_path)
    for facts in all_facts():
        memory.put(WHEEL, facts)
        assert memory.get(WHEEL) == facts


@pytest.mark.parametrize("other", [{"url": "https://j.example/x.whl"}, {"sha256": "b" * 64}, {"size": 8}])
def test_another_row_is_another_wheel(tmp_path: Path, other: dict[str, object]) -> None:
    memory = LibraryMemory(tmp_path)
    memory.put(WHEEL, all_facts()[0])
    assert memory.get(replace(WHEEL, **other)) is None


@pytest.mark.parametrize("damage", [lambda text: text.replace("sm_", "sm-"), lambda text: text[:-9], lambda text: "{}"])
def test_a_damaged_entry_is_none(tmp_path: Path, damage: object) -> None:
    memory = LibraryMemory(tmp_path)
    memory.put(WHEEL, all_facts()[0])
    path = next(tmp_path.rglob("*.json"))
    assert callable(damage)
    path.write_text(damage(path.read_text("utf-8")), "utf-8")
    assert memory.get(WHEEL) is None
