"""Which libraries a Windows library needs, and what brings one that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.installed.missing import describe, missing_of
from support.libraries import pe_library


def test_only_what_nobody_has_is_missing(tmp_path: Path) -> None:
    here = {"kernel32.dll", "c10.dll"}
    names = ("KERNEL32.dll", "c10.dll", "VCRUNTIME140_THREADS.dll", "api-ms-win-crt-heap-l1-1-0.dll")
    (tmp_path / "shm.dll").write_bytes(pe_library({name: ["f"] for name in names}))
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
