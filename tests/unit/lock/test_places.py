"""Paths of local wheels in a lock that travels, and in one that does not."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from gpuenv.lock.model import anchored, near
from support.locks import lock_of, package

PROJECT = PurePosixPath("/home/me/project")
LOCKFILES = PROJECT / "lockfiles"


@pytest.mark.parametrize(
    ("absolute", "written"),
    [
        ("/home/me/project/lockfiles/wheels/torch.whl", "wheels/torch.whl"),
        ("/home/me/project/wheels/torch.whl", "../wheels/torch.whl"),
        ("/srv/wheels/torch.whl", "/srv/wheels/torch.whl"),
        ("/home/me/projector/torch.whl", "/home/me/projector/torch.whl"),
    ],
)
def test_wheels_inside_the_project_are_relative(absolute: str, written: str) -> None:
    lock = lock_of(package("torch", "2.10.0", url=None, path=absolute), package("numpy", "2.3.0"))
    moved = near(lock, LOCKFILES, project=PROJECT)
    assert moved.by_name["torch"].path == written
    assert moved.by_name["numpy"] == lock.by_name["numpy"]
    assert anchored(moved, LOCKFILES) == lock


@pytest.mark.parametrize(
    ("absolute", "written"),
    [
        ("C:/Users/me/project/wheels/torch.whl", "../wheels/torch.whl"),
        ("C:/Users/me/wheels/torch.whl", "C:/Users/me/wheels/torch.whl"),
        ("D:/wheels/torch.whl", "D:/wheels/torch.whl"),
    ],
)
def test_nor_does_a_drive_of_windows_travel(absolute: str, written: str) -> None:
    project = PurePosixPath("C:/Users/me/project")
    lock = lock_of(package("torch", "2.10.0", url=None, path=absolute))
    moved = near(lock, project / "lockfiles", project=project)
    assert moved.by_name["torch"].path == written
    assert anchored(moved, project / "lockfiles") == lock
