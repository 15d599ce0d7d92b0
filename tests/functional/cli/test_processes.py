"""How often one `create` starts uv: each start is paid by whoever waits."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv.environment.uv import find_uv
from support.cli import Person, machine_json
from support.index_server import IndexServer
from support.nights import PYTHON, add_dependencies, where

pytestmark = pytest.mark.xdist_group("recorded-index")

BLACKWELL = ("--machine", "machine.json", "--python", PYTHON, "--channel", "nightly")


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with IndexServer(real_hashes=False) as server:
        add_dependencies(server)
        server.serve_day("2026-01-03", variants=["cu128"])
        yield server


class Asking:
    """A person whose uv writes down what it is asked."""

    def __init__(self, folder: Path, index: IndexServer) -> None:
        self.person, self.index, self.told = replace(Person.at(folder), fresh=True), index, folder / "told.txt"
        self.person.write("machine.json", machine_json("12.0"))
        self.uv = self.person.write(
            "uv", f'#!/bin/sh\necho "$@" >> {self.told}\nexec {find_uv(os.environ).path} "$@"\n'
        )
        self.uv.chmod(0o755)

    def create(self, *more: str) -> list[list[str]]:
        """What uv was asked by one `create`."""
        self.told.write_text("")
        words = ("create", "--no-verify", *more, *where(self.index, "blackwell"), *BLACKWELL)
        run = self.person.run(*words, GPUENV_UV=str(self.uv), UV_CACHE_DIR=str(self.told.with_name("uv-cache")))
        assert run.code == 0, run.err
        return [line.split() for line in self.told.read_text(encoding="utf-8").splitlines()]


def test_one_create_asks_uv_each_thing_once(tmp_path: Path, index: IndexServer) -> None:
    asking = Asking(tmp_path, index)
    cold = asking.create()
    # What packages are needed, and, out of the cache, which of them needs which.
    resolved = ["pip compile", "pip compile"]
    built = ["venv --relocatable", "pip sync"]
    assert [" ".join(each[:2]) for each in cold] == ["--version", *resolved, "python list", *built]

    index.log.clear()
    warm = asking.create("--rebuild")
    assert [" ".join(each[:2]) for each in warm] == built
    assert "--offline" in warm[-1]
    assert asking.create() == []  # nothing changed: what stands there is what the lock says
    assert [each.path for each in index.log] == []


def test_a_decision_lists_interpreters_once_and_again_where_one_has_come(tmp_path: Path, index: IndexServer) -> None:
    asking = Asking(tmp_path, index)
    folder = tmp_path / "bin"
    folder.mkdir()
    words = ("resolve", *where(index, "cpu"))  # for this machine: a CPU build needs no driver

    def asked(*more: str) -> list[str]:
        asking.told.write_text("")
        path = os.pathsep.join((str(folder), os.environ["PATH"]))
        run = asking.person.run(*words, *more, GPUENV_UV=str(asking.uv), PATH=path)
        assert run.code == 3, run.err  # the index has builds for CUDA alone
        return [" ".join(line.split()[:2]) for line in asking.told.read_text(encoding="utf-8").splitlines()]

    assert (asked(), asked()) == (["--version", "python list"], [])
    (folder / "python3.99").symlink_to(sys.executable)
    assert (asked(), asked()) == (["python list"], [])
    assert (asked("--refresh"), asked()) == (["--version", "python list"], [])
    asking.uv.write_text(asking.uv.read_text() + "\n")  # another uv
    assert (asked(), asked()) == (["--version", "python list"], [])
