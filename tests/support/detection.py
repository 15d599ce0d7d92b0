"""Detection as tests call it: below a made-up tree, with the libraries and programs of a made-up environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gpuenv.machine.detect import detect
from gpuenv.machine.detection import Detection
from support.trees import Tree

INIT = "nvmlInitWithFlags"
NO_LIBRARY = {"PATH": "", "LD_LIBRARY_PATH": ""}


def look(tree: Tree, environ: Mapping[str, str], *, timeout: float = 20.0) -> Detection:
    return detect(environ=environ, root=tree.root, timeout=timeout, platform="linux")


def smi(folder: Path, script: str) -> None:
    """A stand-in for nvidia-smi."""
    path = folder / "nvidia-smi"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
