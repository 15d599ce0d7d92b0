"""Lays environments onto the disk as installers leave them: dist-info folders, RECORDs, torch's own files."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpuenv.installed.marker import MarkedPackage, Marker, digest, write_marker

PYTHON = "3.12.4"


class Environment:
    """An environment that grows by calls."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.base = path.parent / f"{path.name}-base"
        self.site = path / "lib/python3.12/site-packages"
        self.site.mkdir(parents=True)
        (path / "bin").mkdir()
        (self.base / "bin").mkdir(parents=True)
        (self.base / "include/python3.12").mkdir(parents=True)
        (self.base / "include/python3.12/Python.h").touch()
        (path / "bin/python").write_text("")
        (path / "bin/python").chmod(0o755)
        (path / "pyvenv.cfg").write_text(f"home = {self.base / 'bin'}\nversion_info = {PYTHON}\n")
        self.packages: list[MarkedPackage] = []

    def install(
        self,
        name: str,
        version: str,
        *,
        requires: Sequence[str] = (),
        files: Mapping[str, str | bytes] | None = None,
        installer: str = "uv",
    ) -> Environment:
        module = name.replace("-", "_")
        info = f"{module}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += "".join(f"Requires-Dist: {each}\n" for each in requires)
        contents: dict[str, str | bytes] = {f"{module}/__init__.py": "", **(files or {}), f"{info}/METADATA": metadata}
        contents[f"{info}/INSTALLER"] = installer
        contents[f"{info}/WHEEL"] = "Wheel-Version: 1.0\n"
        rows = []
        for place, content in contents.items():
            body = content.encode() if isinstance(content, str) else content
            path = self.site / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            hashed = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
            rows.append(f"{place},sha256={hashed},{len(body)}\n")
        record = self.site / info / "RECORD"
        record.write_text("".join(rows) + f"{info}/RECORD,,\n")
        self.packages.append(
            MarkedPackage(
                name=name, version=version, record=digest(record), family=name.startswith(("torch", "triton"))
            )
        )
        return self

    def torch(
        self,
        version: str,
        *,
        cuda: str | None = None,
        archs: Sequence[str] | None = (),
        ptx: Sequence[str] = (),
        hip: str | None = None,
        requires: Sequence[str] = (),
        cxx11_abi: bool | None = None,
        installer: str = "uv",
    ) -> Environment:
        """``archs=None`` leaves out the header that tells them."""
        text = f"__version__ = {version!r}\ncuda: str | None = {cuda!r}\ngit_version = 'abc'\nhip = {hip!r}\n"
        files = {"torch/version.py": text}
        if cuda is not None and archs is not None:
            codes = [f"-gencode;arch=compute_{a},code=sm_{a}" for a in archs]
            codes += [f"-gencode;arch=compute_{a},code=compute_{a}" for a in ptx]
            files["torch/include/ATen/cuda/CUDAConfig.h"] = f'#define NVCC_FLAGS_EXTRA "{";".join(codes)}"\n'
        if cxx11_abi is not None:
            flags = f'set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI={int(cxx11_abi)}")\n'
            files["torch/share/cmake/Torch/TorchConfig.cmake"] = flags
        return self.install("torch", version, requires=requires, files=files, installer=installer)

    def without(self, name: str) -> Environment:
        """Take a package's metadata away, as an installer does that puts another in its place."""
        (info,) = self.site.glob(f"{name.replace('-', '_')}-*.dist-info")
        shutil.rmtree(info)
        return self

    def came_from(self, name: str, origin: str) -> Environment:
        """Say from which address a package was installed."""
        (info,) = self.site.glob(f"{name.replace('-', '_')}-*.dist-info")
        (info / "direct_url.json").write_text(json.dumps({"url": origin}))
        return self

    def of_conda(self) -> Environment:
        """As conda lays one out: no ``pyvenv.cfg``."""
        (self.path / "pyvenv.cfg").unlink()
        (self.path / "conda-meta").mkdir()
        return self

    def marked(self, *, profile: str = "auto", lock: str = "0" * 64) -> Environment:
        """Make it one of gpuenv's, as it stands now."""
        marker = Marker(
            gpuenv="0.1.0",
            uv="0.12.0",
            python=PYTHON,
            profile=profile,
            lock=lock,
            lock_name=f"pylock.{profile}.toml",
            created="2026-11-22T10:00:00Z",
            packages=tuple(self.packages),
        )
        write_marker(self.path, marker)
        return self
