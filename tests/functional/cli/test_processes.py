"""How often one `create` starts uv: each start is paid by whoever waits."""

from __future__ import annotations

import os
from collections.abc import Iterator
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


def test_one_create_asks_uv_each_thing_once(tmp_path: Path, index: IndexServer) -> None:
    person = Person.at(tmp_path)
    person.write("machine.json", machine_json("12.0"))
    told = tmp_path / "told.txt"
    uv = person.write("uv", f'#!/bin/sh\necho "$@" >> {told}\nexec {find_uv(os.environ).path} "$@"\n')
    uv.chmod(0o755)
    run = person.run(
        "create", "--no-verify", *where(index, "blackwell"), *BLACKWELL, GPUENV_UV=str(uv), UV_CACHE_DIR="../cold-uv"
    )
    assert run.code == 0, run.err
    asked = [" ".join(line.split()[:2]) for line in told.read_text(encoding="utf-8").splitlines()]
    # What packages are needed, and, out of the cache, which of them needs which. Twice from the lock: out of the cache
    # first, then with what was not in it.
    assert asked == [
        "--version",
        "pip compile",
        "pip compile",
        "python list",
        "venv --relocatable",
        "pip sync",
        "cache dir",
        "pip sync",
    ]
