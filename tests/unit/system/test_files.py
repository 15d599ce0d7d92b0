"""Reading and writing: every refusal of the system is one error with the path, and no link is followed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gpuenv.errors import FileError, GpuenvError, NoSpaceError
from gpuenv.system.files import file_error, read_bytes, read_text, require_writable, write_atomic, write_edited
from support.systems import LINKS, POSIX


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def circle(path: Path) -> None:
    path.symlink_to(path.name)


def latin(path: Path) -> None:
    path.write_bytes(b"caf\xe9")


def nothing(path: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (nothing, "there is no such file"),
        (folder, "it is a folder"),
        pytest.param(pipe, "it is a pipe or a device, not a file", marks=POSIX),
        pytest.param(circle, "its links lead in a circle", marks=LINKS),
        (latin, "it is not UTF-8 text: byte 0xe9 at 3"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, make: Callable[[Path], None], cause: str) -> None:
    make(tmp_path / "lock")
    with pytest.raises(FileError) as caught:
        read_text(tmp_path / "lock", what="the lock", shown="lockfiles/lock")
    assert caught.value.message == "lockfiles/lock: the lock cannot be read"
    assert caught.value.causes == (cause,)


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("a\0b", "a path cannot hold a NUL byte"),
        pytest.param("/dev/zero", "it is a pipe or a device, not a file", marks=POSIX),
    ],
)
def test_places_that_are_no_files(path: str, cause: str) -> None:
    with pytest.raises(FileError) as caught:
        read_bytes(Path(path), what="the machine file")
    assert caught.value.causes == (cause,)


def test_a_file_too_large_is_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / "profile").write_bytes(b"x" * 101)
    assert len(read_bytes(tmp_path / "profile", what="the profile", most=101)) == 101
    with pytest.raises(FileError) as caught:
        read_bytes(tmp_path / "profile", what="the profile", most=100)
    assert caught.value.causes == ("it has more than 100 bytes",)


def test_line_ends_of_other_systems(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(b"a\r\nb\n")
    assert read_text(tmp_path / "lock", what="the lock") == "a\nb\n"


def test_writing_makes_folders_and_leaves_nothing_beside(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b" / "lock", "é\n", what="the lock")
    assert (tmp_path / "a" / "b" / "lock").read_bytes() == "é\n".encode()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["lock"]


def test_what_a_killed_writer_left_is_removed_an_hour_later(tmp_path: Path) -> None:
    """A kill between the writing and the renaming leaves the new content beside the file, in the person's project."""
    old, young, other = (tmp_path / f".{name}.{'0' * 15}{n}" for n, name in enumerate(("lock", "lock", "lock.toml")))
    for path in (old, young, other, tmp_path / ".lock.mine"):
        path.touch()
        os.utime(path, (0, 0))
    young.touch()
    write_atomic(tmp_path / "lock", "new", what="the lock")
    assert {path.name for path in tmp_path.iterdir()} == {"lock", young.name, other.name, ".lock.mine"}


@LINKS
def test_a_link_at_the_place_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "lock").symlink_to("precious")
    write_atomic(tmp_path / "lock", "new", what="the lock")
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "lock").read_text() == "new"
    assert not (tmp_path / "lock").is_symlink()


@LINKS
def test_links_laid_out_in_advance_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the name of the file beside is known: then nothing is written."""
    monkeypatch.setattr("os.urandom", bytes)
    (tmp_path / "precious").write_text("mine")
    (tmp_path / f".lock.{0:016}").symlink_to("precious")
    with pytest.raises(FileError) as caught:
        write_atomic(tmp_path / "lock", "new", what="the lock")
    assert caught.value.causes == ("something else stands there",)
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / f".lock.{0:016}").is_symlink()


def test_the_name_beside_cannot_be_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        seen.append(self.name)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    for _ in range(2):
        write_atomic(tmp_path / "lock", "new", what="the lock")
    assert len(set(seen)) == 2
    assert all(len(name) == len(".lock.") + 16 for name in seen)


@POSIX
@pytest.mark.parametrize(("given", "kept"), [(None, 0o640), (0o600, 0o600)])
def test_permissions_stay_or_are_given(tmp_path: Path, given: int | None, kept: int) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "lock").chmod(0o640)
    write_atomic(tmp_path / "lock", "new", what="the lock", mode=given)
    assert (tmp_path / "lock").stat().st_mode & 0o777 == kept


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    write_atomic(tmp_path / "lock", "new", what="the lock")
    assert (tmp_path / "lock").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_file_and_folder_are_on_the_disk_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this order: the content, the name, the folder that holds the name."""
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")  # noqa: PTH112
        sync(handle)

    def renamed(self: Path, target: Path) -> Path:
        done.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    write_atomic(tmp_path / "lock", "new", what="the lock")
    folder = ["folder"] if os.name == "posix" else []  # Windows opens no folders
    assert done == ["file", "name", *folder]


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        ("folder", "it is a folder"),
        ("file/lock", "FOLDER/file: something else stands there"),
        ("file/lockfiles/lock", "FOLDER/file/lockfiles: a part of its path is a file, not a folder"),
        ("n" * 300, "its name is too long"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, place: str, cause: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(FileError) as caught:
        write_atomic(tmp_path / place, "new", what="the lock")
    assert caught.value.message == f"{tmp_path / place}: the lock cannot be written"
    if os.name == "nt" and place == "file/lockfiles/lock":  # a file where a folder should be is "there is such a file"
        cause = "FOLDER/file: something else stands there"
    shown = [each.replace(str(tmp_path), "FOLDER").replace("\\", "/") for each in caught.value.causes]
    assert shown == [cause]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(FileError) as caught:
        require_writable(tmp_path / "cache", what="the cache")
    assert caught.value.causes == ("something else stands there",)


@pytest.mark.parametrize(
    ("number", "kind", "hinted"),
    [
        (errno.EROFS, FileError, True),
        (errno.EACCES, FileError, True),
        (errno.EIO, FileError, False),
        (errno.ENOSPC, NoSpaceError, True),
        (errno.EDQUOT, NoSpaceError, True),
    ],
)
def test_what_the_system_says(tmp_path: Path, number: int, kind: type[GpuenvError], hinted: bool) -> None:
    path = tmp_path / "a folder" / "lock"
    found = file_error(OSError(number, os.strerror(number)), path, "the lock cannot be written")
    assert type(found) is kind
    assert str(path) in found.message
    assert bool(found.hints) is hinted
    assert kind is NoSpaceError or found.causes


def test_only_what_is_to_be_durable_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(os, "fsync", waited.append)
    write_atomic(tmp_path / "a", "text", what="a file", durable=False)
    assert waited == []
    assert (tmp_path / "a").read_text() == "text"
    write_atomic(tmp_path / "a", "more", what="a file")
    assert len(waited) == (1 if os.name == "nt" else 2)  # the file, and the folder that names it


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_what_a_shell_or_an_editor_of_windows_wrote(tmp_path: Path, encoding: str) -> None:
    """``>`` of Windows PowerShell writes UTF-16 with a mark and ``\\r\\n``: our own hints redirect so."""
    path = tmp_path / "machine.json"
    path.write_bytes('{\r\n "über": 1\r\n}\r\n'.encode(encoding))
    assert read_text(path, what="the machine file") == '{\n "über": 1\n}\n'
    before = path.read_bytes()
    write_edited(path, '{\n "über": 2,\n "more": 3\n}\n', what="it")
    assert path.read_bytes() == before.decode(encoding).replace("1\r\n", '2,\r\n "more": 3\r\n').encode(encoding)


def test_text_that_is_not_what_its_mark_says(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\xfea\x00b")
    with pytest.raises(FileError) as caught:
        read_text(tmp_path / "a", what="the file")
    assert caught.value.causes == ("it is not UTF-16 text: byte 0x62 at 2",)


def test_a_line_that_stays_keeps_its_own_end(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_bytes(b"a\r\nb\nc\r\nd")
    write_edited(path, "a\nb\nnew\nc\nd\nlast\n", what="it")
    assert path.read_bytes() == b"a\r\nb\nnew\r\nc\r\nd\r\nlast\r\n"
    write_edited(path, "b\nlast", what="it")
    assert path.read_bytes() == b"b\nlast"
    write_edited(tmp_path / "new", "a\n", what="it")
    assert (tmp_path / "new").read_bytes() == b"a\n"
