"""Which CUDA toolkit and which compilers a build would take."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gpuenv.machine.compilers import find_host_compiler, find_toolkit

of_posix = pytest.mark.skipif(
    sys.platform == "win32", reason="asked of POSIX systems alone: on Windows the build itself finds its compiler"
)
by_script = pytest.mark.skipif(sys.platform == "win32", reason="a script of a shell, as distributions of Linux have it")


def test_no_compiler_on_path(tmp_path: Path) -> None:
    assert find_host_compiler({"PATH": str(tmp_path)}) is None


@of_posix
def test_the_one_that_is_named_comes_first(tmp_path: Path) -> None:
    for name in ("g++", "mine"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert find_host_compiler({"PATH": str(tmp_path)}) == str(tmp_path / "g++")
    assert find_host_compiler({"PATH": str(tmp_path), "CXX": f"{tmp_path / 'mine'} -m64"}) == str(tmp_path / "mine")


@pytest.mark.parametrize("name", ["CUDA_HOME", "CUDA_PATH"])
def test_a_folder_that_is_named_and_has_none_is_no_other(tmp_path: Path, name: str) -> None:
    assert find_toolkit({"PATH": "/usr/bin", name: str(tmp_path)}) is None


@by_script
def test_a_compiler_that_is_called_by_a_script_elsewhere(tmp_path: Path) -> None:
    """A folder of programs has an include of its own, which is not CUDA's."""
    home = tmp_path / "cuda"
    real, script = home / "bin/nvcc", tmp_path / "usr/bin/nvcc"
    for folder in (home / "bin", home / "include", tmp_path / "usr/bin", tmp_path / "usr/include"):
        folder.mkdir(parents=True)
    (home / "include/cuda_runtime.h").touch()
    real.write_text("#!/bin/sh\necho 'release 13.0, V13.0.88'\n")
    script.write_text(f'#!/bin/sh\nexec {real} "$@"\n')
    for each in (real, script):
        each.chmod(0o755)
    found = find_toolkit({"PATH": f"{script.parent}:/bin:/usr/bin"})
    assert found is not None
    assert (found.home, found.cuda) == (home, "13.0")
