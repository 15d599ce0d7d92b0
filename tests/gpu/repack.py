"""Make an index out of what is installed on a GPU host that has no network: wheels, pages, hashes, metadata.

    python3 tests/gpu/repack.py OUT [--variant cuXXX] [--family NAME ...] [--also NAME ...]

Run with the Python whose environment holds torch. The family goes to OUT/whl in PyTorch's layout: a page a project at
the root with every variant and one in the variant's folder, wheels in the variant's folder with the variant as local
label; triton, which has no variant, at the root. Everything else that it needs goes to OUT/simple. Files of a wheel are
what RECORD lists below site-packages; scripts are made again from entry points.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import importlib.metadata
import io
import os
import re
import sys
import time
import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.index_pages import Anchor, render_project_list, render_project_page

FAMILY = ("torch", "torchvision", "torchaudio", "triton")
WITHOUT_VARIANT = ("triton",)
LEFT_OUT = frozenset({"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json"})
"""Written by installers, not part of a wheel (PyPA, "Recording installed projects")."""
EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Repacked:
    """One wheel that was made; ``key`` is its place below the index."""

    project: str
    key: str
    sha256: str
    metadata_sha256: str
    size: int


def needed(roots: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the installed projects that the roots need, extras and markers applied, and those that are missing."""
    found: dict[str, str] = {}
    missing: set[str] = set()
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(root) for root in roots]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            missing.add(name)
            continue
        found[name] = distribution.version
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            wanted = map(Requirement, distribution.requires or ())
            waiting += [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": extra})]
    return dict(sorted(found.items())), tuple(sorted(missing))


def repack(project: str, out: Path, folder: str, *, local: str = "") -> Repacked:
    """Write one installed project as a wheel, uncompressed: gigabytes of libraries are read once, from a loopback."""
    distribution = importlib.metadata.distribution(project)
    version = distribution.version.partition("+")[0] + f"+{local}" if local else distribution.version
    stem = f"{re.sub(r'[-_.]+', '_', distribution.metadata['Name'])}-{version}"
    target = out / folder / f"{stem}-{_tags(distribution)}.whl"
    target.parent.mkdir(parents=True, exist_ok=True)
    record, metadata = io.StringIO(), b""
    rows = csv.writer(record, lineterminator="\n")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, source in _files(distribution, f"{stem}.dist-info"):
            data = source.read_bytes()
            if name == f"{stem}.dist-info/METADATA":
                data = metadata = re.sub(rb"(?m)^Version: .*$", f"Version: {version}".encode(), data, count=1)
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = (source.stat().st_mode & 0xFFFF) << 16
            archive.writestr(entry, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.writerow((name, f"sha256={digest}", len(data)))
        rows.writerow((f"{stem}.dist-info/RECORD", "", ""))
        archive.writestr(zipfile.ZipInfo(f"{stem}.dist-info/RECORD", EPOCH), record.getvalue())
    target.with_name(f"{target.name}.metadata").write_bytes(metadata)
    with target.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Repacked(
        project=canonicalize_name(project),
        key=f"{folder}/{target.name}",
        sha256=sha256,
        metadata_sha256=hashlib.sha256(metadata).hexdigest(),
        size=target.stat().st_size,
    )


def _files(distribution: importlib.metadata.Distribution, info: str) -> Iterator[tuple[str, Path]]:
    for file in distribution.files or ():
        name = file.as_posix()
        if name.startswith(("..", "/")) or file.name.endswith(".pyc"):
            continue
        top, _, rest = name.partition("/")
        if top.endswith(".dist-info"):
            if rest in LEFT_OUT:
                continue
            name = f"{info}/{rest}"
        source = Path(str(file.locate()))
        if source.is_file():
            yield name, source


def _tags(distribution: importlib.metadata.Distribution) -> str:
    text = distribution.read_text("WHEEL") or ""
    tags = [line.partition(":")[2].strip().split("-") for line in text.splitlines() if line.startswith("Tag:")]
    if not tags:
        return "py3-none-any"
    return "-".join(".".join(dict.fromkeys(tag[part] for tag in tags)) for part in range(3))


def lay_out(out: Path, wheels: Sequence[Repacked], *, variant: str, family: Collection[str]) -> None:
    """Write the pages: a family's project at the root and in its variant's folder, the others below ``simple``."""
    for wheel in wheels:
        anchor = Anchor(key=wheel.key, sha256=wheel.sha256, metadata_sha256=wheel.metadata_sha256)
        page = render_project_page(wheel.project, [anchor])
        folders = ("whl", f"whl/{variant}") if wheel.project in family else ("simple",)
        for folder in folders:
            _write(out / folder / wheel.project / "index.html", page)
    ours = [wheel.project for wheel in wheels if wheel.project in family]
    _write(out / "whl" / "index.html", render_project_list([*ours, variant]))
    _write(out / "whl" / variant / "index.html", render_project_list(ours))
    others = [wheel.project for wheel in wheels if wheel.project not in family]
    _write(out / "simple" / "index.html", render_project_list(others))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def build(out: Path, *, variant: str, family: Sequence[str], also: Sequence[str]) -> tuple[Repacked, ...]:
    """Repack the family and all it needs, and lay out the index.

    Of the roots only those that are installed are taken; a requirement of theirs that is missing ends it, since it
    would be asked for when installing.
    """
    installed = {canonicalize_name(each.metadata["Name"]) for each in importlib.metadata.distributions()}
    projects, missing = needed(name for name in (*family, *also) if canonicalize_name(name) in installed)
    if missing:
        raise SystemExit(f"not installed here, and needed: {', '.join(missing)}")
    with ProcessPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        jobs = []
        for project in projects:
            varied = project in family and project not in WITHOUT_VARIANT
            folder = f"whl/{variant}" if varied else "whl" if project in family else f"simple/{project}"
            jobs.append(pool.submit(repack, project, out, folder, local=variant if varied else ""))
        wheels = tuple(job.result() for job in jobs)
    lay_out(out, wheels, variant=variant, family=family)
    return wheels


def variant_of_torch() -> str:
    """Name the variant of the installed torch by its own version file."""
    text = Path(str(importlib.metadata.distribution("torch").locate_file("torch/version.py"))).read_text("utf-8")
    found = re.search(r"""^cuda\s*(?::[^=]*)?=\s*['"](\d+)\.(\d+)['"]""", text, re.MULTILINE)
    return f"cu{found[1]}{found[2]}" if found else "cpu"


def main() -> int:
    """Read the command line, build, say what was built."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--variant", default=None)
    parser.add_argument("--family", nargs="*", default=list(FAMILY))
    parser.add_argument("--also", nargs="*", default=["numpy", "pillow"])
    options = parser.parse_args()
    start = time.perf_counter()
    variant = options.variant or variant_of_torch()
    wheels = build(options.out, variant=variant, family=options.family, also=options.also)
    for wheel in sorted(wheels, key=lambda wheel: -wheel.size)[:8]:
        print(f"{wheel.size / 1e6:10.1f} MB  {wheel.key}")
    total = sum(wheel.size for wheel in wheels)
    print(f"{len(wheels)} wheels, {total / 1e9:.2f} GB, {variant}, {time.perf_counter() - start:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
