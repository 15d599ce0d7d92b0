"""One requirement as a person writes it: what is understood of it, and what an address says of the family's build."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from gpuenv import knowledge
from gpuenv.errors import ConfigurationError
from gpuenv.metadata import parse_requirement
from gpuenv.model.asked import Asked, NamedBuild, NamedSource
from gpuenv.net.location import Location

_BUILD = re.compile(r"/whl/(?:nightly/|test/)?(cu\d{2,4}|cpu)/?\Z")
_REPOSITORY = re.compile(r"\A(?:git|hg|svn|bzr)\+")
_ARCHIVE = re.compile(r"\.(?:tar\.(?:gz|bz2|xz)|tgz|zip)\Z")


def build_of(address: str) -> str | None:
    """The build of torch that an address of PyTorch's layout names: ``cu118`` or ``cpu``; ``None`` for any other.

    >>> build_of("https://mirror.example/whl/cu118"), build_of("https://pypi.example/simple")
    ('cu118', None)
    """
    found = _BUILD.search(_path(address))
    return found[1] if found else None


def _path(address: str) -> str:
    """An address without query and fragment, whatever else is wrong with it."""
    return address.partition("#")[0].partition("?")[0]


def index_line(address: str, *, place: str, folder: Path, links: bool = False, packages: tuple[str, ...] = ()) -> Asked:
    """What an index or a page of links that a project names comes to: a build of torch, a source of other packages, or
    a note why it is neither."""
    where = Location.parse(address, origin=place, folder=folder)
    if (variant := build_of(address)) is not None:
        return Asked(builds=(NamedBuild(variant=variant, place=place, text=where.shown),))
    if where.is_on(knowledge.load().pytorch_hosts):
        channel = next((each for each in ("nightly", "test") if f"/{each}" in where.path), "")
        if re.search(r"rocm|xpu", where.path):
            return Asked(notes=(f"{place}: {where.shown} is not for NVIDIA GPUs: not followed",))
        if channel:
            said = "`--channel nightly` asks for nightlies" if channel == "nightly" else "no test builds are taken"
            return Asked(notes=(f"{place}: {where.shown}: not followed; {said}",))
        return Asked()
    return Asked(sources=(NamedSource(address=where, place=place, packages=packages, links=links),))


def checked(text: str, *, place: str, folder: Path) -> str:
    """A requirement in PEP 508's words, as the resolver is given it.

    Raises :class:`~gpuenv.errors.ConfigurationError` for what is none, for repositories, folders and source archives.
    """
    requirement = parse_requirement(text)
    if requirement is None:
        raise ConfigurationError(
            f"{place}: {text} is not a requirement",
            causes=tuple(_why(text)),
            hints=("Write it as in: einops>=0.8",),
        )
    if requirement.url is not None:
        return _of_url(requirement, place=place)
    return str(requirement)


def _why(text: str) -> list[str]:
    try:
        Requirement(text)
    except InvalidRequirement as error:
        return [str(error).splitlines()[0]]
    return []


def wheel_line(name: str, where: str, *, marker: str | None = None, place: str, folder: Path) -> str:
    """The requirement of a package that comes from one file; see :func:`checked` for what is refused."""
    address = where if "://" in where else Location.of_path((folder / where).resolve()).url
    text = f"{name} @ {address}" + (f" ; {marker}" if marker else "")
    return checked(text, place=place, folder=folder)


def _of_url(requirement: Requirement, *, place: str) -> str:
    url = str(requirement.url)
    name = unquote(_path(url).rsplit("/", 1)[-1])
    why = ""
    if _REPOSITORY.match(url):
        why = "comes from a repository"
    elif _ARCHIVE.search(name):
        why = "is a source archive"
    elif not name.endswith(".whl"):
        why = "comes from a folder, or from what is no wheel"
    if why:
        raise ConfigurationError(
            f"{place}: {requirement.name} {why}, and only wheels are locked",
            causes=("a build from source runs code that no lock can name",),
            hints=("Build a wheel of it, and name the wheel's address in its place",),
        )
    try:
        found = parse_wheel_filename(name)[0]
    except InvalidWheelFilename as error:
        raise ConfigurationError(f"{place}: {name} is not the name of a wheel", causes=(str(error),)) from None
    if canonicalize_name(found) != canonicalize_name(requirement.name):
        raise ConfigurationError(f"{place}: {name} is a wheel of {found}, not of {requirement.name}")
    return str(requirement)


def pinned_by_file(requirement: Requirement) -> str:
    """The version that an address of a wheel names, as a pin: ``==2.0.1+cu118``."""
    name = unquote(_path(str(requirement.url)).rsplit("/", 1)[-1])
    return f"=={parse_wheel_filename(name)[1]}"
