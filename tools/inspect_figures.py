"""Measures what it costs to learn a torch wheel's contents from the default package index.

    python tools/inspect_figures.py docs/inspect-figures.md

Reads the newest release and nine older ones by byte ranges (never a whole wheel) and writes a Markdown table. The index
is the one pip is configured for, else the ecosystem's own; neither its name nor any address is written.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from packaging.version import Version

from gpuenv.environment.compiling import default_index
from gpuenv.environment.uv import find_uv
from gpuenv.index.config import plan_sources
from gpuenv.index.source import load_source
from gpuenv.index.wheelfile import read_contents
from gpuenv.model.wheel import Wheel
from gpuenv.net.client import Client
from gpuenv.report import Silent

COUNT = 10
HEADER = """\
# What it costs to look into a torch wheel

Measured {date} on the default package index with `python tools/inspect_figures.py docs/inspect-figures.md`: for ten
releases the newest CPython wheel for Linux x86_64, read by ranges: `torch/version.py`, `CUDAConfig.h` and METADATA.
Requests and bytes are the cost; times are of one run over a fast line and say little.

| wheel | size | requests | bytes read | share | CUDA | code | PTX | seconds |
|---|---:|---:|---:|---:|---|---|---|---:|
"""
FOOTER = """
Limits (asserted in `tests/functional/test_wheelfile.py` on stand-ins with as many members): 8 requests, 1.5 MB.
From 2.7.1 on the header stands early in the archive and the first 256 KiB of the zip directory hold its entry; in older
wheels the whole directory is read.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    target = parser.parse_args().target
    plan = plan_sources(
        environ=os.environ,
        platform=sys.platform,
        folder=Path.cwd(),
        default_index_url=lambda: default_index(find_uv(os.environ), reporter=Silent()),
    )
    index = plan.default_index or plan.fallback()
    if index is None:
        sys.exit("no default package index is known here")
    with (
        tempfile.TemporaryDirectory() as folder,
        Client(cache=Path(folder), environ=os.environ, access=plan.access) as http,
    ):
        catalog = load_source(index, http, projects=["torch"])
        rows = [measure(wheel, http) for wheel in chosen(catalog.wheels)]
    target.write_text(HEADER.format(date=time.strftime("%Y-%m-%d")) + "".join(rows) + FOOTER, encoding="utf-8")
    print(target.read_text(encoding="utf-8"))


def chosen(wheels: Iterable[Wheel]) -> list[Wheel]:
    """The newest release and then every few, one wheel each."""
    best: dict[Version, Wheel] = {}
    for wheel in wheels:
        python = wheel.filename.split("-")[-3]
        if (
            wheel.filename.endswith("x86_64.whl")
            and "linux" in wheel.filename
            and python.removeprefix("cp").isdecimal()
        ):
            known = best.get(Version(wheel.version))
            if known is None or int(python[2:]) > int(known.filename.split("-")[-3][2:]):
                best[Version(wheel.version)] = wheel
    versions = sorted(best, reverse=True)
    versions = [version for version in versions if version >= Version("1.13")]
    step = (len(versions) - 1) / (COUNT - 1)
    return [best[versions[round(place * step)]] for place in range(COUNT)]


def measure(wheel: Wheel, http: Client) -> str:
    started = time.monotonic()
    reading = read_contents(wheel.url, http=http)
    spent = time.monotonic() - started
    contents = reading.contents
    code = " ".join(target.removeprefix("sm_") for target in contents.sass or ()) or "–"
    ptx = " ".join(target.removeprefix("compute_") for target in contents.ptx or ()) or "–"
    cells = [
        *(f"`{wheel.filename}`", f"{reading.size / 1e6:.0f} MB", str(reading.requests), f"{reading.bytes:,}"),
        *(f"{reading.bytes / reading.size:.2%}", contents.cuda or "CPU", code, ptx, f"{spent:.2f}"),
    ]
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    main()
