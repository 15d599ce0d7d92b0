"""Which wheel of a pinned package an installer takes on a machine."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from gpuenv.index.names import channel_of, variant_of
from gpuenv.knowledge.names import local, public
from gpuenv.lock.model import MachineTarget
from gpuenv.lock.target import best_wheel
from gpuenv.model.wheel import SourceKind, Wheel
from gpuenv.net.location import redact
from gpuenv.project.pins import Pin
from gpuenv.project.verdicts import Bench
from gpuenv.select.target import Refusal, TargetTags


def wheel_of(pin: Pin, bench: Bench) -> Wheel | Refusal | None:
    """The wheel that an installer takes there: of those that the file names, else the one its version stands for.

    ``None`` where the version is open, or where it is no wheel; a refusal where none is for the machine.
    """
    if pin.conda or pin.source or not pin.version:
        return None
    filename, url = _named(pin, bench), ""
    if pin.wheels:
        files = {each.filename: each for each in pin.wheels if each.filename.endswith(".whl")}
        fitting = fitting_files(tuple(files), bench)
        if isinstance(fitting, Refusal):
            return fitting
        filename = best_wheel(fitting, _target(bench))
        url = files[filename].url
    version = pin.version
    source: SourceKind = "package-index"
    address = url if "://" in url else pin.index
    on_pytorch = _host(address) in bench.knowledge.pytorch_hosts
    variant = variant_of(url if "://" in url else f"{address.rstrip('/')}/{filename}") if address else None
    if on_pytorch:
        source = "pytorch"
    elif variant is not None or (pin.index and bench.usual_index and pin.index != bench.usual_index):
        source = "mirror"
    if not pin.wheels and not local(version) and pin.name == "torch":
        version, variant = _from_extra(pin, version, variant, bench)
    file = next((each for each in pin.wheels if each.filename == filename), None)
    return Wheel(
        project=pin.name,
        version=version,
        filename=filename,
        url=url or filename,
        source=source,
        channel="nightly" if channel_of(url) == "nightly" or ".dev" in version else "stable",
        variant=variant,
        sha256=(file.sha256 or None) if file else None,
        size=file.size if file else None,
    )


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:  # a half of the brackets of an IPv6 address
        return ""


def _from_extra(pin: Pin, version: str, variant: str | None, bench: Bench) -> tuple[str, str | None]:
    """A plain ``==2.9.1`` beside an index of PyTorch's layout takes that one's build: ``2.9.1+cu128`` is higher."""
    for address in pin.extra_indexes:
        found = variant_of(f"{address.rstrip('/')}/x")
        if found and (public(version), found, bench.platform) in bench.knowledge.kernels:
            return f"{version}+{found}", found
    return version, variant


def fitting_files(filenames: Sequence[str], bench: Bench) -> tuple[str, ...] | Refusal:
    """Those of several wheels that can be installed on the machine, or why none can."""
    tags = TargetTags(machine=bench.machine, pythons=(bench.python,), insist_unknown=True)
    found, refusals = [], []
    for filename in filenames:
        parts = filename.removesuffix(".whl").split("-")
        if len(parts) < 5:
            continue
        refusal = tags.refuses_platform(parts[-1])
        accepted = tags.accepts_pythons(parts[-3], parts[-2]) if refusal is None else refusal
        if isinstance(accepted, Refusal):
            refusals.append(accepted)
        else:
            found.append(filename)
    if found or not refusals:
        return tuple(found) or Refusal("platform", "the file names no wheel")
    nearest = min(refusals, key=lambda each: ("abi", "python", "libc", "platform").index(each.reason))
    if nearest.reason == "platform":
        return Refusal("platform", f"no wheel for {tags.words} is locked")
    if nearest.reason == "libc":
        return Refusal("libc", f"its wheels: {nearest.what}")
    return Refusal("python", f"no wheel for Python {bench.python} on {tags.words} is locked")


_TAGS = {
    "linux_x86_64": "manylinux_2_28_x86_64",
    "linux_aarch64": "manylinux_2_28_aarch64",
    "win_amd64": "win_amd64",
    "macos_arm64": "macosx_11_0_arm64",
    "macos_x86_64": "macosx_10_9_x86_64",
}


def _named(pin: Pin, bench: Bench) -> str:
    python = f"cp{bench.python.replace('.', '').removesuffix('t')}"
    tag = _TAGS.get(bench.platform, "any")
    return f"{pin.name.replace('-', '_')}-{pin.version}-{python}-{python}-{tag}.whl"


def _target(bench: Bench) -> MachineTarget:
    machine = bench.machine
    return MachineTarget(
        os=machine.os, arch=machine.arch, libc=machine.libc, python=bench.python, compute_capabilities=(), driver=None
    )


def open_words(pin: Pin) -> str:
    """Why a pin stands for no wheel."""
    if pin.source:
        return "comes as source code, and is built on the machine"
    if pin.conda:
        return f"which of conda's builds it is stands nowhere ({pin.conda})"
    return f"{redact(pin.stated) or pin.name} names no exact version"
