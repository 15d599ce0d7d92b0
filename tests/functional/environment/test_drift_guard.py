"""What pip and uv may do inside an environment, and who is seen to have done it."""

from __future__ import annotations

import ensurepip
import os
import subprocess
from pathlib import Path

import pytest

from gpuenv.environment.guard import CONSTRAINTS
from gpuenv.installed.compare import compare
from gpuenv.installed.drift import PackageChange
from gpuenv.installed.drift import drift as drift_of
from gpuenv.installed.environment import read_environment as inspect
from support.locked import FileServer
from support.wheels import BuiltWheel, build_wheel
from support.workshop import Workshop, alpha, torch


def drift(environment: Path, *, expected: dict[str, str] | None = None) -> tuple[PackageChange, ...]:
    return drift_of(inspect(environment), expected=expected)


def pip_wheel() -> BuiltWheel:
    """The pip that every CPython carries."""
    found = sorted(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"))
    if not found:
        pytest.skip("this Python carries no pip")
    return BuiltWheel(filename=found[-1].name, body=found[-1].read_bytes(), metadata=b"")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """An environment with pip in it, in a folder with a space; other wheels of the family in a folder beside it."""
    folder = tmp_path_factory.mktemp("a folder")
    with FileServer() as server:
        workshop = Workshop(folder=folder, server=server)
        workshop.build([alpha(), torch("1.0"), pip_wheel()])
    wheels = folder / "wheels"
    for wheel in (torch("1.0"), torch("2.0"), build_wheel("beta", "1.0", requires=["torch>=1"]), alpha("2.0")):
        wheel.write(wheels)
    return workshop


def run(workshop: Workshop, *command: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], "HOME": str(workshop.folder), "UV_CACHE_DIR": str(workshop.folder / "cache")}
    return subprocess.run(
        [str(each) for each in command], cwd=workshop.folder, env=clean | environ, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def activated(workshop: Workshop, command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return run(workshop, "bash", "-ec", f". '{workshop.target}/bin/activate'\n{command}", **environ)


def versions(workshop: Workshop) -> dict[str, str]:
    return inspect(workshop.target).versions


def test_pip_cannot_replace_the_family(guarded: Workshop) -> None:
    pip = [guarded.target / "bin/python", "-m", "pip", "install", "--no-index", "--find-links", "wheels"]

    other = run(guarded, *pip, "torch==2.0")
    upgrade = run(guarded, *pip, "--upgrade", "torch")
    with_another = run(guarded, *pip, "--upgrade", "--upgrade-strategy", "eager", "beta")

    assert other.returncode != 0
    assert "constraint" in other.stderr + other.stdout
    assert upgrade.returncode == with_another.returncode == 0
    assert versions(guarded)["torch"] == "1.0"
    assert versions(guarded)["beta"] == "1.0"
    assert [each for each in drift(guarded.target) if each.family] == []


def test_an_activated_uv_cannot_replace_the_family(guarded: Workshop) -> None:
    uv = f"'{guarded.uv.path}' pip install --no-index --find-links wheels"

    other = activated(guarded, f"{uv} torch==2.0")
    upgrade = activated(guarded, f"{uv} --upgrade torch")

    assert other.returncode != 0
    assert "torch==1.0" in other.stderr
    assert upgrade.returncode == 0
    assert versions(guarded)["torch"] == "1.0"


def test_other_packages_are_free(guarded: Workshop) -> None:
    pip = [guarded.target / "bin/python", "-m", "pip", "install", "--no-index", "--find-links", "wheels"]

    assert run(guarded, *pip, "alpha==2.0").returncode == 0

    (change,) = (each for each in drift(guarded.target) if each.name == "alpha")
    assert (change.name, change.kind, change.expected, change.found) == ("alpha", "changed", "1.0", "2.0")
    assert change.by == "pip"
    assert not change.family
    assert (
        run(guarded, *pip, "alpha==1.0", "--find-links", str(alpha().write(guarded.folder / "w1").parent)).returncode
        == 0
    )
    (again,) = (each for each in drift(guarded.target) if each.name == "alpha")
    assert (again.name, again.kind) == ("alpha", "replaced")


def test_the_shell_of_git_on_windows_names_a_drive(guarded: Workshop) -> None:
    """There ``/c/my env`` is what no other program takes for a path."""
    told = 'cygpath() { echo "C:/my env"; }; OSTYPE=msys'
    script = f". '{guarded.target}/bin/activate'; echo $UV_CONSTRAINT $PIP_CONSTRAINT $_GPUENV_ROOT"
    done = run(guarded, "bash", "-ec", f"{told}; {script}")
    file = f"file:///C:/my%20env/{CONSTRAINTS}"
    assert done.stdout.split() == [file, file], done.stderr


def test_leaving_gives_the_variables_back(guarded: Workshop) -> None:
    tell = 'echo "$UV_CONSTRAINT|$PIP_CONSTRAINT"'
    url = (guarded.target / CONSTRAINTS).as_uri()

    plain = activated(guarded, f"{tell}; deactivate; echo ${{UV_CONSTRAINT-none}} ${{PIP_CONSTRAINT-none}}")
    kept = activated(guarded, f"{tell}; deactivate; {tell}", UV_CONSTRAINT="mine.txt", PIP_CONSTRAINT="yours.txt")

    assert plain.stdout.splitlines() == [f"{url}|{url}", "none none"]
    assert kept.stdout.splitlines() == [f"mine.txt {url}|yours.txt {url}", "mine.txt|yours.txt"]
    assert "%20" in url


def test_what_goes_around_the_guard_is_seen(workshop: Workshop) -> None:
    workshop.build([alpha(), torch("1.0")])
    for wheel in (torch("2.0"), build_wheel("beta", "1.0")):
        wheel.write(workshop.folder / "wheels")

    uv = [workshop.uv.path, "pip", "install", "--python", workshop.target, "--no-index", "--find-links", "wheels"]
    done = run(workshop, *uv, "torch==2.0", "./wheels/beta-1.0-py3-none-any.whl")
    assert done.returncode == 0, done.stderr

    family, other = drift(workshop.target)
    assert (family.name, family.kind, family.expected, family.found, family.by) == (
        "torch",
        "changed",
        "1.0",
        "2.0",
        "uv",
    )
    assert family.family
    assert family.when.endswith("Z")
    assert (other.name, other.kind, other.found) == ("beta", "added", "1.0")
    assert other.by.startswith("uv, from file:///")
    assert compare(inspect(workshop.target)).differences == ()
    assert [each.kind for each in drift(workshop.target, expected={"torch": "2.0", "alpha": "1.0", "gamma": "3"})] == [
        "added",
        "removed",
    ]


def test_a_broken_environment_is_described(workshop: Workshop) -> None:
    workshop.build([alpha(), torch("1.0")])
    next(workshop.target.rglob("torch-1.0.dist-info/INSTALLER")).unlink()
    next(workshop.target.rglob("part_001.py")).unlink()
    (workshop.target / "bin/python").unlink()
    (workshop.target / "bin/python").symlink_to("/nowhere/python3")

    facts = inspect(workshop.target)

    assert facts.kind == "gpuenv"
    assert facts.python is None
    assert any("no INSTALLER" in each for each in facts.problems)
    assert any("leads to /nowhere/python3" in each for each in facts.problems)
    assert {each.kind for each in compare(inspect(workshop.target)).differences} == {"broken", "missing"}
    assert [each.kind for each in drift(workshop.target)] == ["broken"]


def test_a_plain_environment_is_described(workshop: Workshop) -> None:
    path = workshop.project / "plain"
    subprocess.run([workshop.uv.path, "venv", "--quiet", "--offline", path], check=True)

    facts = inspect(path)

    assert (facts.kind, facts.distributions, facts.torch, facts.marker, facts.problems) == ("venv", (), None, None, ())
    assert facts.python == path / "bin/python"
    assert facts.python_version.count(".") == 2
    assert facts.base
