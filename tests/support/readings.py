"""What was read out of 123 real wheels of torch, one a line: the proof that the tables are held against."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gpuenv.model.wheel import SourceKind, Wheel, WheelContents

FILE = Path(__file__).parent.parent / "data" / "wheel-archs.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One wheel of the default package index, as it was read by range requests."""

    filename: str
    version: str
    cuda: str
    sass: tuple[str, ...]
    ptx: tuple[str, ...]
    triton: tuple[str, ...]
    cudnn: tuple[str, ...]

    @property
    def public_version(self) -> str:
        return self.filename.split("-")[1]

    @property
    def contents(self) -> WheelContents:
        return WheelContents(cuda=self.cuda, sass=self.sass, ptx=self.ptx)

    def wheel(self, *, source: SourceKind = "package-index", variant: str | None = None) -> Wheel:
        """The wheel as an index would list it."""
        return torch_wheel(self.filename, self.public_version, source=source, variant=variant)


def torch_wheel(
    filename: str, version: str, *, source: SourceKind = "pytorch", variant: str | None = None, project: str = "torch"
) -> Wheel:
    """A row of an index, with as much as the tables ask of it."""
    return Wheel(
        project=project,
        version=version,
        filename=filename,
        url=f"https://index.invalid/{filename}",
        source=source,
        channel="stable",
        variant=variant,
    )


@cache
def readings() -> tuple[Reading, ...]:
    """All of them, oldest release first."""
    rows = (json.loads(line) for line in FILE.read_text("utf-8").splitlines())
    return tuple(
        Reading(
            filename=row["filename"],
            version=row["version"],
            cuda=row["cuda"],
            sass=tuple(row.get("sass", ())),
            ptx=tuple(row.get("ptx", ())),
            triton=tuple(row.get("triton", ())),
            cudnn=tuple(row.get("cudnn", ())),
        )
        for row in rows
    )


@cache
def cuda_readings() -> tuple[Reading, ...]:
    """Those of builds with CUDA."""
    return tuple(reading for reading in readings() if reading.cuda)
