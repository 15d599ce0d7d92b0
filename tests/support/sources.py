"""Builds small source archives whose build backend lies in the tree: nothing has to be fetched to build them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping

from support.wheels import BuiltWheel, render_metadata

BACKEND = '''\
"""Writes a wheel that says beside which torch, and with which variables, it was built."""

import base64, hashlib, json, os, pathlib, sys, time, urllib.request, zipfile

HERE = pathlib.Path(__file__).parent
TOLD = ("TORCH_CUDA_ARCH_LIST", "MAX_JOBS", "FLASH_ATTENTION_FORCE_BUILD", "FLASH_ATTN_CUDA_ARCHS", "HTTPS_PROXY")


def build_wheel(folder, config_settings=None, metadata_directory=None):
    import torch

    settings = json.loads((HERE / "settings.json").read_text())
    if settings.get("mark"):
        pathlib.Path(settings["mark"]).touch()
    while settings.get("wait") and not pathlib.Path(settings["wait"]).exists():
        time.sleep(0.02)
    if settings.get("fetch"):
        urllib.request.urlopen(settings["fetch"], timeout=5).read()
    if settings.get("fail"):
        sys.exit(settings["fail"])
    name, version = settings["name"], settings["version"]
    stem = name.replace("-", "_")
    told = {each: os.environ[each] for each in TOLD if os.environ.get(each)}
    told["torch"] = torch.__version__
    tag = settings.get("tag", "py3-none-any")
    info = f"{stem}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {each}\\n" for each in settings.get("requires", ()))
    files = {
        f"{stem}/__init__.py": f"TOLD = {told!r}\\n".encode(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n{requires}".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: {tag}\\n".encode(),
    }
    for path in sorted((HERE / "libraries").glob("*")) if (HERE / "libraries").is_dir() else ():
        files[f"{stem}/{path.name}"] = path.read_bytes()
    rows = []
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(data)}")
    files[f"{info}/RECORD"] = ("\\n".join([*rows, f"{info}/RECORD,,"]) + "\\n").encode()
    filename = f"{stem}-{version}-{tag}.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / filename, "w") as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), data)
    return filename
'''
PROJECT = '[build-system]\nrequires = {requires}\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def source_archive(
    name: str,
    version: str,
    *,
    files: Mapping[str, bytes] | None = None,
    build_requires: tuple[str, ...] = (),
    **settings: object,
) -> BuiltWheel:
    """A source archive of a package; ``settings`` are the backend's: ``mark`` (a file that it touches), ``fetch`` (an
    address that it reads), ``wait`` (a file without which it does not go on), ``fail`` (its last words), ``requires``,
    ``tag``."""
    stem = name.replace("-", "_")
    told = {"name": name, "version": version, **settings}
    contents = {
        "PKG-INFO": render_metadata(name, version, requires=(), requires_python=None),
        "pyproject.toml": PROJECT.format(requires=json.dumps(list(build_requires))).encode(),
        "backend.py": BACKEND.encode(),
        "settings.json": json.dumps(told).encode(),
        **(files or {}),
    }
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for path, data in contents.items():
            entry = tarfile.TarInfo(f"{stem}-{version}/{path}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    body = gzip.compress(plain.getvalue(), mtime=0)
    return BuiltWheel(filename=f"{stem}-{version}.tar.gz", body=body, metadata=contents["PKG-INFO"])
