"""What the build of a package from its source has to be told, and what it takes: a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import files
from gpuenv.model.machine import ComputeCapability

Compiler = Literal["device", "host"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRecipe:
    """How a project is built. ``variables`` are set as they are, ``architectures`` to those of the cards."""

    variables: tuple[tuple[str, str], ...] = ()
    architectures: tuple[str, ...] = ()
    dots: bool = False
    requires: tuple[str, ...] = ()
    memory: float
    """What one job takes at its most, in bytes."""

    def switches(self, capabilities: Sequence[ComputeCapability]) -> dict[str, str]:
        """The variables that decide what is built for some cards, sorted by name; none name an architecture where there
        is no card.

        >>> recipe_of("flash-attn").switches([ComputeCapability(9, 0)])["FLASH_ATTN_CUDA_ARCHS"]
        '90'
        """
        found = dict(self.variables)
        if capabilities:
            listed = [str(each) for each in sorted(set(capabilities))]
            found["TORCH_CUDA_ARCH_LIST"] = ";".join(listed)
            said = ";".join(each if self.dots else each.replace(".", "") for each in listed)
            found |= dict.fromkeys(self.architectures, said)
        return dict(sorted(found.items()))


def recipe_of(project: str) -> BuildRecipe:
    """How a project is built: by the table, else by what holds for every one."""
    table = files.read("source_builds")
    row: files.Table = next((each for each in table["projects"] if each["project"] == project), {})
    return BuildRecipe(
        variables=tuple(sorted(row.get("variables", {}).items())),
        architectures=tuple(row.get("architectures", ())),
        dots=row.get("dots", False),
        requires=tuple(row.get("requires", ())),
        memory=1e9 * float(row.get("memory", table["every"]["memory"])),
    )


def compilers_for(names: Sequence[str]) -> frozenset[Compiler]:
    """The compilers that the files of a source archive are for.

    >>> sorted(compilers_for(["a/setup.py", "a/csrc/kernel.cu", "a/csrc/api.cpp"]))
    ['device', 'host']
    """
    table = files.read("source_builds")["every"]
    kinds: tuple[Compiler, ...] = ("device", "host")
    return frozenset(kind for kind in kinds if any(name.endswith(tuple(table[kind])) for name in names))


def namesake_of(project: str) -> str | None:
    """Whose project stands under this name on PyPI, where it is not the one meant here; ``None`` where it is."""
    rows = files.read("source_builds")["namesakes"]
    return next((str(row["what"]) for row in rows if row["project"] == project), None)
