"""Locks made by hand."""

from __future__ import annotations

from typing import Any

from gpuenv.lock.model import Lock, LockedDecision, LockedPackage, LockInputs
from gpuenv.model.decision import GpuSupport
from gpuenv.model.machine import ComputeCapability
from support.dependencies import linux


def package(
    name: str, version: str, *, family: bool = False, tag: str = "py3-none-any", **changes: Any
) -> LockedPackage:
    """A locked wheel at a made-up address."""
    filename = f"{name.replace('-', '_')}-{version}-{tag}.whl"
    values: dict[str, Any] = {
        "name": name,
        "version": version,
        "filename": filename,
        "url": f"https://download.pytorch.org/whl/cu128/{filename.replace('+', '%2B')}",
        "sha256": "0" * 64,
        "size": 1000,
        "hash_origin": "index",
        "source": "pytorch",
        "family": family,
    }
    return LockedPackage(**(values | changes))


def lock_of(*packages: LockedPackage, **changes: Any) -> Lock:
    """A lock for the machine of :func:`support.dependencies.linux`; ``decision`` and ``inputs`` take whole values."""
    values: dict[str, Any] = {
        "command": "gpuenv lock --profile blackwell",
        "inputs": inputs(),
        "decision": decided(),
        "packages": packages,
    }
    return Lock(**(values | changes))


def inputs(**changes: Any) -> LockInputs:
    values: dict[str, Any] = {
        "profile": "blackwell",
        "profile_digest": "a" * 64,
        "target": linux(),
        "snapshot": "b" * 64,
        "sources": ("https://download.pytorch.org/whl",),
        "cutoff": None,
        "knowledge": "2026-11-22+0123456789ab",
    }
    return LockInputs(**(values | changes))


def decided(**changes: Any) -> LockedDecision:
    values: dict[str, Any] = {
        "accelerator": "cuda",
        "wish": "cuda",
        "torch": "2.10.0+cu128",
        "variant": "cu128",
        "channel": "stable",
        "source": "pytorch",
        "sass": ("sm_90", "sm_120"),
        "ptx": (),
        "kernels_from": "table",
        "least_driver": "525.60.13",
        "gpus": (
            GpuSupport(
                index=0,
                name="NVIDIA GeForce RTX 5090",
                compute_capability=ComputeCapability(12, 0),
                support="native",
                by="sm_120",
            ),
        ),
        "because": ("it is the newest stable release with kernels for sm_120",),
        "warnings": (),
    }
    return LockedDecision(**(values | changes))
