"""What torch.compile needs at its first use: it builds a small C module, with a compiler and Python's headers; pure."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

from gpuenv import knowledge
from gpuenv.doctor.examination import Examination
from gpuenv.doctor.finding import UNNAMED, Finding
from gpuenv.installed.torch import TorchFacts
from gpuenv.shell import then, unset

_MANAGED = re.compile(r"cpython-(\d+\.\d+(?:\.\d+)?)\b.*")
"""The folder of an interpreter that uv installed: ``cpython-3.12.8-linux-x86_64-gnu``."""


def diagnose_compiler(examination: Examination, torch: TorchFacts, *, fix: str) -> Iterator[Finding]:
    """Find what is missing, and a toolkit that is not torch's. ``fix`` builds the environment again."""
    machine = examination.machine
    if not torch.cuda or machine is None or not machine.gpus or machine.os != "linux":
        return
    missing = partial(Finding, subject="torch.compile", severity="warning")
    if examination.compiler is None:
        brings = _brings(examination, "compiler")
        yield missing(
            kind="no-compiler",
            summary="there is no C compiler, so torch.compile will fail at its first use",
            detail="neither CC nor cc, gcc, clang on PATH",
            fix=brings or "Install a C compiler: gcc or clang",
            by="yourself",
            check=UNNAMED,
        )
    if not examination.headers:
        yield missing(
            kind="no-headers",
            summary="Python.h is missing, so torch.compile will fail at its first use",
            detail=f"the base interpreter is in {examination.facts.base}",
            fix=_bring_headers(examination, fix),
            by="yourself",
            check=UNNAMED,
        )
    yield from _assembler(examination, missing)
    toolkit = examination.toolkit
    if toolkit is not None and toolkit.partition(".")[0] != torch.cuda.partition(".")[0]:
        yield Finding(
            subject="toolkit",
            severity="warning",
            kind="toolkit",
            summary=f"the toolkit at CUDA_HOME is {toolkit}, torch was built with {torch.cuda}: "
            "extensions that compile themselves will refuse",
            detail="version.json of the toolkit",
            fix=unset("CUDA_HOME", "CUDA_PATH"),  # the second is looked at where the first is not set
        )


def _assembler(examination: Examination, missing: partial[Finding]) -> Iterator[Finding]:
    """A GPU that the assembler in the installed triton makes no code for."""
    version, machine = examination.facts.versions.get("triton", "").partition("+")[0], examination.machine
    row = knowledge.load().assemblers.get(version)
    gpus = () if machine is None or row is None else machine.gpus
    lost = [gpu for gpu in gpus if row is not None and gpu.compute_capability not in row.capabilities]
    if row is not None and lost:
        names = ", ".join(dict.fromkeys(f"{gpu.name} ({gpu.compute_capability})" for gpu in lost))
        yield missing(
            kind="assembler",
            summary=f"the assembler of triton {version} makes no code for {names}: torch.compile will fail there",
            detail=row.source,
            fix="Set TRITON_PTXAS_PATH to the ptxas of a CUDA toolkit that knows the GPU, or choose a newer torch",
            by="yourself",
            check="`gpuenv verify` passes its check of torch.compile",
        )


def _bring_headers(examination: Examination, fix: str) -> str:
    """The command that puts Python.h beside the base interpreter, else one that builds upon another interpreter.

    An interpreter of the distribution has its headers in a package of the same minor version; those that uv installs
    carry theirs. Any other without them was built or copied by hand.
    """
    home = Path(os.path.realpath(examination.facts.base))  # Path.resolve raises where links lead in a circle
    if managed := _MANAGED.fullmatch(home.parent.name):
        return f"uv python install --reinstall {managed[1]}"
    of_system = _brings(examination, "headers") if home == Path("/usr/bin") else ""
    return of_system or then(f"uv python install {examination.minor}", fix)


def _brings(examination: Examination, what: str) -> str:
    """The distribution's own command for ``what``, empty where the table has none."""
    rows = (_table()[name] for name in examination.distribution if name in _table())
    command = next(rows, {}).get(what, "")
    return command.format(minor=examination.minor, digits=examination.minor.replace(".", ""))


@cache
def _table() -> dict[str, dict[str, str]]:
    table = tomllib.loads(Path(__file__).with_name("packages.toml").read_text(encoding="utf-8"))
    return {name: row for name, row in table.items() if isinstance(row, dict)}
