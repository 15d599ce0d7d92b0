"""Environments with a real torch, and copies of them made wrong on purpose.

A copy costs no space: everything is a link into the real environment, except the files that are changed.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


class NoTorchError(Exception):
    """No CPU build of torch can be had here; the message says why."""


def find_or_build(folder: Path, environ: Mapping[str, str]) -> Path:
    """Return an environment with a CPU build of torch: the one that is named, or one built in ``folder`` by pip.

    Raises :class:`NoTorchError` with the reason; a CUDA build of gigabytes is never downloaded.
    """
    if named := environ.get("GPUENV_TEST_TORCH_ENV"):
        return Path(named)
    python, report = folder / "bin" / "python", folder / "report.json"
    pip = [str(python), "-m", "pip", "install", "-q"]
    _run([sys.executable, "-m", "venv", str(folder)])
    # Only the folders that pip is configured with: an index would offer the newest CUDA build.
    _run([*pip, "--dry-run", "--no-deps", "--no-index", "--report", str(report), "torch"])
    version = json.loads(report.read_text("utf-8"))["install"][0]["metadata"]["version"]
    if "cpu" not in version:
        raise NoTorchError(f"pip offers torch {version} here, no CPU build (name one by GPUENV_TEST_TORCH_ENV)")
    _run([*pip, "--only-binary", ":all:", f"torch=={version}"])
    return folder


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise NoTorchError(f"no CPU build of torch: {' '.join(command[1:4])} failed: {done.stderr.strip()[-500:]}")


def site_packages(environment: Path) -> Path:
    """Return the folder of packages that holds torch."""
    return next(path for path in environment.glob("lib/python3*/site-packages") if (path / "torch").is_dir())


def altered_environment(
    target: Path,
    real: Path,
    *,
    torch_code: str = "",
    files: Mapping[str, str] | None = None,
    libraries: Mapping[str, Path] | None = None,
    honest: bool = True,
) -> Path:
    """Make ``target`` a linked copy of ``real`` that differs in what is given.

    ``torch_code`` is run at the end of ``import torch``; ``files`` are written beside the packages (``None``: none);
    ``libraries`` replace files of ``torch/lib``. ``honest``: RECORD is brought up to date, as for a wheel that was
    built wrong; else the change is one that was made after installing.
    """
    source = site_packages(real)
    packages = target / "lib" / source.parent.name / "site-packages"
    packages.mkdir(parents=True)
    (target / "bin").mkdir()
    (target / "bin" / "python").symlink_to(Path(os.path.realpath(real / "bin" / "python")))
    written = set(files or {})
    for entry in source.iterdir():
        if entry.name not in written and entry.name not in ("torch", "sitecustomize.py", "__pycache__"):
            (packages / entry.name).symlink_to(entry)
    torch = packages / "torch"
    torch.mkdir()
    for entry in (source / "torch").iterdir():
        if entry.name not in ("__init__.py", "__pycache__") and not (entry.name == "lib" and libraries):
            (torch / entry.name).symlink_to(entry)
    (torch / "__init__.py").write_text(
        (source / "torch" / "__init__.py").read_text("utf-8") + "\n" + torch_code, "utf-8"
    )
    if libraries:
        (torch / "lib").mkdir()
        for entry in (source / "torch" / "lib").iterdir():
            (torch / "lib" / entry.name).symlink_to(libraries.get(entry.name, entry))
    for name, content in (files or {}).items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(content, "utf-8")
    if honest:
        _renew_record(packages)
    return target


def _renew_record(packages: Path) -> None:
    info = next(packages.glob("torch-*.dist-info"))
    origin = Path(os.path.realpath(info))
    info.unlink()
    shutil.copytree(origin, info)
    data = (packages / "torch" / "__init__.py").read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    with (info / "RECORD").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    made = [
        ["torch/__init__.py", f"sha256={digest}", str(len(data))] if row[0] == "torch/__init__.py" else row
        for row in rows
    ]
    with (info / "RECORD").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(made)
