"""Builds small, valid wheels whose bytes depend on nothing but the arguments."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import struct
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

LINUX = "manylinux_2_28_x86_64"

_CUDA_CONFIG = """\
#pragma once

// Test these using #if AT_CUDNN_ENABLED(), not #ifdef.
#define AT_CUDNN_ENABLED() 1
#define AT_CUSPARSELT_ENABLED() 1
#define AT_HIPSPARSELT_ENABLED() 0
#define AT_ROCM_ENABLED() 0
#define AT_MAGMA_ENABLED() 1

#define NVCC_FLAGS_EXTRA "{flags}"
"""

_TORCH_INIT = """\
from torch.version import __version__

class cuda:
    @staticmethod
    def is_available():
        return False
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltWheel:
    """A wheel file in memory. ``metadata`` is its METADATA, as PEP 658 would offer it."""

    filename: str
    body: bytes
    metadata: bytes
    requires_python: str | None = None

    @property
    def project(self) -> str:
        return normalize(self.filename.split("-")[0])

    @property
    def version(self) -> str:
        return self.filename.split("-")[1]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    @property
    def metadata_sha256(self) -> str:
        return hashlib.sha256(self.metadata).hexdigest()

    def write(self, folder: Path) -> Path:
        """Write the file into ``folder`` (made if missing) and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.filename
        path.write_bytes(self.body)
        return path


@lru_cache(maxsize=4096)
def normalize(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def build_wheel(
    name: str,
    version: str,
    *,
    tag: str = "py3-none-any",
    requires: Sequence[str] = (),
    requires_python: str | None = None,
    files: Mapping[str, str | bytes] | None = None,
    members: int = 0,
    compress: bool = False,
    entry_points: str | None = None,
) -> BuiltWheel:
    """Build one wheel. Without ``files`` it holds a module ``<name>/__init__.py`` with ``__version__``.

    ``members`` adds that many small headers after the first files, so that the zip directory has the size of a real
    one. Stored unless ``compress`` (deflate depends on the zlib in use, stored bytes do not).
    """
    stem = re.sub(r"[-_.]+", "_", name)
    contents: dict[str, bytes] = {}
    for path, text in (files if files is not None else {f"{stem}/__init__.py": f"__version__ = {version!r}\n"}).items():
        contents[path] = text.encode() if isinstance(text, str) else text
    for number in range(members):
        contents[f"{stem}/include/generated/headers/of/the/library/header_{number:06d}.h"] = b"#pragma once\n"
    info = f"{stem}-{version}.dist-info"
    metadata = render_metadata(name, version, requires=requires, requires_python=requires_python)
    contents[f"{info}/METADATA"] = metadata
    contents[f"{info}/WHEEL"] = _wheel_file(tag)
    if entry_points is not None:
        contents[f"{info}/entry_points.txt"] = entry_points.encode()
    contents[f"{info}/RECORD"] = _record(contents, info)
    return BuiltWheel(
        filename=f"{stem}-{version}-{tag}.whl",
        body=pack(contents.items(), compress=compress),
        metadata=metadata,
        requires_python=requires_python,
    )


def torch_wheel(
    version: str,
    variant: str | None,
    *,
    archs: Sequence[str] = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"),
    ptx: Sequence[str] = (),
    tag: str = f"cp312-cp312-{LINUX}",
    local: bool = True,
    requires: Sequence[str] = (),
    requires_python: str | None = ">=3.10",
    git: str = "0" * 40,
    files: Mapping[str, str | bytes] | None = None,
    members: int = 0,
    compress: bool = False,
) -> BuiltWheel:
    """Build a wheel that looks like torch from outside: ``torch_wheel("2.10.0", "cu128")``.

    ``variant`` ``"cpu"`` or ``None`` is a build without CUDA, which has no ``CUDAConfig.h``. ``local`` appends the
    variant to the version as PyTorch's own index does. ``members`` headers stand between the first files and the rest;
    a fifth of them come before ``CUDAConfig.h``, as in the real archive.
    """
    cuda = cuda_of(variant)
    full = f"{version}+{variant}" if local and variant and "+" not in version else version
    contents: dict[str, str | bytes] = {
        "torch/__init__.py": _TORCH_INIT,
        "torch/version.py": version_file(full, cuda=cuda, git=git),
    }
    headers = [f"torch/include/ATen/ops/generated_operator_header_{number:06d}.h" for number in range(members)]
    contents.update(dict.fromkeys(headers[: members // 5], b"#pragma once\n"))
    if cuda is not None:
        contents["torch/include/ATen/cuda/CUDAConfig.h"] = cuda_config(archs, ptx)
    contents.update(dict.fromkeys(headers[members // 5 :], b"#pragma once\n"))
    contents.update(files or {})
    return build_wheel(
        "torch", full, tag=tag, requires=requires, requires_python=requires_python, files=contents, compress=compress
    )


def companion_wheel(
    name: str,
    version: str,
    variant: str | None,
    *,
    compares: int = 2,
    tag: str = f"cp312-cp312-{LINUX}",
    requires: Sequence[str] = (),
    files: Mapping[str, str | bytes] | None = None,
) -> BuiltWheel:
    """Build a companion whose name does not tell its build: ``companion_wheel("torchaudio", "2.11.0", "cu130")``.

    ``version.py`` tells it, as in the real wheels, and importing the package compares the first ``compares`` parts of
    its CUDA with torch's, as the real ones do. ``None``: nothing tells.
    """
    own = f"{version}+{variant}" if variant else version
    check = (
        "import torch.version\nfrom .version import __version__\n"
        f"own, theirs = {cuda_of(variant)!r}, getattr(torch.version, 'cuda', None)\n"
        f"if own and theirs and own.split('.')[:{compares}] != theirs.split('.')[:{compares}]:\n"
        f"    raise RuntimeError(f'{name} and torch were compiled with different CUDA versions: {{own}}, {{theirs}}')\n"
    )
    contents = {f"{name}/__init__.py": check, f"{name}/version.py": f"__version__ = {own!r}\ngit_version = 'abc'\n"}
    return build_wheel(name, version, tag=tag, requires=requires, files={**contents, **(files or {})})


def cuda_of(variant: str | None) -> str | None:
    """``cu128`` -> ``12.8``; ``None`` for a build without CUDA."""
    match = re.match(r"cu(\d+)(\d)", variant or "")
    return f"{match[1]}.{match[2]}" if match else None


def cuda_config(archs: Sequence[str], ptx: Sequence[str] = ()) -> str:
    """``CUDAConfig.h`` with the flags of a build for ``archs`` (``sm_90``) and PTX of ``ptx`` (``compute_120``)."""
    flags = [f"-gencode;arch=compute_{arch.removeprefix('sm_')},code={arch}" for arch in archs]
    flags += [f"-gencode;arch={target},code={target}" for target in ptx]
    return _CUDA_CONFIG.format(flags=";".join(flags))


def version_file(version: str, *, cuda: str | None, git: str) -> str:
    """``torch/version.py`` as the real build writes it."""
    return (
        "from typing import Optional\n\n"
        "__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip', 'rocm', 'xpu']\n"
        f"__version__ = {version!r}\ndebug = False\n"
        f"cuda: Optional[str] = {cuda!r}\ngit_version = {git!r}\n"
        "hip: Optional[str] = None\nrocm: Optional[str] = None\nxpu: Optional[str] = None\n"
    )


def render_metadata(name: str, version: str, *, requires: Sequence[str], requires_python: str | None) -> bytes:
    """METADATA of a distribution."""
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    if requires_python:
        lines.append(f"Requires-Python: {requires_python}")
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    return ("\n".join(lines) + "\n").encode()


def pack(contents: Iterable[tuple[str, bytes]], *, compress: bool = False) -> bytes:
    """Zip ``contents`` in the given order, without dates or owners."""
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for path, body in contents:
            entry = zipfile.ZipInfo(path, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            entry.compress_type = method
            archive.writestr(entry, body)
    return buffer.getvalue()


def _wheel_file(tag: str) -> bytes:
    pythons, abis, platforms = tag.rsplit("-", 2)
    pure = "true" if platforms == "any" else "false"
    lines = ["Wheel-Version: 1.0", "Generator: gpuenv-tests", f"Root-Is-Purelib: {pure}"]
    for python in pythons.split("-")[-1].split("."):
        for abi in abis.split("."):
            lines += [f"Tag: {python}-{abi}-{platform}" for platform in platforms.split(".")]
    return ("\n".join(lines) + "\n").encode()


def _record(contents: Mapping[str, bytes], info: str) -> bytes:
    rows = []
    for path, body in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(body)}")
    rows.append(f"{info}/RECORD,,")
    return ("\n".join(rows) + "\n").encode()


def as_zip64(body: bytes) -> bytes:
    """Rewrite an archive the way one over 4 GiB is written: zip64 end record, sizes and offsets in extra fields."""
    place = body.rfind(b"PK\x05\x06")
    _, _, _, _, count, size, start, _ = struct.unpack_from("<4s4H2LH", body, place)
    entries, at = [], start
    while at < start + size:
        head = list(struct.unpack_from("<4s6H3L5H2L", body, at))
        name_size, extra_size, comment_size = head[10], head[11], head[12]
        name = body[at + 46 : at + 46 + name_size]
        extra = struct.pack("<2H3Q", 1, 24, head[9], head[8], head[16])
        at += 46 + name_size + extra_size + comment_size
        head[8] = head[9] = head[16] = 0xFFFFFFFF
        head[11], head[12] = len(extra), 0
        entries.append(struct.pack("<4s6H3L5H2L", *head) + name + extra)
    directory = b"".join(entries)
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, start + len(directory), 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return body[:start] + directory + end64 + locator + end
