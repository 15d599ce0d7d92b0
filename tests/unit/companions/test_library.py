"""What is read out of one library, and of the libraries of a package together."""

from __future__ import annotations

import pytest

from gpuenv.companions.library import is_library, make_facts, read_raw
from gpuenv.installed.fatbin import FatbinError
from gpuenv.model.library import LibraryFacts, NvidiaLibrary
from support.fatbins import image
from support.libraries import elf_library, pe_library

BOUND = "_ZN3c106detail14torchCheckFailEPKcS2_jS2_"


def facts(path: str, body: bytes) -> LibraryFacts:
    return make_facts([read_raw(path, body)])[0]


def test_an_elf_library_tells_what_it_needs() -> None:
    body = elf_library(
        needed=["libc10.so", "libcudart.so.13", "libcufft.so.12", "libc.so.6"],
        undefined=[BOUND, "aoti_torch_empty", "malloc", "PyObject_Call", "cudaMalloc"],
        weak=["_ZN2at4weakEv"],
        defined=["PyInit__C"],
        versions={"libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.34"], "libstdc++.so.6": ["GLIBCXX_3.4.9", "GLIBCXX_3.4.21"]},
        code=[image("sass", 90, suffix="a"), image("sass", 100, suffix="f"), image("ptx", 120, isa=(8, 7))],
        relocatable=[image("sass", 75)],
    )
    found = facts("pkg/_C.abi3.so", body)
    assert (found.sass, found.ptx, found.ptx_cuda) == (("sm_90a", "sm_100f"), ("compute_120",), "12.8")
    assert found.relocatable == ("sm_75",)
    assert found.needed == ("libc.so.6", "libc10.so", "libcudart.so.13", "libcufft.so.12")
    assert found.nvidia == (NvidiaLibrary("cudart", 13), NvidiaLibrary("cufft", 12))
    assert (found.cuda_major, found.binding, found.python) == (13, "bound", "abi3")
    assert found.torch_symbols == (BOUND, "aoti_torch_empty")
    assert (found.glibc, found.glibcxx, found.format, found.size) == ("2.34", "3.4.21", "elf", len(body))


def test_a_windows_library_tells_it_alike() -> None:
    body = pe_library(
        {"KERNEL32.dll": ["Sleep"], "torch_cpu.dll": ["aoti_torch_empty"], "cudart64_12.dll": ["cudaMalloc"]},
        code=[image("sass", 75), image("ptx", 80, isa=(8, 7))],
    )
    found = facts("xformers/_C.pyd", body)
    assert (found.format, found.sass, found.ptx, found.ptx_cuda) == ("pe", ("sm_75",), ("compute_80",), "12.8")
    assert found.needed == ("KERNEL32.dll", "cudart64_12.dll", "torch_cpu.dll")
    assert (found.cuda_major, found.binding, found.torch_symbols) == (12, "stable", ("aoti_torch_empty",))
    assert facts("p/_C.pyd", pe_library({"c10.dll": ["?check@c10@@YAXXZ"]})).binding == "bound"


@pytest.mark.parametrize(
    ("path", "symbols", "python"),
    [
        ("p/_C.cpython-310-x86_64-linux-gnu.so", ["PyObject_Call"], "cpython-310"),
        ("p/_C.cpython-313t-aarch64-linux-gnu.so", ["PyObject_Call"], "cpython-313t"),
        ("torchao/_C_mxfp8.cpython-310-x86_64-linux-gnu.so", ["aoti_torch_empty"], ""),
        ("p/_C.abi3.so", ["PyObject_Call"], "abi3"),
        ("p/_C.abi3.so", [], ""),
        ("p/lib_ops.so", ["_PyThreadState_Get"], "any"),
        ("p/lib.so", ["Pyramid"], ""),
    ],
)
def test_how_a_library_is_tied_to_python(path: str, symbols: list[str], python: str) -> None:
    assert facts(path, elf_library(undefined=symbols)).python == python


def test_a_windows_module_is_tied_to_python_by_the_dll_it_asks_for() -> None:
    tied = {
        dll: facts("p/_C.pyd", pe_library({dll: ["PyObject_Call"]})).python
        for dll in ("python312.dll", "python3.dll", "other.dll")
    }
    assert tied == {"python312.dll": "cpython-312", "python3.dll": "abi3", "other.dll": ""}


def test_what_a_neighbour_defines_is_not_asked_of_torch() -> None:
    core = read_raw("p/libcore.so", elf_library(defined=["_ZN5torch3own4callEv"], undefined=[BOUND]))
    ops = read_raw("p/_ops.so", elf_library(undefined=["_ZN5torch3own4callEv"]))
    alone = make_facts([ops])[0]
    together = {each.path: each.torch_symbols for each in make_facts([core, ops])}
    assert alone.torch_symbols == ("_ZN5torch3own4callEv",)
    assert together == {"p/libcore.so": (BOUND,), "p/_ops.so": ()}


@pytest.mark.parametrize(
    ("path", "vendored"),
    [
        ("torchvision.libs/libnvjpeg.36e11081.so.13", True),
        ("torchvision/_C.so", False),
        ("p/lib/libcudart.so.12", True),
        ("p/lib/libcublasLt-1a2b3c4d.so.12", True),
        ("torch_tensorrt/lib/libtorchtrt.so", False),
    ],
)
def test_copies_of_other_libraries_are_told(path: str, vendored: bool) -> None:
    assert facts(path, elf_library(needed=["libc.so.6"])).vendored is vendored


def test_names_of_libraries() -> None:
    names = ["a/_C.so", "a/libx.so.1.2", "a/_C.pyd", "a/X.DLL", "a/so", "a/x.so.txt", "a/x.py", "x.sop"]
    assert [is_library(name) for name in names] == [True] * 4 + [False] * 4


def test_what_is_no_library_is_an_error_with_the_reason() -> None:
    for body in (b"", b"/* GNU ld script */ INPUT(-lx)", b"MZ" + bytes(100), elf_library(needed=["x"])[:-40]):
        with pytest.raises(FatbinError):
            read_raw("p/x.so", body)
