"""Reads names: of wheel files, and of the folders of PyTorch's index that hold them."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

from packaging.utils import canonicalize_name

from gpuenv.dataclass import dataclass
from gpuenv.metadata import parse_version

# Wheel file names, "Binary distribution format", packaging.python.org: name-version(-build)?-python-abi-platform.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._]*[A-Za-z0-9])?")
_TAG = re.compile(r"[A-Za-z0-9_.]+")
# Folders of PyTorch's index by their prefix: cpu, xpu, cu and rocm with a version, each perhaps with a suffix
# (cpu-cxx11-abi, cu126_full).
_VARIANT = re.compile(r"(?:cpu|xpu|cu\d{2,4}|rocm\d[\d.]*)(?:[-_][a-z0-9_-]+)?")
_CHANNELS = ("nightly", "test")


@dataclass(frozen=True, slots=True)
class WheelName:
    """The parts of a wheel's file name that a page is read for: normalized project, normalized version."""

    project: str
    version: str


@dataclass(frozen=True, slots=True)
class NameFault:
    """A file name that is not a wheel's, and why."""

    reason: str


def parse_name(filename: str) -> WheelName | NameFault:
    """Read a wheel's file name.

    >>> parse_name("torch-2.10.0+cu128-cp312-cp312-win_amd64.whl")
    WheelName(project='torch', version='2.10.0+cu128')
    >>> parse_name("torch-2.8.0.whl")
    NameFault(reason='not a wheel name: 2 parts instead of 5 or 6')
    """
    parts = filename[: -len(".whl")].split("-")
    if len(parts) not in (5, 6):
        return NameFault(f"not a wheel name: {len(parts)} parts instead of 5 or 6")
    if not _NAME.fullmatch(parts[0]) or not all(_TAG.fullmatch(part) for part in parts[-3:]):
        return NameFault("not a wheel name: characters that no part may have")
    if len(parts) == 6 and not parts[2][:1].isdigit():
        return NameFault("not a wheel name: its build number does not begin with a digit")
    version = _version(parts[1])
    if version is None:
        return NameFault(f"not a wheel name: {parts[1]} is no version")
    return WheelName(_project(parts[0]), version)


@lru_cache(maxsize=4096)
def _version(text: str) -> str | None:
    version = parse_version(text)
    return None if version is None else str(version)


@lru_cache(maxsize=1024)
def _project(text: str) -> str:
    return canonicalize_name(text)


def is_variant(folder: str) -> bool:
    """Tell whether a folder's name is that of a variant."""
    return _VARIANT.fullmatch(folder) is not None


def folders_of(url: str) -> list[str]:
    """The decoded folders in a URL's path, the file's own name left out."""
    path = url.partition("#")[0].partition("?")[0]
    path = path.partition("://")[2].partition("/")[2] if "://" in path else path
    return [unquote(part) for part in path.split("/")[:-1] if part]


def variant_of(url: str) -> str | None:
    """The variant folder a wheel's URL lies in; ``None`` where it lies in none.

    The local part of a version says nothing: aarch64 companions have none, and old folders hold foreign ones.

    >>> variant_of("https://download.pytorch.org/whl/cu128/torch-2.7.0%2Bcu128-cp39-cp39-win_amd64.whl")
    'cu128'
    >>> variant_of("https://download.pytorch.org/whl/triton-3.6.0-cp312-cp312-linux_x86_64.whl") is None
    True
    """
    for folder in reversed(folders_of(url)):
        if is_variant(folder):
            return folder
        if folder in (*_CHANNELS, "whl"):
            return None
    return None


def channel_of(url: str) -> str | None:
    """``nightly`` or ``test`` where the URL has such a folder."""
    return next((folder for folder in folders_of(url) if folder in _CHANNELS), None)
