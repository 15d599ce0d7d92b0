"""Which packages of torch's family a lock may take from the package index though torch comes from PyTorch's own."""

from __future__ import annotations

from gpuenv import knowledge
from gpuenv.lock.model import LockedPackage


def is_known_file(package: LockedPackage) -> bool:
    """Whether a package is an extension of torch's in a wheel of the package index that the tables know by its hash:
    whoever owns the name there, these are the bytes whose libraries were read."""
    if not package.family or package.source != "package-index":
        return False
    from gpuenv.knowledge.companion_facts import facts_by_hash  # few locks have such a package

    return knowledge.load().role(package.name) == "extension" and facts_by_hash(package.sha256) is not None
