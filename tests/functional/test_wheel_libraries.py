"""Libraries are read out of wheels whole, by ranges, a piece at a time; damage and a full disk's worth are errors."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv.companions import wheel as reader
from gpuenv.companions.wheel import list_libraries, read_package
from gpuenv.errors import GpuenvError, IntegrityError
from gpuenv.index import wheelfile
from gpuenv.index.wheelfile import open_wheel
from gpuenv.model.library import PackageFacts
from gpuenv.net.access import Access
from gpuenv.net.client import Client
from support.fatbins import image
from support.index_server import Fault, IndexServer
from support.libraries import elf_library
from support.wheels import BuiltWheel, build_wheel

QUICK = Access(backoff=0.005, connect_timeout=120, read_timeout=120, deadline=600)
SMALL = elf_library(undefined=["aoti_torch_empty"], needed=["libcudart.so.13"], code=[image("sass", 90, suffix="a")])
LARGE = elf_library(code=[image("sass", 80, size=300_000, fill=os.urandom(300_000))], undefined=["_ZN2at4callEv"])
WHEEL = build_wheel(
    "pkg",
    "1.0",
    files={"pkg/_C.abi3.so": SMALL, "pkg/lib/libbig.so": LARGE, "pkg/old.so": b"INPUT(-lx)", "pkg/a.py": b""},
)


@pytest.fixture
def server() -> Iterator[IndexServer]:
    with IndexServer() as running:
        yield running


def client(folder: Path) -> Client:
    return Client(cache=folder / "cache", environ={}, access=QUICK, sleep=lambda _: None)


def read(location: str | Path, folder: Path, *, allow_download: bool = False) -> PackageFacts:
    with open_wheel(location, http=client(folder), allow_download=allow_download) as wheel:
        return read_package(wheel, list_libraries(wheel), project="pkg", version="1.0")


def check(found: PackageFacts) -> None:
    told = {each.path: (each.sass, each.binding, each.cuda_major, each.size) for each in found.libraries}
    assert told == {
        "pkg/_C.abi3.so": (("sm_90a",), "stable", 13, len(SMALL)),
        "pkg/lib/libbig.so": (("sm_80",), "bound", None, len(LARGE)),
    }
    assert found.unread == ("pkg/old.so: not a 64-bit little-endian ELF file",)


def test_by_ranges_and_from_the_disk_the_same_is_read(server: IndexServer, tmp_path: Path) -> None:
    check(read(server.add(WHEEL, folder="cu130"), tmp_path))
    assert all(request.status == 206 for request in server.log)
    check(read(WHEEL.write(tmp_path), tmp_path))


@pytest.mark.parametrize("compress", [False, True])
def test_pieces_and_files_give_what_memory_gives(
    compress: bool, server: IndexServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheelfile, "CHUNK", 65_536)
    monkeypatch.setattr(reader, "IN_MEMORY", 1000)
    path = WHEEL.write(tmp_path)
    if compress:
        packed = tmp_path / "packed" / path.name
        packed.parent.mkdir()
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
            for member in old.infolist():
                new.writestr(member.filename, old.read(member))
        path = packed
    check(read(path, tmp_path))
    check(read(server.add(replace(WHEEL, body=path.read_bytes()), folder="cu130"), tmp_path))
    assert len(server.log) > len(LARGE) / 65_536


def test_a_server_without_ranges_is_read_after_a_download(server: IndexServer, tmp_path: Path) -> None:
    server.fault("/whl/cu130/", Fault(no_ranges=True))
    big = replace(
        WHEEL, body=build_wheel("pkg", "1.0", files={"pkg/_C.abi3.so": SMALL, "pkg/x": os.urandom(200_000)}).body
    )
    found = read(server.add(big, folder="cu130"), tmp_path, allow_download=True)
    assert [each.sass for each in found.libraries] == [("sm_90a",)]


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7])
def test_a_damaged_member_is_an_error(place: float, tmp_path: Path) -> None:
    body = bytearray(WHEEL.body)
    body[int(len(body) * place)] ^= 0xFF
    with pytest.raises(IntegrityError, match="is not a wheel that can be read"):
        read(replace(WHEEL, body=bytes(body)).write(tmp_path), tmp_path)


def test_more_than_any_wheel_holds_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MOST_UNPACKED", 1000)
    with pytest.raises(GpuenvError, match="would unpack to"):
        read(WHEEL.write(tmp_path), tmp_path)


def test_a_twin_without_libraries_is_empty(tmp_path: Path) -> None:
    twin: BuiltWheel = build_wheel("pkg", "1.0", files={"pkg/a.py": b""})
    found = read(twin.write(tmp_path), tmp_path)
    assert found.empty
    assert not found.unread
