"""index.facts: what was learned of a wheel is remembered; a broken entry is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv.index.facts import WheelFacts, checksum, combine
from gpuenv.model.wheel import Wheel, WheelContents

WHEEL = Wheel(
    project="torch",
    version="2.10.0+cu128",
    filename="torch-2.10.0+cu128-cp312-cp312-win_amd64.whl",
    url="https://download.pytorch.org/whl/cu128/torch-2.10.0%2Bcu128-cp312-cp312-win_amd64.whl",
    source="pytorch",
    channel="stable",
    variant="cu128",
    sha256="a" * 64,
)
NIGHTLY = replace(WHEEL, sha256=None, metadata_sha256="b" * 64, channel="nightly")
KERNELS = WheelContents(cuda="12.8", sass=("sm_90",), ptx=(), git="abc", detail="CUDAConfig.h")
METADATA = WheelContents(requires_dist=("a", "b==1"), requires_python=">=3.10", origin="metadata", detail="file")


def entry(folder: Path) -> Path:
    return next(folder.rglob("*.json"))


def test_what_is_learned_at_different_times_adds_up(tmp_path: Path) -> None:
    facts = WheelFacts(tmp_path)
    assert facts.get(WHEEL) is None
    facts.put(WHEEL, KERNELS)
    facts.put(WHEEL, METADATA)
    found = WheelFacts(tmp_path).get(WHEEL)
    assert found == combine(KERNELS, METADATA)
    assert found is not None
    assert (found.sass, found.ptx, found.requires_dist) == (("sm_90",), (), ("a", "b==1"))


def test_what_a_page_says_of_a_hash_speaks_for_no_other_address(tmp_path: Path) -> None:
    """A lying page may name the hash of any wheel: what is read at its address is known of its address alone."""
    lie = replace(WHEEL, url="https://mirror.example/whl/cu128/torch-2.10.0%2Bcu128-cp312-cp312-win_amd64.whl")
    facts = WheelFacts(tmp_path)
    facts.put(lie, KERNELS)
    assert facts.get(lie) == KERNELS
    assert facts.get(WHEEL) is None
    facts.put(WHEEL, replace(KERNELS, sass=("sm_80",)))
    assert facts.get(lie) == KERNELS
    assert facts.get(replace(WHEEL, sha256="c" * 64)) is None


def test_a_wheel_without_one_is_another_when_the_index_shows_a_change(tmp_path: Path) -> None:
    WheelFacts(tmp_path).put(NIGHTLY, KERNELS)
    assert WheelFacts(tmp_path).get(NIGHTLY) == KERNELS
    for change in ({"url": "https://x.example/y.whl"}, {"metadata_sha256": "d" * 64}, {"size": 7}):
        assert WheelFacts(tmp_path).get(replace(NIGHTLY, **change)) is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"format": 1}', '{"format": 1, "key": "x", "contents": {}}', "\x00\xff"],
)
def test_a_broken_entry_is_none(tmp_path: Path, text: str) -> None:
    facts = WheelFacts(tmp_path)
    facts.put(WHEEL, KERNELS)
    entry(tmp_path).write_text(text, encoding="utf-8")
    assert facts.get(WHEEL) is None
    assert facts.put(WHEEL, KERNELS) == KERNELS
    assert facts.get(WHEEL) == KERNELS


@pytest.mark.parametrize(
    ("field", "value"), [("sass", "sm_90"), ("cuda", 12), ("origin", "hearsay"), ("detail", None), ("ptx", [1])]
)
def test_a_value_of_the_wrong_type_is_a_broken_entry(tmp_path: Path, field: str, value: object) -> None:
    facts = WheelFacts(tmp_path)
    facts.put(WHEEL, KERNELS)
    stored = json.loads(entry(tmp_path).read_text(encoding="utf-8"))
    stored["contents"][field] = value
    stored["check"] = checksum(stored["key"], stored["contents"])
    entry(tmp_path).write_text(json.dumps(stored), encoding="utf-8")
    assert facts.get(WHEEL) is None


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    assert WheelFacts(blocked).put(WHEEL, KERNELS) == KERNELS
    assert WheelFacts(blocked).get(WHEEL) is None


def test_a_flipped_bit_that_leaves_good_json_is_a_broken_entry(tmp_path: Path) -> None:
    facts = WheelFacts(tmp_path)
    facts.put(WHEEL, KERNELS)
    text = entry(tmp_path).read_text(encoding="utf-8")
    entry(tmp_path).write_text(text.replace("sm_90", "sm_80"), encoding="utf-8")
    assert facts.get(WHEEL) is None


@pytest.mark.parametrize("changes", [{"origin": {}}, {"cuda": "latest"}])
def test_contents_of_another_form_are_none(tmp_path: Path, changes: dict[str, object]) -> None:
    facts = WheelFacts(tmp_path)
    facts.put(WHEEL, KERNELS)
    path = entry(tmp_path)
    value = json.loads(path.read_text())
    value["contents"] |= changes
    value["check"] = checksum(value["key"], value["contents"])
    path.write_text(json.dumps(value))
    assert WheelFacts(tmp_path).get(WHEEL) is None
