"""Which libraries a Windows library needs, and what brings one that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuenv.installed.missing import describe, missing_of
from gpuenv.installed.portable import Imports, PortableError, imports_of
from support.fatbins import importing, portable_library

NAMES = st.lists(st.from_regex(r"[A-Za-z0-9_]{1,12}\.dll", fullmatch=True), max_size=6, unique_by=str.lower)


@given(NAMES, NAMES)
@settings(max_examples=60)
def test_what_is_put_in_is_what_is_read(needed: list[str], delayed: list[str]) -> None:
    order = {"key": lambda name: (name.lower(), name)}
    found = imports_of(importing(*needed, delayed=delayed))

    assert found == Imports(needed=tuple(sorted(needed, **order)), delayed=tuple(sorted(delayed, **order)))  # type: ignore[arg-type]


@given(st.data())
@settings(max_examples=150)
def test_damage_is_an_error_or_an_answer_never_a_crash(data: st.DataObject) -> None:
    whole = bytearray(importing("c10.dll", "KERNEL32.dll", delayed=["nvcuda.dll"]))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    for damaged in (bytes(whole), bytes(whole[: data.draw(st.integers(0, len(whole)))])):
        try:
            found = imports_of(damaged)
        except PortableError:
            continue
        assert len(found.needed) <= len(whole)


@pytest.mark.parametrize("body", [b"", b"MZ", b"\x7fELF" + bytes(200), portable_library([])[:80]])
def test_what_is_no_windows_library(body: bytes) -> None:
    with pytest.raises(PortableError):
        imports_of(body)


def test_only_what_nobody_has_is_missing(tmp_path: Path) -> None:
    here = {"kernel32.dll", "c10.dll"}
    (tmp_path / "shm.dll").write_bytes(
        importing("KERNEL32.dll", "c10.dll", "VCRUNTIME140_THREADS.dll", "api-ms-win-crt-heap-l1-1-0.dll")
    )
    (tmp_path / "late.dll").write_bytes(importing("kernel32.dll", delayed=["nvcuda.dll"]))
    (tmp_path / "damaged.dll").write_bytes(b"MZ")
    (found,) = missing_of(sorted(tmp_path.iterdir()), has=here.__contains__)

    assert str(found) == (
        "shm.dll needs VCRUNTIME140_THREADS.dll, which is not here: it comes with the Visual C++ redistributable "
        "14.38 or newer"
    )
    assert found.hint == "winget install Microsoft.VCRedist.2015+.x64"


@pytest.mark.parametrize(
    ("name", "brings"),
    [
        ("VCRUNTIME140.dll", "the Visual C++ redistributable"),
        ("MSVCP140_1.dll", "the Visual C++ redistributable"),
        ("nvcuda.dll", "the NVIDIA driver"),
        ("cudart64_12.dll", "a CUDA build of torch; the one beside it is a CPU build, or of another CUDA"),
        ("cudnn_graph64_9.dll", "a CUDA build of torch; the one beside it is a CPU build, or of another CUDA"),
        ("torch_cuda.dll", "torch"),
        ("unheard-of.dll", ""),
    ],
)
def test_what_brings_a_library(name: str, brings: str) -> None:
    assert describe(name, wanted_by="a.pyd").brings == brings
