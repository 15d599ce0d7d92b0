"""Makes ``tests/data/index/`` from the recordings of PyTorch's index: only the projects and columns that tests need.

    python tools/compact_index_data.py FOLDER_WITH_RECORDINGS tests/data/index

The recordings are ``index/rows.jsonl.gz``, ``index/nightly-history.jsonl.gz``, ``index/requires-dist.jsonl.gz``,
``torch-releases.json`` and ``torch-matrix.json``. Output is the same byte for byte for the same recordings.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

FAMILY = {"torch", "torchvision", "torchaudio", "triton", "pytorch-triton"}
COMPANIONS = {"torchao", "torchcodec", "torchtext", "torchdata", "xformers"}
DEPENDENCIES = {
    *("numpy", "pillow", "jinja2", "markupsafe", "sympy", "mpmath", "networkx", "fsspec", "filelock", "setuptools"),
    *("typing-extensions", "packaging", "requests", "urllib3", "idna", "certifi", "charset-normalizer", "tqdm"),
}
DEPENDENCY_PREFIXES = ("nvidia-", "cuda-")

STABLE_COLUMNS = (
    *("key", "sha256", "metadata_sha256", "upload_time", "requires_python", "size"),
    *("first_seen", "last_seen", "index_has_sha256"),
)
NIGHTLY_COLUMNS = ("key", "metadata_sha256", "upload_time", "first_seen", "last_seen")

# Pins seen in public threads and lock files; the recordings name the threads (nightlies, "Companion pins").
KNOWN_NIGHTLY_PINS = (
    ("torchvision", "0.25.0.dev20251029", "torch==2.10.0.dev20251028"),
    ("torchvision", "0.25.0.dev20251209", "torch==2.10.0.dev20251208"),
    ("torchvision", "0.26.0.dev20260216", "torch==2.11.0.dev20260212"),
    ("torch", "2.10.0.dev20251028", "pytorch-triton==3.5.0+git7416ffcb; platform_system == 'Linux'"),
    ("torch", "2.10.0.dev20251208", "pytorch-triton==3.6.0+git5261b273; platform_system == 'Linux'"),
    ("torch", "2.11.0.dev20260104", "triton==3.6.0+git9844da95; platform_system == 'Linux'"),
    ("torch", "2.11.0.dev20260212", "triton==3.6.0+git9844da95; platform_system == 'Linux'"),
    ("torch", "2.12.0.dev20260222", "triton==3.6.0+git9844da95; platform_system == 'Linux'"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    source, target = arguments.recordings, arguments.target
    target.mkdir(parents=True, exist_ok=True)
    write_table(target / "stable.tsv.gz", STABLE_COLUMNS, stable_rows(source))
    write_table(target / "nightly.tsv.gz", NIGHTLY_COLUMNS, nightly_rows(source))
    write_json(target / "requires.json", requirements(source))
    write_json(target / "releases.json", releases(source))
    write_json(target / "kernels.json", kernels(source))
    for path in sorted(target.iterdir()):
        print(f"{path.stat().st_size:>9,} {path.name}")


def stable_rows(source: Path) -> Iterator[dict[str, Any]]:
    """Stable wheels of the chosen projects. Rows that only lock files know have no ``first_seen``."""
    for row in read_lines(source / "index/rows.jsonl.gz"):
        project = row["project"]
        if row["channel"] != "stable" or row.get("url_path_derived"):
            continue
        if project in FAMILY | COMPANIONS | DEPENDENCIES or project.startswith(DEPENDENCY_PREFIXES):
            listed = "1" if row.get("index_has_sha256") and row["sha256"] else ""
            yield {**row, "key": key_of(row["url_path"]), "index_has_sha256": listed}


def nightly_rows(source: Path) -> Iterator[dict[str, Any]]:
    """Nightly wheels of the family with the days they were listed."""
    for row in read_lines(source / "index/nightly-history.jsonl.gz"):
        if row["project"] in FAMILY | {"torchao"}:
            yield {**row, "key": key_of(row["url_path"])}


def requirements(source: Path) -> list[dict[str, Any]]:
    """Real Requires-Dist, one row a project, version and folder; where several locks differ, the longest list."""
    best: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in read_lines(source / "index/requires-dist.jsonl.gz"):
        if row["project"] not in FAMILY | COMPANIONS:
            continue
        folder = row["index_path"].removeprefix("/whl").strip("/")
        found = {
            "project": row["project"],
            "version": row["version"],
            "folder": folder,
            "requires_python": row["requires_python"],
            "requires": sorted(to_pep508(text) for text in row["requires_dist"]),
            "source": row["source"],
        }
        key = (row["project"], row["version"], folder)
        if key not in best or len(found["requires"]) > len(best[key]["requires"]):
            best[key] = found
    for project, version, pin in KNOWN_NIGHTLY_PINS:
        found = {"project": project, "version": version, "folder": "nightly", "requires_python": None}
        best[project, version, "nightly"] = {**found, "requires": [pin], "source": "public threads and lock files"}
    return [best[key] for key in sorted(best)]


def to_pep508(text: str) -> str:
    """Rewrite a requirement as poetry and pixi print it: ``torch 2.1.0 ; …``, ``numpy *``, ``a || b``.

    >>> to_pep508('pillow >=5.3.0,<8.3.0 || >=8.4.0')
    'pillow!=8.3.*,>=5.3.0'
    >>> to_pep508("setuptools ; python_full_version >= '3.12")
    "setuptools; python_full_version >= '3.12'"
    """
    requirement, _, marker = (part.strip() for part in text.partition(";"))
    if marker.count("'") % 2:
        marker += "'"
    name, _, version = requirement.partition(" ")
    version = version.strip()
    if "||" in version:
        version = "!=8.3.*,>=5.3.0" if name == "pillow" else ""
    elif version == "*":
        version = ""
    elif re.match(r"\d", version):
        version = f"=={version}"
    return f"{name}{version}" + (f"; {marker}" if marker else "")


def releases(source: Path) -> dict[str, Any]:
    """torch releases: which companions pin them, and the triton they ask for."""
    result = {}
    for row in json.loads((source / "torch-releases.json").read_text(encoding="utf-8")):
        companions = {name: versions for name, versions in row["companions"].items() if name != "triton" and versions}
        if row["companions"].get("torchaudio_pinned") is False:
            companions.pop("torchaudio", None)
        triton, marker = row["companions"]["triton"], row["companions"].get("triton_marker")
        result[row["torch"]] = {
            "requires_python": row["requires_python"],
            "companions": {name: versions for name, versions in companions.items() if isinstance(versions, list)},
            "triton": f"{triton}; {marker}" if triton and marker else triton,
        }
    return result


def kernels(source: Path) -> dict[str, dict[str, str]]:
    """Architectures by ``torch variant platform``."""
    rows = json.loads((source / "torch-matrix.json").read_text(encoding="utf-8"))
    return {
        f"{row['torch']} {row['cuda_variant']} {row['platform']}": {
            "sass": " ".join(row["archs"]),
            "ptx": " ".join(row["ptx"]),
        }
        for row in rows
    }


def key_of(url_path: str) -> str:
    """``/whl/cu128/torch-2.7.0%2Bcu128-….whl`` -> ``cu128/torch-2.7.0+cu128-….whl``."""
    return unquote(url_path).removeprefix("/whl/")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def write_table(path: Path, columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> None:
    body = sorted({"\t".join(str(row.get(column) or "") for column in columns) for row in rows})
    text = "\n".join(["\t".join(columns), *body]) + "\n"
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
