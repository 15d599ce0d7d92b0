"""A requirements file as it asks for packages: what its lines and options come to for a lock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gpuenv.errors import ConfigurationError
from gpuenv.model.asked import Asked, Role, Stated, together
from gpuenv.net.location import redact
from gpuenv.project.lines import checked, index_line, wheel_line
from gpuenv.project.requirements_file import RequirementsFile, StatedOption, StatedRequirement

_FOLLOWED = frozenset({"--only-binary", "--prefer-binary", "--require-hashes", "--no-require-hashes"})
"""What a lock of wheels with hashes does anyway, or what makes no difference to it."""
_NOT_FOLLOWED = {
    "--no-index": "the indexes of this command are asked",
    "--no-binary": "nothing is built from source",
    "--pre": "pre-releases are taken where a requirement names one",
    "--trusted-host": "certificates are checked; pip's own configuration may except a host",
}


def asked_by_file(found: RequirementsFile, *, folder: Path, count: bool = True) -> Asked:
    """Turn what was read into what is asked for. ``folder`` is what relative paths of addresses start from, and the
    project's own; ``count`` says how many requirements the file has.

    Raises :class:`~gpuenv.errors.ConfigurationError` with place and reason for what no lock of wheels can hold.
    """
    stated: list[Stated] = []
    notes: list[str] = []
    rows: tuple[tuple[Role, tuple[StatedRequirement, ...]], ...] = (
        ("requirement", found.requirements),
        ("constraint", found.constraints),
    )
    for role, requirements in rows:
        for row in requirements:
            if _is_itself(row, folder):
                notes.append(f"{row.place}: the project itself is installed with `--install-project`")
            else:
                stated.append(_stated(row, role, folder))
                notes += _hash_notes(row)
    notes += [f"{row.place}: {row.name} behind a requirement counts for nothing, as for pip" for row in found.ignored]
    taken = len([row for row in stated if row.role == "requirement"])
    shown = found.requirements[0].place.file if found.requirements else ""
    files = (f"{shown}: {taken} requirement{'' if taken == 1 else 's'}",) if count and shown else ()
    options = [_option(row, folder) for row in found.options]
    return together([Asked(stated=tuple(stated), files=files, notes=tuple(notes)), *options])


def _stated(row: StatedRequirement, role: Role, folder: Path) -> Stated:
    place = str(row.place)
    if row.editable or row.name is None:
        raise ConfigurationError(
            f"{place}: {redact(row.text)} is a folder or a repository, and only wheels are locked",
            causes=("a build from source runs code that no lock can name",),
            hints=("Build a wheel of it, and name the wheel in its place",),
        )
    hashes = tuple(each.partition(":")[2] for each in row.hashes if each.startswith("sha256:"))
    if row.url is None:
        return Stated(text=checked(row.text, place=place, folder=folder), place=place, role=role, hashes=hashes)
    extras = f"[{','.join(row.extras)}]" if row.extras else ""
    line = wheel_line(f"{row.name}{extras}", row.url, marker=row.marker, place=place, folder=folder)
    if hashes and "#" not in line:
        line = line.replace(row.url, f"{row.url}#sha256={hashes[0]}", 1)
    return Stated(text=line, place=place, role=role, hashes=hashes)


def _is_itself(row: StatedRequirement, folder: Path) -> bool:
    return row.url is not None and "://" not in row.url and (folder / row.url).resolve() == folder.resolve()


def _hash_notes(row: StatedRequirement) -> Iterator[str]:
    if row.hashes and not any(each.startswith("sha256:") for each in row.hashes):
        yield f"{row.place}: none of its hashes is a sha256: they are not compared"


def _option(row: StatedOption, folder: Path) -> Asked:
    place = str(row.place)
    match row.name:
        case "--index-url" | "--extra-index-url":
            return index_line(row.value, place=place, folder=folder)
        case "--find-links":
            return index_line(row.value, place=place, folder=folder, links=True)
        case name if name in _FOLLOWED:
            return Asked()
        case name:
            why = f"; {_NOT_FOLLOWED[name]}" if name in _NOT_FOLLOWED else ""
            return Asked(notes=(f"{place}: {name} is not followed{why}",))
