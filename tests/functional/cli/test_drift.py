"""An environment knows its lock: pip and uv in it are kept from the family, and what went around that is seen."""

from __future__ import annotations

import ensurepip
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from gpuenv.environment.uv import find_uv
from support.cli import Person
from support.index_server import IndexServer
from support.nights import add_night, team, where
from support.wheels import BuiltWheel, build_wheel

LOCKED, OTHER = "2.11.0.dev20260101+cpu", "2.12.0"


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody whose environment stands, with pip in it, and a folder of other wheels beside it."""
    person = team(tmp_path)
    profile = person.project / "profiles/team.toml"
    text = profile.read_text(encoding="utf-8").replace('"torchaudio"', '"torchaudio", "pip"')
    profile.write_text(text, encoding="utf-8")
    with IndexServer() as index:
        index.add_package(build_wheel("filelock", "3.19.0"))
        index.add_package(bundled_pip())
        add_night(index, "20260101")
        run = person.run("create", "--no-verify", *where(index))
        assert run.code == 0, run.err
    for wheel in (build_wheel("torch", OTHER), build_wheel("filelock", "3.20.0"), build_wheel("einops", "0.8.0")):
        wheel.write(person.project / "wheels")
    return person


def bundled_pip() -> BuiltWheel:
    """The pip that every CPython carries."""
    found = sorted(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"))
    if not found:
        pytest.skip("this Python carries no pip")
    with zipfile.ZipFile(found[-1]) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        metadata = archive.read(name)
    return BuiltWheel(filename=found[-1].name, body=found[-1].read_bytes(), metadata=metadata)


def shell(person: Person, command: str, *, activated: bool = True) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(person.home), "UV_CACHE_DIR": str(person.home / "uv")}
    text = f". .venv-gpu/bin/activate\n{command}" if activated else command
    return subprocess.run(
        ["bash", "-ec", text], cwd=person.project, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_pip_and_uv_in_the_environment_refuse_another_torch(person: Person) -> None:
    uv = find_uv(os.environ).path
    for tool in ("pip", f"'{uv}' pip"):
        done = shell(person, f"{tool} install --no-index --find-links wheels torch=={OTHER}")
        assert done.returncode != 0, tool
        assert LOCKED in done.stderr + done.stdout
    done = shell(person, f".venv-gpu/bin/pip install --no-index --find-links wheels torch=={OTHER}", activated=False)
    assert done.returncode != 0
    assert person.run("diff", "lock", ".venv-gpu", "--profile", "team").out == "No differences\n"


def test_who_changed_what_is_told(person: Person) -> None:
    done = shell(person, "pip install --no-index --find-links wheels filelock==3.20.0 einops")
    assert done.returncode == 0, done.stderr
    uv = find_uv(os.environ).path
    around = f"'{uv}' pip install --python .venv-gpu --no-index --find-links wheels torch=={OTHER}"
    done = shell(person, around, activated=False)
    assert done.returncode == 0, done.stderr

    run = person.run("diff", "lock", ".venv-gpu", "--profile", "team", "--json")
    assert run.code == 1
    found = {row["name"]: row for row in run.json["data"]["changes"]}
    assert {name: (row["kind"], row["before"], row["after"], row["by"]) for name, row in found.items()} == {
        "torch": ("changed", LOCKED, OTHER, "uv"),
        "filelock": ("changed", "3.19.0", "3.20.0", "pip"),
        "einops": ("added", None, "0.8.0", "pip"),
    }
    assert next(iter(found)) == "torch"
    assert found["torch"]["family"]
    assert found["torch"]["when"].endswith("Z")
    shown = person.run("diff", "lock", ".venv-gpu", "--profile", "team").out.splitlines()
    assert f" - torch=={LOCKED}" in shown
    assert any(line.startswith(f" + torch=={OTHER}  (by uv 20") for line in shown)

    create = ("create", "--no-verify", "--profile", "team", "--offline")
    refused = person.run(*create)
    assert refused.code == 2
    assert "building .venv-gpu again would take away 1 package that was added to it" in refused.err
    assert "cause: einops 0.8.0, by pip" in refused.err
    assert "gpuenv create --profile team --discard-added .venv-gpu" in refused.err
    healed = person.run(*create, "--discard-added")
    assert healed.code == 0, healed.err
    assert person.run("diff", "lock", ".venv-gpu", "--profile", "team").code == 0
