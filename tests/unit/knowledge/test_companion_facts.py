"""The facts of real companions: every row is whole, and the symbols say what the makers say."""

from __future__ import annotations

import re

import pytest

from gpuenv import knowledge
from gpuenv.knowledge.companion_facts import all_facts, facts_by_hash, facts_by_name
from gpuenv.knowledge.torch_exports import load_exports
from gpuenv.model.library import LibraryFacts, PackageFacts
from gpuenv.model.machine import ComputeCapability
from gpuenv.select.companion_verdict import Surroundings, judge_package

LINUX = r".*-(?:cp\d+|py\d+)-\w+-manylinux[\w.]*_x86_64\.whl"


def package(project: str, version: str, names: str = LINUX) -> PackageFacts:
    return next(
        each
        for each in all_facts()
        if (each.project, each.version) == (project, version) and re.fullmatch(names, each.filename)
    )


def library(facts: PackageFacts, name: str) -> LibraryFacts:
    return next(each for each in facts.libraries if name in each.path)


def test_every_row_is_whole() -> None:
    for each in all_facts():
        assert re.fullmatch(r"[0-9a-f]{64}", each.sha256), each.filename
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", each.date), each.filename
        assert each.filename.endswith(".whl")
        assert facts_by_hash(each.sha256) == facts_by_name(each.filename) == each
        assert all(library.size > 0 and library.needed for library in each.libraries), each.filename


# What the makers say: xFormers' and torchcodec's own tables of versions, torchao's check at import (0.18), the pins in
# the metadata of the others.
@pytest.mark.parametrize(
    ("project", "version", "name", "binding", "lowest", "cuda"),
    [
        ("xformers", "0.0.35", "_C.so", "stable", "2.10", 12),
        ("torchcodec", "0.17.0", "core8", "stable", "2.11", 13),
        ("torchcodec", "0.16.0", "core4", "stable", "2.11", 13),
        ("torchao", "0.18.0", "mxfp8", "stable", "2.11", 13),
        ("torchao", "0.16.0", "mxfp8", "bound", "2.10", 12),
        ("torchaudio", "2.9.1", "libtorchaudio", "bound", "2.9", 12),
        ("torch-tensorrt", "2.14.0", "libtorchtrt.so", "bound", "2.14", 13),
        ("bitsandbytes", "0.50.2", "cuda130", "independent", "2.9", 13),
    ],
)
def test_symbols_say_what_the_makers_say(
    project: str, version: str, name: str, binding: str, lowest: str, cuda: int
) -> None:
    found = library(package(project, version), name)
    span = load_exports().span(found.torch_symbols)
    assert (found.binding, span.lowest, found.cuda_major) == (binding, lowest, cuda)


def test_verdicts_of_real_wheels() -> None:
    hopper, blackwell = map(ComputeCapability.parse, ("9.0", "12.0"))

    def verdict(project: str, version: str, torch: str, cuda: str) -> tuple[str, object, object]:
        beside = Surroundings(
            torch=torch, cuda=cuda, python="3.12", capabilities=(hopper, blackwell), driver_cuda="13.0"
        )
        found = judge_package(package(project, version), beside, knowledge=knowledge.load())
        return found.load, found.code(hopper), found.code(blackwell)

    assert verdict("xformers", "0.0.35", "2.15.0", "13.2")[0] == "other-cuda"
    assert verdict("xformers", "0.0.35", "2.10.0+cu128", "12.8") == ("loads", "native", "ptx")
    assert verdict("torchaudio", "2.11.0", "2.9.1", "13.0")[0] == "missing-symbol"
    assert verdict("torchvision", "0.29.2", "2.15.0", "13.2") == ("loads", "native", "native")
    assert verdict("bitsandbytes", "0.50.2", "2.10.0+cu126", "12.6") == ("loads", "native", "none")
    assert verdict("bitsandbytes", "0.50.2", "2.15.0", "13.0") == ("loads", "native", "native")
