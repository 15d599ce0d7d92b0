"""What reaches the disk before an environment takes another's place."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from gpuenv.environment.target import check_target, swap_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="syncfs and renameat2 are Linux's")


class Calls:
    """The C library, with the calls that matter here written down in their order."""

    def __init__(self, library: Any, done: list[tuple[str, str]]) -> None:  # Any: ctypes' own
        self._library, self._done = library, done

    def syncfs(self, handle: int) -> int:
        self._done.append(("syncfs", str(Path(f"/proc/self/fd/{handle}").readlink())))
        return int(self._library.syncfs(handle))

    def renameat2(self, _: int, one: bytes, __: int, other: bytes, flags: int) -> int:
        self._done.append(("exchange", os.fsdecode(one)))
        return int(self._library.renameat2(_, one, __, other, flags))


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("standing", [True, False])
def test_everything_is_on_the_disk_before_the_names_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, standing: bool, exchange: bool
) -> None:
    built, target = tmp_path / "stage", tmp_path / "env"
    built.mkdir()
    place = check_target(target)
    if standing:
        target.mkdir()
    done: list[tuple[str, str]] = []
    real, rename, fsync = ctypes.CDLL, Path.rename, os.fsync
    monkeypatch.setattr(ctypes, "CDLL", lambda *words, **more: Calls(real(*words, **more), done))

    def renamed(self: Path, other: Path) -> Path:
        done.append(("replace", str(self)))
        return rename(self, other)

    def synced(handle: int) -> None:
        done.append(("fsync", str(Path(f"/proc/self/fd/{handle}").readlink())))
        fsync(handle)

    monkeypatch.setattr(Path, "replace", renamed)
    monkeypatch.setattr(os, "fsync", synced)
    swap_in(built, place, exchange=exchange)

    names = {("exchange", str(built)), ("replace", str(built))}
    assert done[0] == ("syncfs", str(built))
    assert done[-1] == ("fsync", str(tmp_path))
    assert any(call in names for call in done[1:-1])
