"""Show what a wheel or the packages of an environment contain, and what it cost to learn."""

from __future__ import annotations

import time

from gpuenv import knowledge as tables
from gpuenv.companions.installed import read_installed
from gpuenv.companions.wheel import Libraries, list_libraries, read_package
from gpuenv.dataclass import dataclass
from gpuenv.errors import UsageError
from gpuenv.index.names import NameFault, parse_name
from gpuenv.index.wheelfile import Want, WheelReading, open_wheel
from gpuenv.installed.environment import read_environment
from gpuenv.knowledge import Disagreement
from gpuenv.model.library import PackageFacts
from gpuenv.model.wheel import Wheel
from gpuenv.net.location import Location
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.sources import open_http
from gpuenv.system.files import present

HINT = "Give a path or a URL of a .whl file, or an environment; `gpuenv resolve --json` prints URLs"
UNASKED = 64 * 1024 * 1024
"""So many bytes of libraries are fetched without being asked for: the common companions are smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectOutcome(Outcome):
    """``disagreement`` is set where a table row for this wheel says something else.

    ``package`` is ``None`` where the libraries were left unread: ``libraries`` says how many bytes they are.
    ``seconds`` is how long all of it took.
    """

    project: str
    version: str
    filename: str
    location: str
    reading: WheelReading
    disagreement: Disagreement | None
    libraries: Libraries
    package: PackageFacts | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentInspection(Outcome):
    """The packages of an environment that hold libraries, torch's family and NVIDIA's own left out."""

    environment: str
    torch: str
    """The version of its torch; empty for none."""
    packages: tuple[PackageFacts, ...]
    seconds: float

    @property
    def bytes(self) -> int:
        """The size of all libraries that were looked into."""
        return sum(library.size for package in self.packages for library in package.libraries)


def run(context: Context, *, location: str, libraries: bool = False) -> InspectOutcome | EnvironmentInspection:
    """Read a wheel by byte ranges, or an environment. ``location`` is a URL or a path.

    With ``libraries`` the libraries of a wheel elsewhere are read, however large they are.
    """
    if "/" not in location and not present(context.project / location):
        raise UsageError(f"there is no wheel at {location}", hints=(HINT,))
    place = Location.parse(location, origin="WHEEL", folder=context.project)
    if place.is_local and place.local.is_dir():
        return _environment(context, place, location)
    return _wheel(context, _present(place, location), location, libraries=libraries)


def _environment(context: Context, place: Location, location: str) -> EnvironmentInspection:
    began = time.monotonic()
    try:
        facts = read_environment(place.local, shown=location)
    except UsageError as error:
        raise UsageError(
            f"there is no wheel at {location}", causes=(error.message, *error.causes), hints=(HINT,)
        ) from None
    packages = read_installed(facts, skip=lambda name: name == "torch" or name.startswith("nvidia-"))
    return EnvironmentInspection(
        environment=location,
        torch=facts.torch.version if facts.torch is not None else "",
        packages=packages,
        seconds=time.monotonic() - began,
    )


def _wheel(context: Context, place: Location, location: str, *, libraries: bool) -> InspectOutcome:
    filename = place.filename
    name = parse_name(filename)
    if isinstance(name, NameFault):
        raise UsageError(
            f"{filename} is not the name of a wheel",
            causes=(name.reason,),
            hints=(HINT,),
        )
    began = time.monotonic()
    want: tuple[Want, ...] = ("kernels", "metadata") if name.project == "torch" else ("metadata", "build")
    http = open_http(context)
    package = None
    with open_wheel(place, http=http, filename=filename, allow_download=context.options.allow_download) as file:
        contents = file.contents(want)
        listed = Libraries(members=()) if name.project == "torch" and not libraries else list_libraries(file)
        if (name.project != "torch" and (file.local or listed.packed <= UNASKED)) or libraries:
            package = read_package(file, listed, project=name.project, version=name.version)
        reading = WheelReading(
            contents=contents, requests=http.counters.requests, bytes=http.counters.bytes, size=file.size
        )
    wheel = Wheel(
        project=name.project,
        version=name.version,
        filename=filename,
        url=place.url,
        source="find-links",
        channel="stable",
        variant=None,
    )
    known = reading.contents.sass is not None
    return InspectOutcome(
        project=name.project,
        version=name.version,
        filename=filename,
        location=place.url if "://" in location else location,
        reading=reading,
        disagreement=tables.load().compare(wheel, reading.contents) if known else None,
        libraries=listed,
        package=package,
        seconds=time.monotonic() - began,
    )


def _present(location: Location, text: str) -> Location:
    if location.is_local and not location.local.is_file():
        raise UsageError(
            f"there is no wheel at {text}",
            hints=(HINT,),
        )
    return location
