"""What compiles on this machine: CUDA's compiler, the host's, and the headers of an interpreter."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.system.process import Ended, Limits, absolute_path, run

_SECONDS = 20.0
_RELEASE = re.compile(r"release (\d+)\.(\d+)")
_CALLED = re.compile(rb"(/[^\s\"']+)/bin/nvcc\b")
_USUAL = Path("/usr/local/cuda")
_HEADERS = "import sysconfig; print(sysconfig.get_path('include'))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolkit:
    """A CUDA toolkit with its compiler. ``cuda`` is its version (``X.Y``); ``named`` where it was found."""

    home: Path
    cuda: str
    named: str


def find_toolkit(environ: Mapping[str, str]) -> Toolkit | None:
    """The toolkit that torch's build of extensions would take: CUDA_HOME, CUDA_PATH, nvcc on PATH, /usr/local/cuda."""
    path = absolute_path(environ)
    name = next((each for each in ("CUDA_HOME", "CUDA_PATH") if environ.get(each)), "")
    found = shutil.which("nvcc", path=path)
    if not name and found is not None:
        return _asked(Path(found), path, named="PATH")
    home = Path(environ[name]) if name else _USUAL
    return _asked(home / "bin" / ("nvcc.exe" if os.name == "nt" else "nvcc"), path, named=name or str(_USUAL))


def _asked(program: Path, path: str, *, named: str) -> Toolkit | None:
    """The toolkit of a compiler, which is started to say its version; ``None`` where it does not."""
    done = run([str(program), "--version"], environ={"PATH": path}, limits=Limits(deadline=_SECONDS))
    release = _RELEASE.search(done.stdout) if isinstance(done, Ended) and done.returncode == 0 else None
    if release is None:
        return None
    return Toolkit(home=_home_of(program), cuda=f"{release[1]}.{release[2]}", named=named)


def _home_of(program: Path) -> Path:
    """The folder of a toolkit whose compiler may be called through a link or a script elsewhere."""
    real = Path(os.path.realpath(program))
    if not (real.parent.parent / "include" / "cuda_runtime.h").is_file():
        with contextlib.suppress(OSError):
            called = _CALLED.search(real.read_bytes()[:4096])
            if called and (home := Path(os.fsdecode(called[1]))).joinpath("bin", program.name).is_file():
                return home
    return real.parent.parent


def find_host_compiler(environ: Mapping[str, str]) -> str | None:
    """The C++ compiler that a build would call: CXX, else c++ or g++ on PATH; ``None`` where there is none."""
    path = absolute_path(environ)
    for name in (environ.get("CXX", "").split(" ")[0], "c++", "g++", "clang++"):
        if name and (found := shutil.which(name, path=path)) is not None:
            return found
    return None


def find_headers(python: Path) -> Path | None:
    """The folder with an interpreter's Python.h; ``None`` where it has none."""
    done = run([str(python), "-I", "-c", _HEADERS], environ={}, limits=Limits(deadline=_SECONDS))
    folder = Path(done.stdout.strip()) if isinstance(done, Ended) and done.returncode == 0 else None
    return folder if folder is not None and (folder / "Python.h").is_file() else None


def available_memory() -> int | None:
    """Bytes that can be had without swapping (Linux); ``None`` where that is not known."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    free = int(found[1]) * 1024 if found else None
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii").strip()
    except OSError:
        return free
    left = int(limit) - int(used) if limit.isdecimal() and used.isdecimal() else None
    return free if left is None else left if free is None else min(free, left)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
