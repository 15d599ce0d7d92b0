"""What killed processes leave is removed by a later run; what is in use is not."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

from gpuenv.environment.store import Store
from gpuenv.system.files import scratch
from support.systems import links_work

LONG_AGO = (1_000_000_000, 1_000_000_000)


def age(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        os.utime(path, LONG_AGO)


def test_scratch_folders_of_dead_processes_go_and_those_in_use_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = Path(tempfile.mkdtemp(prefix="gpuenv-dependencies-"))
    (dead / "pylock.toml").touch()
    foreign = tmp_path / "gpuenv-mine"
    foreign.mkdir(mode=0o755)
    link = tmp_path / "gpuenv-a-link"
    if links_work():
        link.symlink_to(foreign)
    else:
        link.mkdir()
    age(dead)
    age(foreign)
    young = Path(tempfile.mkdtemp(prefix="gpuenv-joint-"))

    with scratch("dependencies") as used:
        age(used)
        with scratch("joint") as inner:
            assert os.name == "nt" or inner.stat().st_mode & 0o777 == 0o700
            assert set(tmp_path.iterdir()) == {used, inner, foreign, link, young}

    assert set(tmp_path.iterdir()) == {foreign, link, young}


def test_unfinished_copies_and_downloads_nobody_goes_on_with(tmp_path: Path) -> None:
    store = Store(tmp_path)
    part = tmp_path / "sha256/ab" / ("ab" * 32) / ".0123.part"
    old, held, new = (tmp_path / "partial" / name for name in ("old", "held", "new"))
    for folder in (part.parent, old, held, new):
        folder.mkdir(parents=True)
    for path in (part, old / "body", old / "lock", held / "body", new / "body", new / "lock"):
        path.touch()

    with FileLock(held / "lock"):
        for folder in (part.parent, old, held):
            age(folder)
        store.sweep()

        assert not part.exists()
        assert {path.name for path in (tmp_path / "partial").iterdir()} == {"held", "new"}
