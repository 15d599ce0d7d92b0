"""The family is imported before anything is swapped, with or without a proof."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv.environment.imports import import_family, require_imports
from gpuenv.environment.target import check_target
from gpuenv.errors import VerificationError
from gpuenv.lock.model import Lock
from support.systems import POSIX
from support.wheels import build_wheel, companion_wheel, torch_wheel
from support.workshop import Workshop, torch

ANY = "py3-none-any"
TORCH = torch_wheel("2.15.0", "cu132", local=False, tag=ANY)


def test_a_companion_of_another_build_is_refused_and_the_old_environment_stays(workshop: Workshop) -> None:
    """F1 as it was built: torch for CUDA 13.2 beside torchaudio for 13.0."""
    workshop.build([torch("1.0")])
    wheels = [TORCH, companion_wheel("torchaudio", "2.11.0", "cu130", tag=ANY)]

    with pytest.raises(VerificationError) as caught:
        workshop.build(wheels)

    assert caught.value.exit_code == 1
    assert caught.value.message == (
        f"torchaudio 2.11.0 cannot be imported in the new environment, which was discarded; "
        f"{workshop.target} was left as it was"
    )
    assert caught.value.causes == (
        "RuntimeError: torchaudio and torch were compiled with different CUDA versions: 13.0, 13.2",
    )
    assert '--torch "!=2.15.0"' in caught.value.hints[0]
    assert (workshop.target / "lib").is_dir()
    assert next(workshop.target.glob("lib/*/site-packages/torch-1.0.dist-info")).is_dir()
    assert workshop.leftovers() == []


def test_a_family_of_one_build_is_imported_and_leaves_no_trace(workshop: Workshop) -> None:
    vision = companion_wheel("torchvision", "0.29.2", "cu130", compares=1, tag=ANY)
    audio = companion_wheel("torchaudio", "2.15.0", "cu132", tag=ANY)

    built = workshop.build([TORCH, vision, audio])

    assert "import" in dict(built.seconds)
    assert workshop.look().differences == ()
    assert list(built.path.rglob("torch*/__pycache__")) == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise OSError('libcudart.so.13: cannot open shared object file')", "OSError: libcudart.so.13: cannot open"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the process was ended by SIGSEGV"),
        ("import os; os._exit(7)", "the process ended with status 7"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise OSError('ü\\udcff \\u2713')", "OSError: ü\\udcff ✓"),
        ("import numpy_that_is_not_there", "ModuleNotFoundError: No module named 'numpy_that_is_not_there'"),
    ],
)
def test_whatever_the_import_ends_in_is_said(workshop: Workshop, code: str, said: str) -> None:
    wheel = build_wheel("torch", "1.0", files={"torch/__init__.py": code + "\n"})

    with pytest.raises(VerificationError) as caught:
        workshop.build([wheel])

    assert caught.value.message.startswith("torch 1.0 cannot be imported")
    assert said in caught.value.causes[0]
    assert not workshop.target.exists()


def test_an_import_that_never_ends_is_ended(workshop: Workshop) -> None:
    built = workshop.build([build_wheel("torch", "1.0", files={"torch/__init__.py": ""})])
    next(built.path.glob("lib/*/site-packages/torch/__init__.py")).write_text("import time\ntime.sleep(600)\n")

    fault = import_family(built.path, ["torch"], environ={"PATH": os.defpath}, deadline=0.5)

    assert fault is not None
    assert "did not end" in fault.said
    assert fault.late, "which says nothing of the wheels"


@POSIX
@pytest.mark.parametrize(
    "code",
    [
        "print('half a line', end='')",
        "print('gpuenv-import torch ')",
        "print('gpuenv-import torch 6f6e6365')",
        "import sys; sys.stdout = None",
        "import sys; sys.stdout.close()",
        "import os; os.close(1)",
    ],
)
def test_what_an_import_does_with_its_output_is_no_failure(imported: Path, code: str) -> None:
    (imported / "torch/__init__.py").write_text(code + "\n")
    (imported / "after.py").write_text("")
    environment = imported.parents[2]
    assert import_family(environment, ["torch", "after"], environ={"PATH": os.defpath}) is None
    (imported / "after.py").write_text("raise OSError('x' * 5_000_000)\n")
    fault = import_family(environment, ["torch", "after"], environ={"PATH": os.defpath})
    assert fault is not None
    assert fault.package == "after"
    assert fault.said.startswith("OSError: xxx")


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """The packages' folder of an environment that holds nothing but a module of this name."""
    site = tmp_path / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    (site / "torch").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    (tmp_path / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    return site


def test_what_the_shell_says_of_python_is_not_heard(workshop: Workshop, tmp_path: Path) -> None:
    """A module of the same name on PYTHONPATH or in the working directory is not what is imported."""
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "torch.py").write_text("raise RuntimeError('a shadow')\n")
    shadowed = replace(workshop, environ={**workshop.environ, "PYTHONPATH": str(shadow)})

    assert shadowed.build([torch("1.0")]).marker.packages[0].name == "torch"


def test_a_lock_for_another_platform_is_not_imported_here(workshop: Workshop) -> None:
    _, lock = workshop.lock([build_wheel("torch", "1.0", files={"torch/__init__.py": "raise OSError\n"})])
    elsewhere = replace(lock, inputs=replace(lock.inputs, target=replace(lock.inputs.target, os="windows")))
    assert sys.platform != "win32"

    def imported(lock: Lock) -> None:
        require_imports(
            workshop.folder / "no-environment",
            lock,
            target=check_target(workshop.target),
            environ={},
            reporter=workshop.told,
        )

    imported(elsewhere)
    assert "torch not imported: the lock is for another platform" in workshop.told.lines
    with pytest.raises(VerificationError):
        imported(lock)
