"""Where every file of a lock comes from, checked after the fact and independently of the resolver.

Rules of a resolver can be read wrongly and change with its version; this looks only at the result. It closes the hole
of December 2022, when a dependency of the torch nightly was taken from the package index, where the name was free.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from gpuenv import knowledge
from gpuenv.errors import IntegrityError
from gpuenv.lock.making import local_path
from gpuenv.lock.model import LockedPackage
from gpuenv.model.wheel import Wheel
from gpuenv.net.location import host_of, public


def audit(
    packages: Iterable[LockedPackage],
    *,
    family: frozenset[str],
    torch_rows: Mapping[str, Wheel],
    torch_hosts: frozenset[str],
    single_source: bool,
) -> None:
    """Check that each package comes from the one place its name may come from.

    ``family`` are the names that only the torch source may serve; ``torch_rows`` the very rows of it that were chosen,
    by name; ``torch_hosts`` the hosts those rows link to where they serve nothing but torch's index (empty for a torch
    from the package index, or of a folder). With ``single_source`` they are those of the one source, whichever it is,
    and every package must come from them.

    Raises :class:`~gpuenv.errors.IntegrityError` naming every offender, where it should come from and where it does.
    """
    faults: list[str] = []
    for package in packages:
        fault = _fault(package, family, torch_rows, torch_hosts, single_source=single_source)
        if fault:
            faults.append(f"{package.name} {package.version}: {fault}")
        if not package.filename.endswith(".whl"):
            faults.append(f"{package.name} {package.version}: {package.filename} is not a wheel")
    if faults:
        raise IntegrityError(
            "the lock would take packages from a place they must not come from",
            causes=sorted(faults),
            hints=("Nothing was written; report this if none of the indexes in use is yours",),
        )


def _fault(
    package: LockedPackage,
    family: frozenset[str],
    torch_rows: Mapping[str, Wheel],
    torch_hosts: frozenset[str],
    *,
    single_source: bool,
) -> str:
    row = torch_rows.get(package.name)
    if package.name in family:
        if row is None:
            return f"the torch source was never asked for it, and {public(package.location)} was taken"
        if not same_place(package.location, row.url):
            return f"expected from {public(row.url)}, found at {public(package.location)}"
        if package.version != row.version:
            return f"{row.version} was decided"
        if row.sha256 is not None and row.sha256 != package.sha256:
            return f"the index says sha256 {row.sha256}, the lock would say {package.sha256}"
        return "" if package.family else "is not marked as one of the family"
    from_torch = host_of(package.url or "") in torch_hosts
    if single_source and not from_torch:
        return f"expected from one of {', '.join(sorted(torch_hosts))}, found at {public(package.location)}"
    if from_torch and not single_source:
        return f"expected from the package index, found at {public(package.location)}"
    return ""


def same_place(one: str, other: str) -> bool:
    """Whether two URLs or paths name the same place; queries, fragments and credentials do not count."""
    return _bare(one) == _bare(other)


def same_file(one: str, other: str) -> bool:
    """Whether two places hold the same file: the same place, or the same path on two of PyTorch's hosts, which hold
    copies of one another (its pages change between them: index-format, section 4)."""
    if same_place(one, other):
        return True
    hosts = {host_of(one), host_of(other)}
    return hosts <= knowledge.load().pytorch_hosts and urlsplit(one).path == urlsplit(other).path


def _bare(location: str) -> str:
    path = local_path(location.partition("#")[0])
    return path if path is not None else public(location)
