"""Prove what recorded wheels require, without having them: tests/data/index/proven.json.

    python tools/prove_requirements.py            read the default package index, write the file

PyTorch's index was recorded with hashes and without bodies. What a wheel requires is taken as known only where a hash
says so:

* ``wheel``: the default package index holds a file with the very sha256 that PyTorch's page states for its copy, so
  its METADATA is the copy's.
* ``metadata``: METADATA of the default package index's build of the same release, with the version's local part put
  in (and for a CPU build the lines left out that a CPU build has not), hashes to the sha256 that PyTorch's page states
  for the METADATA of its own build.

* ``twin``: PyTorch's page states one and the same METADATA hash for this file and for one that is proven.

What can be proven in none of these ways is left out. The rows are those of one recorded day, for one Python on Linux
x86_64.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from packaging.requirements import Requirement  # noqa: E402 # the folder of the recording has to be on the path first
from packaging.version import Version  # noqa: E402

from gpuenv.environment.compiling import default_index  # noqa: E402
from gpuenv.environment.uv import find_uv  # noqa: E402
from gpuenv.index.config import Place  # noqa: E402
from gpuenv.index.inside import requirements_of  # noqa: E402
from gpuenv.index.source import load_source  # noqa: E402
from gpuenv.index.wheelfile import read_contents  # noqa: E402
from gpuenv.model.wheel import Wheel  # noqa: E402
from gpuenv.net.client import Answer, Client  # noqa: E402
from gpuenv.net.location import Location  # noqa: E402
from gpuenv.report import Silent  # noqa: E402
from support.recorded import Row, recording  # noqa: E402

TARGET = ROOT / "tests" / "data" / "index" / "proven.json"
DAY = "2025-04-22"
"""The last day on which every dependency of the newest torch has a copy whose hash was recorded: torch 2.7 asks for a
sympy whose copies on PyTorch's hosts stand on the index without one (lockfiles/README.md)."""
VARIANTS = ("cpu", "cu124")
PYTHON = "cp312"
FAMILY = ("torch", "torchvision", "torchaudio")


class Prover:
    """Looks for proofs on the default package index."""

    def __init__(self, http: Client) -> None:
        url = default_index(find_uv(os.environ), reporter=Silent())
        if url is None:
            raise SystemExit("uv does not tell the default package index")
        self._http = http
        self._place = Place(
            kind="package-index",
            location=Location.parse(url, origin="the package index").below(),
            configured_by="default",
        )
        self._listed: dict[str, tuple[Wheel, ...]] = {}
        self._bodies: dict[str, str] = {}

    def by_wheel(self, row: Row) -> dict[str, object] | None:
        """The very same file on the package index."""
        twin = next((wheel for wheel in self._wheels(row.project) if wheel.sha256 == row.sha256), None)
        if twin is None or row.sha256 is None:
            return None
        body = self._metadata(twin)
        requires, python = requirements_of(body.encode(), filename=twin.filename) if body else self._inside(twin)
        return _entry(row, requires, python, "wheel")

    def by_metadata(self, row: Row) -> dict[str, object] | None:
        """METADATA of another build of the release, made into what this build's must be."""
        public = row.version.partition("+")[0]
        for wheel in self._wheels(row.project):
            if (
                wheel.version != public
                or f"-{PYTHON}-{PYTHON}-" not in wheel.filename
                or "x86_64" not in wheel.filename
            ):
                continue
            for text in _builds(self._metadata(wheel) or "", public, row.version):
                if hashlib.sha256(text.encode()).hexdigest() == row.metadata_sha256:
                    requires, python = requirements_of(text.encode(), filename=row.filename)
                    return _entry(row, requires, python, "metadata")
        return None

    def by_twin(
        self, row: Row, siblings: list[Row], proven: Mapping[str, dict[str, object]]
    ) -> dict[str, object] | None:
        """A file with the same METADATA, by its hash."""
        for sibling in siblings:
            entry = proven.get(sibling.key) if sibling.metadata_sha256 == row.metadata_sha256 else None
            if entry is not None and row.metadata_sha256 is not None:
                return entry | {"key": row.key, "sha256": row.sha256, "proof": "twin"}
        return None

    def _wheels(self, project: str) -> tuple[Wheel, ...]:
        if project not in self._listed:
            self._listed[project] = load_source(self._place, self._http, projects=[project]).wheels
        return self._listed[project]

    def _metadata(self, wheel: Wheel) -> str:
        """METADATA as text: from the file beside the wheel, else out of a wheel that is small enough to be fetched."""
        if wheel.url not in self._bodies:
            answer = self._http.get(f"{wheel.url}.metadata", accept="*/*")
            self._bodies[wheel.url] = answer.body.decode() if isinstance(answer, Answer) else self._unzipped(wheel)
        return self._bodies[wheel.url]

    def _unzipped(self, wheel: Wheel) -> str:
        import io
        import zipfile

        found = self._http.part(wheel.url, "bytes=0-", limit=64 * 1024 * 1024)
        body = found.body
        if found.total != len(body):
            return ""
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            name = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
            return archive.read(name).decode()

    def _inside(self, wheel: Wheel) -> tuple[tuple[str, ...], str | None]:
        found = read_contents(wheel.url, http=self._http, want=("metadata",), filename=wheel.filename).contents
        return found.requires_dist or (), found.requires_python


def _builds(text: str, public: str, version: str) -> Iterator[str]:
    """What METADATA of another build of the same release may read."""
    named = text.replace(f"\nVersion: {public}\n", f"\nVersion: {version}\n")
    lines = named.split("\n")
    cpu_only = [each for each in lines if not each.startswith(("Requires-Dist: nvidia-", "Requires-Dist: triton"))]
    yield "\n".join(cpu_only) if version.endswith("+cpu") else named


def _entry(row: Row, requires: tuple[str, ...], python: str | None, proof: str) -> dict[str, object]:
    return {
        "key": row.key,
        "sha256": row.sha256,
        "requires": list(requires),
        "requires_python": python,
        "proof": proof,
    }


def fits(row: Row) -> bool:
    """Whether a row is for the target and its hash is on the index."""
    python, abi, platform = row.tag.split("-")
    mine = (python, abi) == (PYTHON, PYTHON) or "py3" in python
    return mine and (row.platform == "linux_x86_64" or platform == "any") and row.listed_hash


def prove(prover: Prover) -> list[dict[str, object]]:
    """Walk from torch over everything it needs; of each project the pinned versions, else the newest that is proven."""
    rows: dict[str, list[Row]] = {}
    for row in recording().on(DAY, variants=VARIANTS):
        if row.channel == "stable" and fits(row):
            rows.setdefault(row.project, []).append(row)
    for each in rows.values():
        each.sort(key=lambda row: (Version(row.version), row.key), reverse=True)
    proven: dict[str, dict[str, object]] = {}
    queue = [Requirement(name) for name in FAMILY]
    while queue:
        wanted = queue.pop()
        candidates = [row for row in rows.get(_normal(wanted.name), ()) if wanted.specifier.contains(row.version)]
        newest = {row.version.partition("+")[0] for row in candidates[:1]}
        open_rows = [row for row in candidates if row.key not in proven and row.version.partition("+")[0] in newest]
        for row in [*open_rows, *open_rows]:  # twice: a twin may come after its sibling
            if row.key in proven:
                continue
            entry = prover.by_wheel(row) or prover.by_metadata(row) or prover.by_twin(row, open_rows, proven)
            if entry is not None:
                proven[row.key] = entry
                queue += [each for each in map(Requirement, entry["requires"]) if _applies(each)]  # type: ignore[arg-type] # a list of texts
        for row in open_rows:
            print(f"{proven[row.key]['proof'] if row.key in proven else 'NOT PROVEN':<10} {row.key}", file=sys.stderr)
    return [proven[key] for key in sorted(proven)]


def _applies(wanted: Requirement) -> bool:
    environment = {
        "extra": "",
        "platform_machine": "x86_64",
        "platform_system": "Linux",
        "python_version": f"3.{PYTHON[3:]}",
        "sys_platform": "linux",
    }
    return wanted.marker is None or wanted.marker.evaluate(environment)


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(os.environ.get("GPUENV_CACHE_DIR", folder))
        with Client(cache=cache / "http", environ=os.environ) as http:
            found = prove(Prover(http))
    TARGET.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
    print(f"wrote {TARGET.relative_to(ROOT)}: {len(found)} wheels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
