"""What tests of the decision are made of: machines in a few words, catalogs, answers from the recording."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cache

from gpuenv.knowledge import load
from gpuenv.model.decision import Decision, NoDecision, Question
from gpuenv.model.machine import Arch, ComputeCapability, Driver, Gpu, Machine, Os
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import Catalog, Channel, SourceKind, Wheel, WheelContents
from gpuenv.select.request import Request
from gpuenv.select.settle import settle
from support.recorded import Row, recording

PYTHONS = ("3.12", "3.11", "3.13", "3.10")
HOST = "https://download.pytorch.org/whl/"
FAMILY = ("torch", "torchvision", "torchaudio")


def machine(
    *capabilities: str,
    driver: str | None = "580.95.05",
    cuda: str | None = None,
    os: Os = "linux",
    arch: Arch = "x86_64",
    libc: str | None = "glibc 2.39",
    wsl: bool = False,
    names: Iterable[str] = (),
) -> Machine:
    """A machine with one GPU a capability."""
    named = list(names)
    gpus = tuple(
        Gpu(
            index=index,
            uuid=f"GPU-{index:08d}",
            name=named[index] if index < len(named) else f"Test GPU {capability}",
            compute_capability=ComputeCapability.parse(capability),
            memory_bytes=16 * 2**30,
            mig=False,
        )
        for index, capability in enumerate(capabilities)
    )
    return Machine(
        os=os,
        arch=arch,
        libc=libc if os == "linux" else None,
        wsl=wsl,
        container=False,
        driver=None if driver is None else Driver(version=driver, cuda=cuda, source="file"),
        gpus=gpus,
    )


def profile(name: str = "test", *, packages: Iterable[str] = ("torch",), **values: object) -> Profile:
    """A profile with the packages given; anything else by name."""
    base = Profile(name=name, description="", origin="test", accelerator="cuda", packages=tuple(packages))
    return replace(base, **values)  # type: ignore[arg-type] # names are checked by the dataclass


def request(*, pythons: Iterable[str] = PYTHONS, **values: object) -> Request:
    """A request with the usual interpreters."""
    return replace(Request(pythons=tuple(pythons)), **values)  # type: ignore[arg-type] # checked by the dataclass


def wheel(
    project: str,
    version: str,
    *,
    tag: str = "cp312-cp312-manylinux_2_28_x86_64",
    variant: str | None = None,
    channel: Channel = "stable",
    source: SourceKind = "pytorch",
    **values: object,
) -> Wheel:
    """One row of an index. The folder is the local version's, unless given; sources without folders get none."""
    local = version.partition("+")[2]
    if variant is None and source in ("pytorch", "mirror") and re.fullmatch(r"cu\d+|cpu|rocm.*|xpu", local):
        variant = local
    filename = f"{project.replace('-', '_')}-{version}-{tag}.whl"
    folder = f"{'nightly/' if channel == 'nightly' else 'test/' if channel == 'test' else ''}{variant or source}"
    made = Wheel(
        project=project,
        version=version,
        filename=filename,
        url=f"{HOST}{folder}/{filename.replace('+', '%2B')}",
        source=source,
        channel=channel,
        variant=variant,
    )
    return replace(made, **values)  # type: ignore[arg-type] # checked by the dataclass


def catalog(wheels: Iterable[Wheel]) -> Catalog:
    """A catalog of rows."""
    return Catalog(wheels=tuple(wheels))


@cache
def recorded(
    day: str,
    *,
    channels: tuple[str, ...] = ("stable", "nightly"),
    projects: tuple[str, ...] = FAMILY,
    variants: tuple[str, ...] | None = None,
) -> Catalog:
    """The rows of PyTorch's index on a recorded day."""
    rows = recording().on(day, projects=projects)
    kept = [
        row
        for row in rows
        if row.channel in channels and (variants is None or not row.variant or row.variant in variants)
    ]
    return Catalog(wheels=tuple(of_row(row) for row in kept))


def of_row(row: Row) -> Wheel:
    """A recorded row as the index room hands it on."""
    return Wheel(
        project=row.project,
        version=row.version,
        filename=row.filename,
        url=HOST + row.key.replace("+", "%2B"),
        source="pytorch",
        channel="nightly" if row.channel == "nightly" else "stable",
        variant=row.variant or None,
        sha256=row.sha256 if row.listed_hash else None,
        metadata_sha256=row.metadata_sha256,
        upload_time=row.upload_time,
        requires_python=row.requires_python,
    )


@cache
def _rows_by_url() -> dict[str, Row]:
    return {HOST + row.key.replace("+", "%2B"): row for row in recording()._rows}


def read_recorded(question: Question) -> WheelContents | str:
    """Answer from the recording, as if the wheel had been read."""
    row = _rows_by_url().get(question.wheel.url)
    if row is None:
        return "no such wheel was recorded"
    requires = recording().requirements(row).requires
    if question.about == "build":
        return "its build is in its name"
    if question.about == "metadata":
        return WheelContents(requires_dist=requires, origin="metadata", detail="METADATA")
    sass, ptx = recording().kernels(row)
    cuda = load().cuda_of(row.variant) if sass else ""
    return WheelContents(cuda=cuda, sass=sass, ptx=ptx, requires_dist=requires, detail="CUDAConfig.h")


def answer(
    on: Machine,
    wish: Profile,
    offered: Catalog,
    *,
    facts: Mapping[str, WheelContents] | None = None,
    asked: list[Question] | None = None,
    unreadable: Collection[str] = (),
    **values: object,
) -> Decision | NoDecision:
    """Settle a decision with the recording as the wheels' contents; ``asked`` collects the questions."""

    def read(question: Question) -> WheelContents | str:
        if asked is not None:
            asked.append(question)
        return "it cannot be read" if question.wheel.filename in unreadable else read_recorded(question)

    return settle(on, wish, offered, facts or {}, request(**values), load(), read=read)[0]
