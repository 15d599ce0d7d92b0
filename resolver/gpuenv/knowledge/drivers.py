"""Rules over the table of drivers: least driver of a variant, CUDA that a driver knows, branches."""

from __future__ import annotations

from functools import cmp_to_key
from typing import Literal

from gpuenv.knowledge import files
from gpuenv.knowledge.facts import DriverFloor
from gpuenv.knowledge.rules import compare_versions, newest
from gpuenv.model.machine import Os

Reach = Literal["version", "branch"]
"""How a driver reaches a floor: by its number, or by its branch, where the number tells no more."""


# "Applications built with a CUDA Toolkit of one major release family run, with limited feature-set, on systems with the
# minimum required driver of that family": CUDA Compatibility, Minor Version Compatibility. The minimum of a family is
# table 2 of the CUDA release notes.
def floor(variant: str, cuda: str, os: Os) -> DriverFloor | None:
    """The least driver for a variant on Linux or Windows; without a family rule, the toolkit's own driver."""
    table = files.read("drivers")
    for row in table["variants"]:
        if row["variant"] == variant:
            full = row.get(f"{os}_full") or full_driver(cuda, os)
            source = table["full_source"] if full == row[f"{os}_min"] else table["minimum_source"]
            return DriverFloor(minimum=row[f"{os}_min"], full=full, source=source, by="table")
    for row in table["own_driver"]:
        if row["cuda"] == cuda:
            return DriverFloor(minimum=row[os], full=row[os], source=table["minimum_source"], by="table")
    major = int(cuda.partition(".")[0])
    for row in table["majors"]:
        if row["cuda"] == major:
            source = f"minor-version compatibility of CUDA {major}.x, {table['minimum_source']}"
            return DriverFloor(minimum=row[os], full=full_driver(cuda, os), source=source, by="major-rule")
    own = toolkit_driver(cuda, os)
    return DriverFloor(minimum=own[0], full=own[0], source=own[1], by="table") if own else None


def toolkit_driver(cuda: str, os: Os) -> tuple[str, str] | None:
    """The oldest driver that came with a toolkit, and where that is written."""
    found: tuple[str, str] | None = None
    for row in files.read("drivers")["toolkits"]:
        driver = row.get(os)
        if row["cuda"] == cuda and driver and (found is None or compare_versions(driver, found[0]) < 0):
            found = (driver, row["source"])
    return found


def full_driver(cuda: str, os: Os) -> str | None:
    """The least driver that knows a CUDA version: the toolkit's own, else the first branch that reports it."""
    own = toolkit_driver(cuda, os)
    return own[0] if own else first_branch(cuda)


def first_branch(cuda: str) -> str | None:
    """The first driver branch that reports at least this CUDA version; ``None`` for a version older than the table."""
    if compare_versions(cuda, _branches()[0]["cuda"]) < 0:
        return None
    fitting = (row["branch"] for row in _branches() if compare_versions(row["cuda"], cuda) >= 0)
    return next(fitting, None)


def cuda_known(version: str, os: Os) -> str | None:
    """The CUDA version a driver knows; ``None`` for one older than all branches of the table.

    A branch of Linux drivers bears its number exactly; Windows drivers of a branch count on from it (576.88 is of 575).
    A toolkit that came within a branch counts from its own driver on.
    """
    number = version.partition(".")[0]
    known = [row["cuda"] for row in _branches() if compare_versions(row["branch"], number) <= 0]
    within = (row for row in files.read("drivers")["toolkits"] if row.get(os))
    known += [row["cuda"] for row in within if known and compare_versions(row[os], version) <= 0]
    return newest(known)


def cuda_steps(os: Os) -> tuple[tuple[str, str], ...]:
    """The drivers that are the first to know a CUDA version, each with that version, ascending."""
    drivers = {f"{row['branch']}.0" for row in _branches()} | {
        row[os] for row in files.read("drivers")["toolkits"] if os in row
    }
    kept: list[tuple[str, str]] = []
    for version in sorted(drivers, key=cmp_to_key(compare_versions)):
        found = cuda_known(version, os)
        if found and (not kept or found != kept[-1][1]):
            kept.append((version, found))
    return tuple(kept)


def reaches(version: str, least: str, *, jetson: bool = False) -> Reach | None:
    """Whether a driver is at least another, component by component; ``None`` where it is not.

    Two kinds of number tell no more than the branch, and are compared by it. A bare major (``580``, as people write it)
    stands for the drivers of that branch. A Jetson's driver has the branch of the desktop driver and its own count
    after it: L4T r38 says ``580.00``.

    >>> reaches("580.65.06", "580.65.06"), reaches("580", "580.65.06"), reaches("580.00", "580.65.06")
    ('version', 'branch', None)
    >>> reaches("580.00", "580.65.06", jetson=True)
    'branch'
    """
    if compare_versions(version, least) >= 0:
        return "version"
    branch_alone = jetson or "." not in version
    return "branch" if branch_alone and version.partition(".")[0] == least.partition(".")[0] else None


def _branches() -> list[files.Table]:
    rows: list[files.Table] = files.read("drivers")["branches"]
    return rows
