"""Runs gpuenv as a person does: a process of its own, in a folder and an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from gpuenv.environment.interpreters import search_path
from gpuenv.environment.uv import find_uv
from support import prepared

PASSED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a run ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # Any: what the test is about
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return (self.out + self.err).splitlines()


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with a home, a project folder and nothing else; no configuration of this machine reaches them."""

    home: Path
    project: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = False
    """Each run is an interpreter of its own, for tests of what one does when it starts; else a fork of a loaded one."""

    @classmethod
    def at(cls, folder: Path, **environ: str) -> Person:
        """Make one below ``folder``."""
        home, project = folder / "home", folder / "project"
        home.mkdir(parents=True)
        project.mkdir()
        know_interpreters(home / ".cache/uv")
        return cls(home=home, project=project, environ=environ)

    def world(self, **more: str) -> dict[str, str]:
        """The environment variables of a process of theirs."""
        base = {name: os.environ[name] for name in PASSED if name in os.environ}
        # Nothing outside this machine: a forgotten index option fails at once instead of reaching a registry.
        base |= {"HOME": str(self.home), "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost"}
        base |= {"PIP_CONFIG_FILE": os.devnull}
        return base | dict(self.environ) | more

    def run(self, *words: str, timeout: float = 300, **more: str) -> Run:
        """Run ``gpuenv WORDS``."""
        world = self.world(**more)
        if not self.fresh and prepared.can_run(world):
            code, out, err = prepared.run(words, cwd=self.project, environ=world, timeout=timeout)
            return Run(code=code, out=out, err=err)
        done = subprocess.run(
            command(*words),
            cwd=self.project,
            env=world,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Run(code=done.returncode, out=done.stdout, err=done.stderr)

    def write(self, name: str, text: str) -> Path:
        """Write a file of theirs."""
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def files(self) -> set[str]:
        """Everything that stands in the project, to see what was left behind."""
        return {path.relative_to(self.project).as_posix() for path in self.project.rglob("*")}


def know_interpreters(uv_cache: Path) -> None:
    """Put into a cache of uv what it keeps of this machine's interpreters, as after any first use of it.

    In an empty cache uv starts every Python that is installed, which takes longer than all else that a test does.
    """
    for name, content in _interpreters().items():
        path = uv_cache / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@cache
def _interpreters() -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        environ = {"PATH": search_path(os.environ["PATH"]), "UV_CACHE_DIR": folder}
        asked = [str(find_uv(os.environ).path), "python", "list", "--offline", "--only-installed", "--no-config"]
        subprocess.run(asked, cwd="/", env=environ, capture_output=True, check=True)
        root = Path(folder)
        found = [path for path in root.glob("interpreter-*/**/*") if path.is_file()]
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def command(*words: str) -> Sequence[str]:
    """The command line of this checkout's gpuenv, or of another revision's (`tools/first_round.py`)."""
    return [os.environ.get("GPUENV_TEST_PYTHON", sys.executable), "-m", "gpuenv", *words]


def machine_json(
    *capabilities: str,
    driver: str | None = "576.88",
    cuda: str | None = "12.9",
    os: str = "linux",
    arch: str = "x86_64",
    name: str = "NVIDIA GeForce RTX 5090",
) -> str:
    """A machine file."""
    return json.dumps(
        {
            "os": os,
            "arch": arch,
            "libc": "glibc 2.39" if os == "linux" else None,
            "wsl": False,
            "container": False,
            "driver": None if driver is None else {"version": driver, "cuda": cuda, "source": "nvml"},
            "gpus": [
                {
                    "index": index,
                    "uuid": f"GPU-{index:08d}-0000-0000-0000-000000000000",
                    "name": name,
                    "compute_capability": capability,
                    "memory_bytes": 34190917632,
                    "mig": False,
                }
                for index, capability in enumerate(capabilities)
            ],
        }
    )
