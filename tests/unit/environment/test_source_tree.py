"""An archive of source is unpacked inside its folder, and says what its build asks for."""

from __future__ import annotations

import io
import random
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from gpuenv.environment.source_tree import unpack
from gpuenv.errors import IntegrityError
from support.sources import source_archive

posix = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there, and Wine makes none")


def tar(path: Path, *entries: tarfile.TarInfo, text: bytes = b"x") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for each in entries:
            each.size = len(text) if each.isreg() else 0
            archive.addfile(each, io.BytesIO(text))
    return path


@pytest.fixture(params=["the library's", "our own"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python before 3.11.4, which Debian 12 has, knows no filter: the way without it does the same."""
    if request.param == "our own":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    elif not hasattr(tarfile, "data_filter"):
        pytest.skip("this Python has none")


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


@posix
def test_a_link_inside_stays_one(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("op-1.0/csrc/again.py")
    entry.type, entry.linkname = tarfile.SYMTYPE, "../setup.py"
    path = tar(tmp_path / "a.tar.gz", entry, tarfile.TarInfo("op-1.0/setup.py"), text=b"import this")
    tree = unpack(path, filename="op-1.0.tar.gz", into=tmp_path / "b")
    assert (tree.folder / "csrc/again.py").read_bytes() == b"import this"
    assert (tree.folder / "csrc/again.py").readlink() == Path("../setup.py")


def member(name: str, *, leads: str = "", hard: bool = False, mode: int = 0o644) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(f"op-1.0/{name}")
    entry.mode, entry.mtime = mode, 1_700_000_000
    if leads:
        entry.type, entry.linkname = tarfile.LNKTYPE if hard else tarfile.SYMTYPE, leads
    return entry


@posix
def test_links_to_links_and_folders_that_no_row_names_are_unpacked(tmp_path: Path) -> None:
    entries = (
        member("setup.py"), member("src/a.py", mode=0o4700), member("again", leads="src"),
        member("twice", leads="again/a.py"), member("b.py", leads="op-1.0/src/a.py", hard=True, mode=0o4700),
        member("c.py", leads="op-1.0/b.py", hard=True, mode=0o4700), member("later", leads="not-there.txt"),
    )  # fmt: skip
    path = tar(tmp_path / "a.tar.gz", *entries, text=b"import this")
    top = unpack(path, filename="op-1.0.tar.gz", into=tmp_path / "b").folder
    for name in ("src/a.py", "again/a.py", "twice", "b.py", "c.py"):
        assert (top / name).read_bytes() == b"import this"
    assert not (top / "c.py").is_symlink()
    assert (top / "later").is_symlink()
    assert oct((top / "src/a.py").stat().st_mode & 0o7777) == oct(0o700)
    assert (top / "src/a.py").stat().st_mtime == 1_700_000_000, "a wheel holds the times of its files"


def test_of_two_members_of_one_name_the_last_counts(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, text in (("op-1.0/setup.py", b"one"), ("./op-1.0/setup.py", b"other")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    tree = unpack(tmp_path / "a.tar", filename="op-1.0.tar", into=tmp_path / "b")
    assert (tree.folder / "setup.py").read_bytes() == b"other"


@posix
@pytest.mark.parametrize("hard", [True, False], ids=["hard", "symbolic"])
def test_no_link_leads_out_through_another(tmp_path: Path, hard: bool) -> None:
    """``x/y/up/../../../..`` stays inside to whoever only counts the dots."""
    (tmp_path / "secret").write_text("s")
    up = "op-1.0/x/y/up" if hard else "up"
    out = member("x/y/out", leads=f"{up}/../../secret", hard=hard)
    path = tar(tmp_path / "a.tar.gz", member("setup.py"), member("x/y/z"), member("x/y/up", leads="../.."), out)
    with pytest.raises(IntegrityError):
        unpack(path, filename="op-1.0.tar.gz", into=tmp_path / "b")


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    entry = tarfile.TarInfo("op-1.0/in")
    entry.type, entry.linkname = tarfile.SYMTYPE, str(tmp_path / "elsewhere")
    path = tar(tmp_path / "a.tar.gz", entry, tarfile.TarInfo("op-1.0/in/evil"))
    with pytest.raises(IntegrityError):
        unpack(path, filename="op-1.0.tar.gz", into=tmp_path / "b")
    assert not list((tmp_path / "elsewhere").iterdir())


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
    ("name", "modified"),
    [("setup.py", 2**70), ("d/" * 1500 + "a", 0), ("a" * 300, 0), ("../op-1.0", 0), ("setup.py/a", 0)],
    ids=["a time beyond all", "a deep path", "a long name", "the folder itself", "below a file"],
)
@posix
def test_what_no_system_can_unpack_is_the_archives_fault(tmp_path: Path, name: str, modified: int) -> None:
    entry = tarfile.TarInfo(f"op-1.0/{name}")
    entry.mtime = modified
    path = tar(tmp_path / "a.tar.gz", tarfile.TarInfo("op-1.0/setup.py"), entry)
    with pytest.raises(IntegrityError, match="is not the source of a package"):
        unpack(path, filename="op-1.0.tar.gz", into=tmp_path / "b")


def test_an_archive_that_was_changed_on_its_way(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a", "w:xz") as archive:
        entry = tarfile.TarInfo("op-1.0/setup.py")
        entry.size = 20_000
        archive.addfile(entry, io.BytesIO(random.Random(5).randbytes(20_000)))
    body = bytearray((tmp_path / "a").read_bytes())
    body[15_000] ^= 1
    (tmp_path / "a").write_bytes(body)
    with pytest.raises(IntegrityError):
        unpack(tmp_path / "a", filename="op-1.0.tar.xz", into=tmp_path / "b")


@pytest.mark.parametrize(
    "text", ["[build-system]\nrequires = 3\n", "[build-system\n", '[build-system]\nrequires = "a"\n']
)
def test_a_build_system_that_says_nothing(tmp_path: Path, text: str) -> None:
    path = tar(tmp_path / "a.tar.gz", tarfile.TarInfo("op-1.0/pyproject.toml"), text=text.encode())
    with pytest.raises(IntegrityError):
        unpack(path, filename="op-1.0.tar.gz", into=tmp_path / "b")
