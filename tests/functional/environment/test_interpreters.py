"""Which Pythons are decided among, as a uv lists them: a script stands in its place, that says what it is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from gpuenv.environment.interpreters import find_interpreters, running_interpreter
from gpuenv.environment.uv import Uv
from gpuenv.model.machine import Machine
from gpuenv.model.profile import Profile
from gpuenv.report import Silent
from gpuenv.steps.context import Context, Options
from gpuenv.steps.machine import TargetMachine
from gpuenv.steps.pythons import pythons

HERE = TargetMachine(
    facts=Machine(os="linux", arch="x86_64", libc="glibc 2.39", wsl=False, container=False, driver=None, gpus=()),
    here=True,
)
OWN = running_interpreter()


def uv_that_lists(folder: Path, *, installed: list[str], downloads: list[str]) -> Path:
    def row(version: str, path: str | None) -> dict[str, object]:
        return {"version": version, "path": path, "variant": "default", "implementation": "cpython"}

    (folder / "installed.json").write_text(json.dumps([row(each, f"/py/{each}") for each in installed]))
    (folder / "downloads.json").write_text(json.dumps([row(each, None) for each in downloads]))
    script = folder / "uv"
    script.write_text(f"""#!/bin/sh
case "$*" in
--version) echo 'uv 0.99.0' ;;
*--only-downloads*) cat {folder}/downloads.json ;;
*--only-installed*) cat {folder}/installed.json ;;
esac
""")
    script.chmod(0o755)
    return script


def fitting(tmp_path: Path, wanted: str, **listed: list[str]) -> tuple[str, ...]:
    context = Context(
        environ={}, project=tmp_path, cache=tmp_path, state=tmp_path, config=tmp_path, reporter=Silent(),
        options=Options(), uv=uv_that_lists(tmp_path, **listed),
    )  # fmt: skip
    profile = Profile(
        name="p", origin="test", description="", accelerator="cpu", packages=("torch",), python=wanted or None
    )
    return pythons(context, profile=profile, machine=HERE)


def test_the_newest_comes_first_component_by_component(tmp_path: Path) -> None:
    script = uv_that_lists(tmp_path, installed=["3.9.7", "3.99.2", "3.100.0", "3.99.10"], downloads=["3.101.0"])
    uv = Uv(path=script, version="0.99.0", origin="given", environ={"PATH": "/usr/bin:/bin"})
    found = [each.version for each in find_interpreters(uv, cwd=tmp_path, reporter=Silent())]
    assert found == ["3.100.0", "3.99.10", "3.99.2", OWN.version, "3.9.7"]
    more = [each.version for each in find_interpreters(uv, cwd=tmp_path, reporter=Silent(), downloads=True)]
    assert more == ["3.101.0", *found]


def test_one_below_the_folder_that_uv_is_asked_in_is_found_from_everywhere(tmp_path: Path) -> None:
    """uv names it relative to that folder: `python/bin/python3.12`."""
    script = uv_that_lists(tmp_path, installed=["3.99.2"], downloads=[])
    listing = tmp_path / "installed.json"
    listing.write_text(listing.read_text().replace("/py/", "python/"))
    uv = Uv(path=script, version="0.99.0", origin="given", environ={"PATH": "/usr/bin:/bin"})
    (found, *_) = find_interpreters(uv, cwd=tmp_path, reporter=Silent())
    assert found.path == tmp_path / "python/3.99.2"


def test_gpuenvs_own_python_comes_before_newer_ones_and_those_before_older(tmp_path: Path) -> None:
    found = fitting(tmp_path, "", installed=["3.9.7", "3.100.0", "3.99.2", "3.99.1"], downloads=["3.101.0"])
    assert found == (OWN.minor, "3.100", "3.99", "3.9")


@pytest.mark.parametrize(("wanted", "expected"), [(">=3.99", ("3.99",)), (">=3.100", ("3.101",))])
def test_one_is_downloaded_only_where_none_that_is_here_will_do(
    tmp_path: Path, wanted: str, expected: tuple[str, ...]
) -> None:
    assert sys.version_info < (3, 99)
    assert fitting(tmp_path, wanted, installed=["3.99.2"], downloads=["3.101.0"]) == expected
