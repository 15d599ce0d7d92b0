"""Names as indexes, wheels and drivers write them: platforms, versions, GPUs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gpuenv.knowledge.facts import GpuName, Platform

#: Brands that a person leaves out: "RTX 5090" is the GeForce, "V100" the Tesla.
_BRANDS = ("geforce", "tesla", "quadro", "grid")
_CUDNN = re.compile(r"nvidia-cudnn-cu[0-9]+\s*\(?==\s*([0-9]+(?:\.[0-9]+)*)(?![0-9.*])", re.IGNORECASE)


def public(version: str) -> str:
    """The public part of a version (PEP 440): ``2.10.0+cu128`` is ``2.10.0``."""
    return version.partition("+")[0]


def local(version: str) -> str:
    """The local part of a version, empty where there is none."""
    return version.partition("+")[2]


def platform_of_filename(filename: str) -> Platform | None:
    """The platform in a wheel's name; ``None`` for a pure wheel and for platforms without torch.

    >>> platform_of_filename("torch-2.10.0-3-cp312-cp312-manylinux_2_28_x86_64.whl")
    'linux_x86_64'
    """
    tags = filename.removesuffix(".whl").rpartition("-")[2].split(".")
    for tag in tags:
        if tag == "win_amd64":
            return "win_amd64"
        if "linux" in tag and tag.endswith("_x86_64"):
            return "linux_x86_64"
        if "linux" in tag and tag.endswith("_aarch64"):
            return "linux_aarch64"
        if tag.startswith("macosx") and tag.endswith(("_arm64", "_universal2")):
            return "macos_arm64"
        if tag.startswith("macosx") and tag.endswith("_x86_64"):
            return "macos_x86_64"
    return None


def cudnn_of(requires_dist: Iterable[str]) -> str | None:
    """The cuDNN that a wheel pins, ``"9.10.2.21"``; ``None`` where its requirements name none exactly."""
    return next((found[1] for text in requires_dist if (found := _CUDNN.match(text.strip()))), None)


def gpu_key(name: str) -> str:
    """A name as it is compared: no case, no "NVIDIA", hyphens as spaces.

    >>> gpu_key("NVIDIA A100-SXM4-80GB")
    'a100 sxm4 80gb'
    """
    words = name.casefold().replace("-", " ").split()
    return " ".join(words[1:] if words[:1] == ["nvidia"] else words)


def find_gpu(gpus: Sequence[GpuName], name: str) -> tuple[GpuName, ...]:
    """All GPUs of a name; where none has it exactly, those that have it without their brand."""
    wanted = gpu_key(name)
    if not wanted:
        return ()
    exact = tuple(gpu for gpu in gpus if wanted in all_keys(gpu))
    bare = unbranded(wanted)  # once: a driver may give a name of any length
    return exact or tuple(gpu for gpu in gpus if bare in map(unbranded, all_keys(gpu)))


def all_keys(gpu: GpuName) -> tuple[str, ...]:
    """Every name of a GPU, as names are compared."""
    return tuple(gpu_key(text) for text in (gpu.name, *gpu.aliases))


def unbranded(key: str) -> str:
    """A key without the brands that a person leaves out; the key where nothing else is in it."""
    return " ".join(word for word in key.split() if word not in _BRANDS) or key
