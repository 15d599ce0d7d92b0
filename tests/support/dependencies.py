"""Dependencies of small wheels on loopback: a torch source of built wheels, the call of ``resolve_dependencies``."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpuenv.environment.compiling import Indexes, Resolver
from gpuenv.environment.dependencies import DependencyRequest, Hashed, resolve_dependencies
from gpuenv.environment.uv import find_uv
from gpuenv.lock.model import LockedPackage, MachineTarget
from gpuenv.model.decision import Decision
from gpuenv.model.machine import ComputeCapability
from gpuenv.model.wheel import SourceKind, Wheel, WheelContents
from gpuenv.report import Silent
from support.addresses import at
from support.index_server import IndexServer
from support.wheels import LINUX, BuiltWheel, build_wheel, torch_wheel

FAMILY = frozenset({"torch", "torchvision", "torchaudio", "triton", "pytorch-triton", "torchao", "torchcodec"})
TAG = f"cp312-cp312-{LINUX}"


def linux(python: str = "3.12", **changes: Any) -> MachineTarget:
    """A Linux machine with one Blackwell card."""
    values: dict[str, Any] = {
        "os": "linux",
        "arch": "x86_64",
        "libc": "glibc 2.28",
        "python": python,
        "compute_capabilities": (ComputeCapability(12, 0),),
        "driver": "570.124.06",
    }
    return MachineTarget(**(values | changes))


def row(
    wheel: BuiltWheel,
    url: str,
    *,
    variant: str | None = "cu128",
    source: SourceKind = "mirror",
    sha256: str | None = "",
    upload_time: str | None = None,
) -> Wheel:
    """The index's row for a built wheel; ``sha256=None`` for an index that gives none."""
    return Wheel(
        project=wheel.project,
        version=wheel.version,
        filename=wheel.filename,
        url=url,
        source=source,
        channel="stable",
        variant=variant,
        sha256=wheel.sha256 if sha256 == "" else sha256,
        size=len(wheel.body) if sha256 == "" else None,
        requires_python=wheel.requires_python,
        upload_time=upload_time,
    )


@dataclass
class Source:
    """A torch source of built wheels. ``asked`` lists what was looked for."""

    rows: list[Wheel] = field(default_factory=list)
    bodies: dict[str, BuiltWheel] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)

    def add(self, server: IndexServer, wheel: BuiltWheel, *, folder: str = "cu128", **row_options: Any) -> Wheel:
        url = server.add(wheel, folder=folder)
        return self.put(wheel, url, variant=folder or None, **row_options)

    def put(self, wheel: BuiltWheel, url: str, **row_options: Any) -> Wheel:
        made = row(wheel, url, **row_options)
        self.rows.append(made)
        self.bodies[url] = wheel
        return made

    def find(self, name: str, requirement: str) -> Wheel | None:
        from packaging.requirements import Requirement

        self.asked.append(requirement)
        specifier = Requirement(requirement).specifier
        fitting = [
            each for each in self.rows if each.project == name and specifier.contains(each.version, prereleases=True)
        ]
        return fitting[-1] if fitting else None

    def contents(self, wheel: Wheel) -> WheelContents | None:
        if wheel.url in self.unreadable:
            return None
        lines = self.bodies[wheel.url].metadata.decode().splitlines()
        requires = tuple(line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: "))
        python = next((line.partition(": ")[2] for line in lines if line.startswith("Requires-Python: ")), None)
        return WheelContents(requires_dist=requires, requires_python=python, origin="metadata")

    def listed(self, name: str) -> Sequence[Wheel]:
        return [each for each in self.rows if each.project == name]


def hash_of(source: Source) -> Any:
    """Hash a wheel as its first download would."""

    def hashed(wheel: Wheel) -> Hashed:
        body = source.bodies[wheel.url].body
        return Hashed(sha256=hashlib.sha256(body).hexdigest(), size=len(body), origin="first-download")

    return hashed


def decision(*wheels: Wheel, others: Sequence[str] = (), source: SourceKind = "mirror", **changes: Any) -> Decision:
    """A decision for ``wheels``."""
    values: dict[str, Any] = {
        "profile": "blackwell",
        "accelerator": "cuda",
        "python": "3.12",
        "channel": "stable",
        "variant": "cu128",
        "source": source,
        "packages": wheels,
        "requires": (),
        "others": tuple(others),
        "kernels": None,
        "gpus": (),
        "driver": None,
        "because": ("it is the newest",),
        "warnings": (),
        "accepted": (),
        "rejected": (),
    }
    return Decision(**(values | changes))


def resolver(cache: Path, *, environ: Mapping[str, str] | None = None) -> Resolver:
    """The real uv, with the caller's environment (``environ`` adds to it)."""
    return Resolver(
        uv=find_uv({**os.environ, **(environ or {})}),
        reporter=Silent(),
        interpreter=Path(sys.executable),
        cache=cache,
        deadline=120.0,
    )


def close(request: DependencyRequest, source: Source, how: Resolver) -> dict[str, LockedPackage]:
    """Resolve, by name."""
    packages = resolve_dependencies(request, source=source, hash_of=hash_of(source), resolver=how)
    return {package.name: package for package in packages}


def request(what: Decision, server: IndexServer, torch_server: IndexServer, **changes: Any) -> DependencyRequest:
    """A request whose package index is ``server`` and whose torch host is ``torch_server``'s."""
    values: dict[str, Any] = {
        "decision": what,
        "target": linux(),
        "family": FAMILY,
        "indexes": Indexes(default=at(server.default_index)),
        "torch_hosts": frozenset({torch_server.url.removeprefix("http://")}),
    }
    return DependencyRequest(**(values | changes))


def blackwell(source: Source, server: IndexServer, **options: Any) -> tuple[Wheel, Wheel]:
    """torch, torchvision and triton of one variant; the first two are what a decision would hold."""
    torch = source.add(
        server,
        torch_wheel(
            "2.10.0",
            "cu128",
            requires=(
                "filelock",
                "triton==3.6.0; platform_system == 'Linux'",
                "nvidia-cublas-cu12==12.8.4.1; platform_system == 'Linux'",
                "colorama; platform_system == 'Windows'",
                "opt-einsum>=3.3; extra == 'opt-einsum'",
            ),
        ),
        **options,
    )
    vision = source.add(
        server, build_wheel("torchvision", "0.25.0+cu128", tag=TAG, requires=("numpy", "torch==2.10.0")), **options
    )
    triton = build_wheel("triton", "3.6.0", tag=TAG)
    source.put(triton, server.add(triton), variant=None, **options)
    return torch, vision


def package_index(server: IndexServer) -> None:
    """A default package index with what torch needs, and hostile copies of the family's names."""
    for name, version in (
        ("filelock", "3.20.0"),
        ("numpy", "1.26.4"),
        ("numpy", "2.3.0"),
        ("nvidia-cublas-cu12", "12.8.4.1"),
        ("colorama", "0.4.6"),
        ("opt-einsum", "3.4.0"),
    ):
        server.add_package(build_wheel(name, version))
    for name in sorted(FAMILY):
        for version in ("3.6.0", "9.9.9"):
            server.add_package(build_wheel(name, version))
