"""The file that installs gpuenv on a host, run there by a shell: twice at once, again, and where it cannot."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gpuenv.environment.uv import find_uv
from gpuenv.fleet.bundle import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "bundle.run"
    make_bundle(path, uv=find_uv(os.environ).path, carried=None)
    return path


def start(bundle: Path, home: Path, **more: str) -> subprocess.Popen[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(home.parent), **more}
    return subprocess.Popen(
        ["/bin/sh", str(bundle), str(home)], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_two_at_once_leave_one_whole_tool(bundle: Path, tmp_path: Path) -> None:
    home = tmp_path / "a host/gpuenv"
    both = [start(bundle, home) for _ in range(2)]
    said = [each.communicate(timeout=300)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert sorted("already" in text for text in said) == [False, True], said
    (tool,) = home.glob("tool-*")
    assert (home / "tool").resolve() == tool
    assert not list(home.glob("*.new"))
    done = subprocess.run([home / "tool/bin/gpuenv", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("gpuenv ")


def test_a_host_without_python_says_so(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("awk", "cat", "cut", "flock", "gzip", "mkdir", "mv", "rm", "tail", "tar", "uname"):
        found = next(Path(each, name) for each in os.environ["PATH"].split(os.pathsep) if Path(each, name).exists())
        (folder / name).symlink_to(found)
    run = start(bundle, tmp_path / "gpuenv", PATH=str(folder))
    said = run.communicate(timeout=300)[0]
    assert run.returncode == 3, said
    assert "gpuenv: this host has no Python 3.11 or newer" in said
    assert {each.name for each in (tmp_path / "gpuenv").iterdir()} == {"bootstrap.lock", "id"}
