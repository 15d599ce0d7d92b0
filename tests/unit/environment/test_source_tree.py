"""An archive of source is unpacked inside its folder, and says what its build asks for."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from gpuenv.environment.source_tree import unpack
from gpuenv.errors import IntegrityError
from support.sources import source_archive


def tar(path: Path, *entries: tarfile.TarInfo, text: bytes = b"x") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for each in entries:
            each.size = len(text) if each.isreg() else 0
            archive.addfile(each, io.BytesIO(text))
    return path


def test_what_the_build_asks_for(tmp_path: Path) -> None:
    archive = source_archive("fast-op", "1.0", files={"csrc/op.cu": b""}, build_requires=("ninja",))
    tree = unpack(archive.write(tmp_path / "a"), filename=archive.filename, into=tmp_path / "b")
    assert tree.requires == ("ninja",)
    assert tree.folder == tmp_path / "b/fast_op-1.0"
    assert "fast_op-1.0/csrc/op.cu" in tree.names


def test_without_a_build_system_it_is_setuptools(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar.gz", tarfile.TarInfo("op-1.0/setup.py"))
    assert unpack(path, filename="op-1.0.tar.gz", into=tmp_path / "b").requires == ("setuptools", "wheel")


def outside(name: str) -> tarfile.TarInfo:
    return tarfile.TarInfo(name)


def link() -> tarfile.TarInfo:
    entry = tarfile.TarInfo("op-1.0/out")
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return entry


@pytest.mark.parametrize("entry", [outside("op-1.0/../../evil"), link()], ids=["a path that leads out", "a link"])
def test_nothing_leads_out(tmp_path: Path, entry: tarfile.TarInfo) -> None:
    path = tar(tmp_path / "a.tar.gz", tarfile.TarInfo("op-1.0/setup.py"), entry)
    with pytest.raises(IntegrityError):
        unpack(path, filename="op-1.0.tar.gz", into=tmp_path / "b/c")
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "b/evil").exists()


def test_a_zip_that_leads_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("op-1.0/setup.py", "")
        archive.writestr("op-1.0/../../evil", "")
    with pytest.raises(IntegrityError, match="is not the source of a package"):
        unpack(tmp_path / "a.zip", filename="op-1.0.zip", into=tmp_path / "b/c")


@pytest.mark.parametrize("body", [b"", b"no archive", None], ids=["empty", "text", "cut off"])
def test_what_is_no_archive(tmp_path: Path, body: bytes | None) -> None:
    whole = source_archive("fast-op", "1.0").body
    (tmp_path / "a").write_bytes(whole[: len(whole) // 2] if body is None else body)
    with pytest.raises(IntegrityError):
        unpack(tmp_path / "a", filename="fast_op-1.0.tar.gz", into=tmp_path / "b")


@pytest.mark.parametrize(
    "text", ["[build-system]\nrequires = 3\n", "[build-system\n", '[build-system]\nrequires = "a"\n']
)
def test_a_build_system_that_says_nothing(tmp_path: Path, text: str) -> None:
    path = tar(tmp_path / "a.tar.gz", tarfile.TarInfo("op-1.0/pyproject.toml"), text=text.encode())
    with pytest.raises(IntegrityError):
        unpack(path, filename="op-1.0.tar.gz", into=tmp_path / "b")
