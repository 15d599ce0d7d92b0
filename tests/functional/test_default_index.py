"""The ecosystem's own index, as uv tells it: asked for where nothing is configured and nothing else has torch."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from gpuenv.environment.compiling import default_index
from gpuenv.environment.uv import Uv, find_uv
from gpuenv.report import Silent
from support.cli import Person, machine_json


def test_uv_tells_its_default_index_without_asking_it() -> None:
    found = default_index(find_uv({"PATH": os.environ["PATH"], "HTTPS_PROXY": "http://127.0.0.1:9"}), reporter=Silent())
    assert found is not None
    assert re.fullmatch(r"https://[a-z.]+/simple/?", found)


@pytest.mark.parametrize("said", ["", "exit 2", "echo no address"])
def test_a_uv_that_does_not_tell_is_no_error(said: str, tmp_path: Path) -> None:
    script = tmp_path / "uv"
    script.write_text(f"#!/bin/sh\n{said}\n")
    script.chmod(0o755)
    uv = Uv(path=script, version="0.99.0", origin="given", environ={"PATH": "/usr/bin:/bin"})
    assert default_index(uv, reporter=Silent()) is None


def test_it_is_the_last_that_is_asked(tmp_path: Path) -> None:
    person = Person.at(tmp_path)
    person.write("machine.json", machine_json("12.0"))
    run = person.run("resolve", "--machine", "machine.json", "--json")
    assert run.code == 4, run.err
    causes = run.json["errors"][0]["causes"]
    first, last = causes[0], causes[-1]
    assert "(default)" in first
    assert "(default)" in last
    assert "/simple" in last
    assert "/simple" not in first
