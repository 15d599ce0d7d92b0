"""A lock is read by others: plain ``uv pip sync``, pip's own pylock reader, and a requirements file by both."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gpuenv.environment.store import Store
from gpuenv.environment.uv import find_uv
from gpuenv.lock.codec import lock_filename, render, to_requirements
from gpuenv.lock.model import Lock
from support.dependencies import Source, close, decision, linux, request, resolver
from support.index_server import IndexServer
from support.locks import inputs, lock_of
from support.wheels import build_wheel

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TORCH = build_wheel("torch", "2.10.0+cu128", requires=("numpy",))
NUMPY = build_wheel("numpy", "2.3.0")
HAVE = ["numpy==2.3.0", "torch==2.10.0+cu128"]


@dataclass(frozen=True)
class Locked:
    """A lock by URL, its servers still running, and a store that holds its wheels."""

    lock: Lock
    store: Store
    servers: tuple[IndexServer, IndexServer]


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Locked]:
    with IndexServer() as server, IndexServer() as torch_server:
        server.add_package(NUMPY)
        source = Source()
        torch = source.add(torch_server, TORCH)
        what = request(decision(torch, python=PYTHON), server, torch_server, target=linux(PYTHON))
        found = close(what, source, resolver(tmp_path / "resolving"))
        store = Store(tmp_path / "store")
        for wheel in (TORCH, NUMPY):
            store.add(wheel.write(tmp_path), filename=wheel.filename, sha256=wheel.sha256)
        lock = lock_of(*found.values(), inputs=inputs(target=linux(PYTHON)))
        yield Locked(lock=lock, store=store, servers=(server, torch_server))


def write(folder: Path, text: str, name: str = lock_filename("blackwell")) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


class Environment:
    """An empty environment, and the two installers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "environment" / "bin" / "python"
        self.uv = str(find_uv(os.environ).path)
        subprocess.run(
            [self.uv, "venv", "-q", "--python", sys.executable, str(folder / "environment")],
            check=True,
            env=self.environ,
        )

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "UV_CACHE_DIR": str(self.folder / "cache")}

    def sync(self, lock: Path, *options: str) -> subprocess.CompletedProcess[str]:
        command = [self.uv, "pip", "sync", "-q", "--python", str(self.python), "--require-hashes", *options, str(lock)]
        return subprocess.run(command, capture_output=True, text=True, env=self.environ, cwd=self.folder, check=False)

    def pip(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "-q", "--no-index", *options]
        return subprocess.run(command, capture_output=True, text=True, env=self.environ, cwd=self.folder, check=False)

    @property
    def have(self) -> list[str]:
        command = [self.uv, "pip", "freeze", "--python", str(self.python)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environ, check=True)
        lines = (re.sub(r" @ .*/\w+-([^-]+)-.*", r"==\1", line) for line in done.stdout.splitlines())
        return sorted(line.replace("%2B", "+") for line in lines)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path)


def test_uv_installs_it_by_url_and_asks_no_index(locked: Locked, environment: Environment, tmp_path: Path) -> None:
    for server in locked.servers:
        server.log.clear()
    done = environment.sync(write(tmp_path / "locks", render(locked.lock)))
    assert (done.returncode, environment.have) == (0, HAVE), done.stderr
    asked = [entry.path for server in locked.servers for entry in server.log]
    assert all(path.endswith(".whl") for path in asked), asked


def test_uv_installs_it_from_the_store_without_a_network(
    locked: Locked, environment: Environment, tmp_path: Path
) -> None:
    here = locked.store.localized(locked.lock)
    done = environment.sync(write(tmp_path / "locks", render(here)), "--offline")
    assert (done.returncode, environment.have) == (0, HAVE), done.stderr


def test_an_export_installs_from_wherever_it_is_carried(
    locked: Locked, environment: Environment, tmp_path: Path
) -> None:
    locked.store.export(locked.lock, tmp_path / "export", name="blackwell")
    carried = (tmp_path / "export").rename(tmp_path / "a usb stick")
    done = environment.sync(carried / "pylock.blackwell.toml", "--offline")
    assert (done.returncode, environment.have) == (0, HAVE), done.stderr


def test_uv_refuses_a_wheel_that_is_not_the_one_locked(
    locked: Locked, environment: Environment, tmp_path: Path
) -> None:
    packages = [
        replace(package, sha256="0" * 64) if package.name == "torch" else package for package in locked.lock.packages
    ]
    done = environment.sync(write(tmp_path / "locks", render(replace(locked.lock, packages=tuple(packages)))))
    assert done.returncode != 0
    assert environment.have == []


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_requirements_file_installs(installer: str, locked: Locked, environment: Environment, tmp_path: Path) -> None:
    text = to_requirements(locked.store.localized(locked.lock))
    path = write(tmp_path / "locks", text, "requirements.txt")
    if installer == "uv":
        done = environment.sync(path, "--no-index")
    else:
        done = environment.pip("--no-deps", "--require-hashes", "-r", str(path))
    assert (done.returncode, environment.have) == (0, HAVE), done.stderr


def test_an_exports_requirements_file_installs_with_pip(
    locked: Locked, environment: Environment, tmp_path: Path
) -> None:
    locked.store.export(locked.lock, tmp_path / "export", name="blackwell")
    environment.folder = tmp_path / "export"
    done = environment.pip("--no-deps", "--require-hashes", "-r", "requirements.txt")
    assert (done.returncode, environment.have) == (0, HAVE), done.stderr


def _reads_pylock() -> bool:
    command = [sys.executable, "-m", "pip", "install", "--help"]
    return "pylock.toml" in subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.mark.skipif(not _reads_pylock(), reason="this pip does not read pylock.toml (26.3 does)")
def test_pips_own_reader_installs_it(locked: Locked, environment: Environment, tmp_path: Path) -> None:
    done = environment.pip("-r", str(write(tmp_path / "locks", render(locked.lock))))
    assert (done.returncode, environment.have) == (0, HAVE), done.stderr
