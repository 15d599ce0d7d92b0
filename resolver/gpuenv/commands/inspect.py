"""Show what a wheel contains, from its path or URL, and what it cost to learn."""

from __future__ import annotations

from dataclasses import dataclass

from gpuenv import knowledge as tables
from gpuenv.errors import UsageError
from gpuenv.index.names import NameFault, parse_name
from gpuenv.index.wheelfile import Want, WheelReading, read_contents
from gpuenv.knowledge import Disagreement
from gpuenv.model.wheel import Wheel
from gpuenv.net.location import Location
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.sources import open_http


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectOutcome(Outcome):
    """``disagreement`` is set where a table row for this wheel says something else."""

    project: str
    version: str
    filename: str
    location: str
    reading: WheelReading
    disagreement: Disagreement | None


def run(context: Context, *, location: str) -> InspectOutcome:
    """Read a wheel by byte ranges. ``location`` is a URL or a path."""
    place = _place(context, location)
    filename = place.filename
    name = parse_name(filename)
    if isinstance(name, NameFault):
        raise UsageError(
            f"{filename} is not the name of a wheel",
            causes=(name.reason,),
            hints=("Give a path or a URL of a .whl file; `gpuenv resolve --json` prints URLs",),
        )
    want: tuple[Want, ...] = ("kernels", "metadata") if name.project == "torch" else ("metadata", "build")
    reading = read_contents(
        place,
        http=open_http(context),
        want=want,
        filename=filename,
        allow_download=context.options.allow_download,
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
    )


def _place(context: Context, text: str) -> Location:
    location = Location.parse(text, origin="WHEEL", folder=context.project)
    if location.is_local and not location.local.is_file():
        raise UsageError(
            f"there is no wheel at {text}",
            hints=("Give a path or a URL of a .whl file; `gpuenv resolve --json` prints URLs",),
        )
    return location
