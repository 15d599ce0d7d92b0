"""Fetch what tests/gpu/probes.sh needs from the default package index: probes_fetch.py OUT PARTS

Sources go to OUT as they are (pip would run their setup.py to ask for a version). Of the largest wheels only what a
probe needs is read, by range requests, and packed into a wheel again: PARTS gets them in numbered folders, one piece
each, few enough megabytes to be carried one after the other; ``tests/gpu/probes.sh --take FOLDER…`` joins them.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "tools"))
from update_tables import listed, package_index, with_cache

from gpuenv.index.wheelfile import open_wheel
from gpuenv.model.wheel import Wheel
from gpuenv.net.client import Absent, Client
from gpuenv.net.location import Location

SOURCES = {
    "causal-conv1d": "1.7.0", "mamba-ssm": "2.3.2.post1", "torch-scatter": "2.1.2", "torch-sparse": "0.6.18",
    "torch-cluster": "1.6.3", "deepspeed": "0.19.8", "flash-attn": "2.8.3.post2",
}  # fmt: skip
PLAIN = r"\.py$|\.dist-info/"
TRIMMED = {
    ("vllm", "0.24.0"): r"vllm/_C_stable_libtorch\.abi3\.so$",  # the newest for torch 2.11
    ("sglang-kernel", "0.4.5"): r"sgl_kernel/sm90/",  # loads on torch 2.11 by its symbols
    ("sglang-kernel", "0.4.10"): r"sgl_kernel/sm90/",  # for torch 2.13 and later
    ("sglang-kernel", "0.4.1"): r"sgl_kernel/sm90/",  # for CUDA 12
    ("onnxruntime-gpu", "1.29.0"): r"onnxruntime/capi/(?!libonnxruntime_providers_tensorrt)",
}
PIECE = 45_000_000


def main(out: Path, parts: Path, cache: Path) -> int:
    out.mkdir(parents=True, exist_ok=True)
    plan, index = package_index(None)
    with Client(cache=cache, environ={}, access=plan.access) as http:
        for project, version in SOURCES.items():
            _source(
                http, index.location.below(project, page=True), out / f"{project.replace('-', '_')}-{version}.tar.gz"
            )
        for (project, version), wanted in TRIMMED.items():
            (wheel,) = [
                each
                for each in listed(http, index, project)
                if each.version == version and re.search(r"(abi3|cp312-cp312)-manylinux\S*x86_64", each.filename)
            ]
            _pieces(_trimmed(http, wheel, f"{wanted}|{PLAIN}", out.parent), parts)
    return 0


def _trimmed(http: Client, wheel: Wheel, wanted: str, folder: Path) -> Path:
    """Write a wheel with some of another's members, in their order: the other is not read whole."""
    made = folder / wheel.filename
    with open_wheel(wheel.url, http=http, filename=wheel.filename) as file:
        members = [each for each in file.members() if re.search(wanted, each.name)]
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for member in members:
                with archive.open(member.name, "w", force_zip64=True) as into:
                    for piece in file.pieces(member):
                        into.write(piece)
    print(f"{made.name}: {len(members)} members, {made.stat().st_size / 1e6:.0f} MB of {(wheel.size or 0) / 1e6:.0f}")
    return made


def _pieces(file: Path, parts: Path) -> None:
    """Cut a file into numbered folders of ``parts``, behind those that are there."""
    content = file.read_bytes()
    file.unlink()
    for start in range(0, len(content), PIECE):
        folder = parts / str(len(list(parts.glob("*"))) + 1)
        folder.mkdir(parents=True)
        (folder / f"{file.name}.{start // PIECE:02}").write_bytes(content[start : start + PIECE])


def _source(http: Client, page: Location, into: Path) -> None:
    answer = http.get(page, accept="application/vnd.pypi.simple.v1+json")
    assert not isinstance(answer, Absent), page
    (url,) = [each["url"] for each in json.loads(answer.body)["files"] if each["filename"] == into.name]
    found = http.get(answer.where.follow(url, origin=str(page)))
    assert not isinstance(found, Absent), url
    into.write_bytes(found.body)


if __name__ == "__main__":
    sys.exit(with_cache(partial(main, Path(sys.argv[1]), Path(sys.argv[2]))))
