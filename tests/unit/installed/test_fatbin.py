"""Device code is read out of libraries, and a damaged library is an error, never a hang."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from gpuenv.installed.fatbin import FatbinError, read_code, read_library
from support.fatbins import image, library, portable_library


def test_counts_machine_code_and_ptx_by_architecture() -> None:
    data = library([[image("sass", 80), image("sass", 90)], [image("sass", 80), image("ptx", 90, size=40)]])
    code = read_code(data)
    assert code.sass == (("sm_80", 2), ("sm_90", 1))
    assert code.ptx == (("compute_90", 1),)
    assert code.fatbins == 2
    assert code.architectures == ("sm_80", "sm_90")


def test_what_is_for_the_linker_is_passed_over() -> None:
    code = read_code(library([[image("lto", 75), image("sass", 90)]]))
    assert (code.sass, code.ptx) == ((("sm_90", 1),), ())


def test_a_library_without_device_code_has_none() -> None:
    assert read_code(library([], section=b".text")).sass == ()


def test_code_in_another_section_does_not_count() -> None:
    assert read_code(library([[image("sass", 80)]], section=b"__nv_relfatbin")).fatbins == 0


def test_the_magic_bytes_inside_of_code_are_no_fat_binary() -> None:
    inside = image("sass", 86, size=64, fill=b"\x50\xed\x55\xba")
    code = read_code(library([[inside], [image("sass", 75)]]))
    assert code.sass == (("sm_75", 1), ("sm_86", 1))


@pytest.mark.parametrize("cut", [0, 10, 63, 64, 200])
def test_a_cut_file_is_an_error(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "libtorch_cuda.so"
    path.write_bytes(library([[image("sass", 80)]])[:cut])
    with pytest.raises(FatbinError):
        read_library(path)


def test_a_section_past_the_end_is_an_error() -> None:
    data = bytearray(library([[image("sass", 80)]]))
    table = struct.unpack_from("<Q", data, 0x28)[0]
    struct.pack_into("<Q", data, table + 64 + 32, 1 << 40)
    with pytest.raises(FatbinError, match="past the end"):
        read_code(bytes(data))


def test_an_image_longer_than_its_holder_is_left_out() -> None:
    broken = bytearray(image("sass", 80))
    struct.pack_into("<Q", broken, 8, 1 << 60)
    assert read_code(library([[bytes(broken)]])).sass == ()


def test_a_windows_library_is_read_alike() -> None:
    """W5: a PE file has its device code in `.nv_fatb`."""
    fatbins = [[image("sass", 80), image("ptx", 90)], [image("sass", 120)]]
    code = read_code(portable_library(fatbins))
    assert code == read_code(library(fatbins))
    assert code.architectures == ("sm_80", "sm_120")
    assert read_code(portable_library(fatbins, section=b".nvFatBi")).fatbins == 0


@pytest.mark.parametrize("cut", [2, 63, 70, 100, 140])
def test_a_cut_windows_library_is_an_error(cut: int) -> None:
    with pytest.raises(FatbinError):
        read_code(portable_library([[image("sass", 80)]])[:cut])


@pytest.mark.parametrize("body", [b"MZ" + b"\0" * 200, b"\x7fELF\x01" + b"\0" * 200, b"not a library" * 20])
def test_another_file_is_an_error_with_the_reason(body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "torch_cuda.dll"
    path.write_bytes(body)
    with pytest.raises(FatbinError, match=r"neither an ELF nor a PE file|not a 64-bit little-endian ELF file"):
        read_library(path)
