"""Which companions of an environment are probed, by which function, and why some are not.

The table ``probes.toml`` has a row for each known one; a project brings its own, which count before the table's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from gpuenv.dataclass import dataclass
from gpuenv.documents import shipped
from gpuenv.metadata import parse_version
from gpuenv.model.machine import Gpu
from gpuenv.verify.payload.probe import COMPILED


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnProbe:
    """A probe that a project brings. ``function``: ``FILE.py:NAME`` with the file's whole path, or ``MODULE:NAME``."""

    project: str
    """The distribution, normalized (PEP 503)."""
    function: str
    said: str
    """The function as the project's file names it."""
    allowed: bool = True
    """Whether the person who runs gpuenv allows the project's code."""

    @property
    def proves(self) -> str:
        """What it proves, as checks and evidence say it."""
        return f"the project's own probe, {self.said}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One probe of one environment. The fields are those of the table."""

    project: str
    version: str
    function: str
    proves: str
    imports: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    torch: bool = True
    tried: bool = True
    lacking: str = ""
    skip: str = ""
    """Why it is not run; empty where it is."""

    def files(self, site: Path) -> tuple[Path, ...]:
        """Return its compiled libraries in a folder of packages."""
        found = (path for pattern in self.libraries for path in site.glob(pattern))
        return tuple(sorted(path for path in found if path.suffix in COMPILED))

    @property
    def job(self) -> str:
        """The name of its process."""
        return f"probe-{self.project}"

    @property
    def compiling_job(self) -> str:
        """The name of the process that runs it again with the driver's compiler."""
        return f"{self.job}-ptx"


def planned(
    versions: Mapping[str, str], *, gpus: Sequence[Gpu], gpu: bool, own: Sequence[OwnProbe] = ()
) -> tuple[Probe, ...]:
    """Return the probes of what is installed (versions by normalized name), sorted by project."""
    brought = {each.project for each in own}
    probes = [_own(each, versions) for each in own]
    for row in shipped(__file__, "probes")["probes"]:
        name = next((name for name in row["projects"] if name in versions), None)
        if name is not None and name not in brought:
            probes.append(_known(row, name, versions[name], gpus=gpus, gpu=gpu))
    return tuple(sorted(probes, key=lambda each: each.project))


def _own(own: OwnProbe, versions: Mapping[str, str]) -> Probe:
    skip = "" if own.project in versions else f"{own.project} is not installed in this environment"
    if not own.allowed:
        skip = "it is code of the project, which --own-probes allows to run"
    return Probe(
        project=own.project,
        version=versions.get(own.project, ""),
        function=own.function,
        proves=own.proves,
        skip=skip,
    )


def _known(row: Mapping[str, object], name: str, version: str, *, gpus: Sequence[Gpu], gpu: bool) -> Probe:
    probe = Probe(
        project=name,
        version=version,
        function=str(row["probe"]),
        proves=str(row["proves"]),
        imports=_texts(row, "imports"),
        libraries=_texts(row, "libraries"),
        torch=row.get("torch") is not False,
        tried=row["tried"] is True,
        lacking=str(row.get("lacking", "")),
    )
    return replace(probe, skip=next(_reasons(row, probe, gpus=gpus, gpu=gpu), ""))


def _reasons(row: Mapping[str, object], probe: Probe, *, gpus: Sequence[Gpu], gpu: bool) -> Iterator[str]:
    """Say why a probe of the table is not run here."""
    if not gpu and row.get("cpu") is not True:
        yield "CPU: its kernels are for GPUs, and none is used"
    wanted, found = str(row.get("versions", "")), parse_version(probe.version)
    if found is not None and not SpecifierSet(wanted).contains(found, prereleases=True):
        yield f"the probe is for {probe.project} {wanted}, and {probe.version} is installed"
    capabilities = _texts(row, "capabilities")
    others = [str(each.compute_capability) for each in gpus if str(each.compute_capability) not in capabilities]
    if gpu and capabilities and others:
        yield f"the kernels that are probed are for {', '.join(capabilities)}, and there is a GPU of {others[0]}"


def _texts(row: Mapping[str, object], key: str) -> tuple[str, ...]:
    found = row.get(key, [])
    return tuple(map(str, found)) if isinstance(found, list) else ()


FUNCTION = re.compile(r"(?P<place>[\w./-]+\.py|[A-Za-z_][\w.]*):[A-Za-z_]\w*")
"""How a project names a probe: a file or a module, and the function in it."""


def own_probe(project: str, text: str, *, folder: str) -> OwnProbe | None:
    """Read a probe as a project's file names it; ``None`` for what is none. ``folder``: where the project lies.

    >>> own_probe("My_Kernels", "probes/mine.py:probe", folder="/src").function
    '/src/probes/mine.py:probe'
    """
    found = FUNCTION.fullmatch(text)
    if found is None or text.startswith("/") or ".." in text.split(":")[0].split("/"):
        return None
    inside = found["place"].endswith(".py")
    return OwnProbe(project=canonicalize_name(project), function=f"{folder}/{text}" if inside else text, said=text)
