"""Requirements files as what they pin: exact versions, addresses of wheels, and the indexes that may give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from packaging.specifiers import SpecifierSet

from gpuenv.lock.hashed import is_hashed, parse_hashed
from gpuenv.lock.target import environment_marker
from gpuenv.project.pins import FlatProject, MarkedPin, Pin, PinnedFile, Relevant
from gpuenv.project.requirements_file import StatedRequirement, read_requirements


def read_pinned_requirements(
    path: Path, *, shown: str, environ: Mapping[str, str], relevant: Relevant, text: str | None = None
) -> FlatProject:
    """Read what a requirements file pins. A constraint narrows what a requirement leaves open.

    Raises :class:`~gpuenv.errors.ConfigurationError` with the place.
    """
    found = read_requirements(path, shown=shown, environ=environ, text=text)
    index = next(reversed(found.values("--index-url")), "")
    extra = (*found.values("--extra-index-url"), *found.values("--find-links"))
    limits: dict[str, list[StatedRequirement]] = {}
    for each in found.constraints:
        limits.setdefault(each.name or "", []).append(each)
    pins = []
    for stated in found.requirements:
        if stated.name is None or not relevant(stated.name):
            continue
        pin = pin_of(stated, index=index, extra=extra)
        limited = next((pin_of(each, index=index, extra=extra) for each in limits.get(stated.name, ())), None)
        if not pin.version and not pin.wheels and limited is not None and limited.version:
            pin = limited
        pins.append(MarkedPin(pin=pin, marker=stated.marker or ""))
    project = FlatProject(kind="requirements", shown=shown, count=len(found.requirements), pins=tuple(pins))
    return _as_lock(project, text) if text is not None and is_hashed(text) else project


def _as_lock(project: FlatProject, text: str) -> FlatProject:
    """Our own lock without addresses: the block in it names the file of each version."""
    lock = parse_hashed(text, origin=project.shown)
    pins = []
    for each in project.pins:
        package = lock.by_name[each.pin.name]
        wheel = PinnedFile(url=package.filename, sha256=package.sha256)
        pins.append(replace(each, pin=replace(each.pin, wheels=(wheel,)), marker=""))
    target = lock.inputs.target
    return replace(
        project, kind="gpuenv", pins=tuple(pins), requires_python=f"=={target.python}.*",
        environments=(environment_marker(target),),
    )  # fmt: skip


def pin_of(stated: StatedRequirement, *, index: str, extra: tuple[str, ...]) -> Pin:
    """A requirement as a pin: exact only with ``==`` and no ``*``, or by the address of a wheel."""
    url = (stated.url or "").partition("#")[0]
    wheel = url.endswith(".whl")
    exact = [
        each.version
        for each in SpecifierSet(stated.specifier)
        if each.operator in ("==", "===") and not each.version.endswith(".*")
    ]
    sha256 = next((each.partition(":")[2] for each in stated.hashes if each.startswith("sha256:")), "")
    return Pin(
        name=stated.name or "",
        version=exact[0] if exact else _version_in(url) if wheel else "",
        place=stated.place,
        stated=stated.text,
        index=index,
        wheels=(PinnedFile(url=url, sha256=sha256),) if wheel else (),
        source=bool(url) and not wheel,
        extra_indexes=extra,
    )


def _version_in(url: str) -> str:
    parts = PinnedFile(url=url).filename.split("-")
    return parts[1] if len(parts) > 4 else ""
