"""Show what a wheel or an environment contains: CUDA, kernels, requirements, and what its libraries need."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gpuenv.cli.project import PathOrName
from gpuenv.documents import parts
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.inspect import EnvironmentInspection, InspectOutcome
    from gpuenv.model.library import LibraryFacts, PackageFacts

_LONGEST = 80
"""Letters of a mangled name that are shown; --json has all of them."""

EXAMPLES = (
    ("gpuenv inspect ./torch*.whl", "a wheel in this folder"),
    ("gpuenv inspect https://example.org/wheels/torch.whl", "a wheel elsewhere, of which a thousandth is downloaded"),
    ("gpuenv inspect .venv-gpu", "the libraries of all packages of an environment"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "wheel", type=PathOrName, metavar="WHEEL", help="a path or URL of a .whl file, or an environment"
    )
    parser.add_argument(
        "--libraries", action="store_true", help="read the libraries too where that means a large download"
    )


def run(arguments: argparse.Namespace, context: Context) -> InspectOutcome | EnvironmentInspection:
    from gpuenv.commands import inspect

    return inspect.run(context, location=arguments.wheel, libraries=arguments.libraries)


def data(outcome: InspectOutcome | EnvironmentInspection) -> dict[str, object]:
    from gpuenv.commands.inspect import EnvironmentInspection

    if isinstance(outcome, EnvironmentInspection):
        packages = [{**parts(each, "project", "version"), **_package(each)} for each in outcome.packages]
        return {**parts(outcome, "environment", "torch", "bytes", "seconds"), "packages": packages}
    contents = outcome.reading.contents
    return {
        **parts(outcome, "project", "version", "filename"),
        **parts(contents, "cuda", "sass", "ptx", "git", "requires_dist", "requires_python", "detail"),
        **parts(outcome.reading, "size", "requests", "bytes"),
        "seconds": outcome.seconds,
        "disagreement": None if outcome.disagreement is None else outcome.disagreement.differences,
        "libraries": None if outcome.package is None else _package(outcome.package)["libraries"],
        "unread": None if outcome.package is None else outcome.package.unread,
    }


def _package(package: PackageFacts) -> dict[str, object]:
    return {"libraries": [_library(each) for each in package.libraries], "unread": package.unread}


def _library(library: LibraryFacts) -> dict[str, object]:
    from gpuenv.knowledge.torch_exports import load_exports

    names = (
        "path", "size", "format", "sass", "ptx", "ptx_cuda", "relocatable", "needed", "cuda_major", "binding",
        "torch_symbols", "python", "glibc", "glibcxx", "vendored",
    )  # fmt: skip
    span = load_exports().span(library.torch_symbols)
    known = {"lowest": span.lowest, "highest_known": span.highest_known, "lacks": dict(span.lacks)}
    return {**parts(library, *names), "torch": known if library.torch_symbols else None}


def text(outcome: InspectOutcome | EnvironmentInspection) -> Iterator[str]:
    from gpuenv.commands.inspect import EnvironmentInspection

    if isinstance(outcome, EnvironmentInspection):
        yield f"{outcome.environment}  (torch {outcome.torch or 'not installed'})"
        for package in outcome.packages:
            yield f"{package.project} {package.version}"
            yield from _libraries(package)
        yield f"read {outcome.bytes / 1e6:,.0f} MB of libraries in {outcome.seconds:.1f} s"
        return
    yield from _wheel(outcome)


def _wheel(outcome: InspectOutcome) -> Iterator[str]:
    contents, reading = outcome.reading.contents, outcome.reading
    yield f"{outcome.project} {outcome.version}  ({outcome.filename})"
    if contents.cuda is not None:
        yield f"  CUDA      {contents.cuda or 'none: this is a CPU build'}"
    if contents.sass:
        yield f"  SASS      {' '.join(contents.sass)}"
    if contents.sass is not None and contents.cuda:
        yield f"  PTX       {' '.join(contents.ptx or ()) or 'none'}"
    if contents.git:
        yield f"  git       {contents.git}"
    yield f"  Python    {contents.requires_python or 'any'}"
    for requirement in contents.requires_dist or ():
        yield f"  requires  {requirement}"
    if outcome.package is not None:
        yield from _libraries(outcome.package)
    elif outcome.libraries.members:
        yield f"  libraries not read: {outcome.libraries.packed / 1e6:,.0f} MB to download; --libraries reads them"
    if contents.detail:
        yield f"  read in   {contents.detail}"
    yield (
        f"  cost      {reading.requests} requests, {reading.bytes:,} of {reading.size:,} bytes, {outcome.seconds:.1f} s"
    )
    if outcome.disagreement is not None:
        for line in outcome.disagreement.differences:
            yield f"  warning: the tables say something else: {line}"


def _libraries(package: PackageFacts) -> Iterator[str]:
    """Those that say something of GPUs, torch or NVIDIA's libraries; the others are counted."""
    told = [each for each in package.own if each.has_device_code or each.torch_symbols or each.nvidia]
    alike: dict[str, list[str]] = {}
    for library in told:
        alike.setdefault("; ".join(_said(library)), []).append(library.path)
    for said, paths in alike.items():
        yield f"  library   {paths[0]}" + (f" and {len(paths) - 1} more alike" if len(paths) > 1 else "")
        yield f"            {said}"
    if others := len(package.libraries) - len(told):
        copies = sum(each.vendored for each in package.libraries)
        yield f"  libraries {others} others" + (f", {copies} of them copies of other projects'" if copies else "")
    if package.empty:
        yield "  libraries none: this package holds no compiled code"
    for reason in package.unread:
        yield f"  unread    {reason}"


def _said(library: LibraryFacts) -> Iterator[str]:
    if library.has_device_code:
        made = f" (made by CUDA {library.ptx_cuda})" if library.ptx_cuda else ""
        yield f"{' '.join(library.sass) or 'no machine code'}, PTX {' '.join(library.ptx) or 'none'}{made}"
    if library.relocatable:
        yield f"for a linker only: {' '.join(library.relocatable)}"
    if library.cuda_major is not None:
        yield f"CUDA {library.cuda_major}"
    if library.torch_symbols:
        yield _torch(library)
    if library.python:
        yield f"Python: {library.python}"
    floors = [f"{name} {least}" for name, least in (("glibc", library.glibc), ("GLIBCXX", library.glibcxx)) if least]
    if floors:
        yield ", ".join(floors)


def _torch(library: LibraryFacts) -> str:
    from gpuenv.knowledge.torch_exports import load_exports

    span = load_exports().span(library.torch_symbols)
    kind = "torch's stable interface" if library.binding == "stable" else "torch's C++ symbols"
    said = f"{len(library.torch_symbols)} of {kind}"
    if span.lowest is not None:
        known = f" to {span.highest_known}" if span.highest_known != span.lowest else " alone"
        said += f", all in torch {span.lowest}{known}"
    elif span.unknown:
        said += f", perhaps all in torch {', '.join(span.unknown)}"
    else:
        said += ", in no known torch"
    near = [(minor, lack) for minor, lack in span.lacks if span.lowest is None or minor != span.lowest]
    if near:
        minor, lack = near[-1] if span.lowest is None else _nearest(near, span.lowest)
        name = lack[0] if len(lack[0]) <= _LONGEST else f"{lack[0][:_LONGEST]}…"
        said += f"; torch {minor} lacks {name}" + (f" and {len(lack) - 1} more" if len(lack) > 1 else "")
    return said


def _nearest(lacks: list[tuple[str, tuple[str, ...]]], lowest: str) -> tuple[str, tuple[str, ...]]:
    """The torch below the lowest that has them all, else the first above."""
    below = [each for each in lacks if _numbers(each[0]) < _numbers(lowest)]
    return below[-1] if below else lacks[0]


def _numbers(minor: str) -> tuple[int, ...]:
    return tuple(map(int, minor.split(".")))
