"""What Linux itself says about the machine: platform, NVIDIA hardware, and the kernel's side of the driver.

Everything is read from files below ``root``; no program is run and no library is loaded, so a made-up tree is as good
as a machine.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from gpuenv.dataclass import dataclass

NVIDIA_VENDOR = "0x10de"
DISPLAY_CLASS = "0x03"
"""PCI base class 03h, display controllers: compute cards are 0302h; the audio and USB functions are other classes."""

OTHER_MAKERS = {"0x1002": "AMD", "0x8086": "Intel"}
"""PCI vendors of GPUs that torch has builds for, and that are not NVIDIA's."""
COMPUTE_CLASSES = (DISPLAY_CLASS, "0x12")
"""Display controllers, and base class 12h, processing accelerators: where AMD's Instinct cards are."""

LIBRARY_FOLDERS = (
    "usr/lib/wsl/lib", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/lib",
    "usr/local/nvidia/lib64", "run/opengl-driver/lib", "usr/lib/aarch64-linux-gnu/nvidia",
    "usr/lib/aarch64-linux-gnu/tegra",
)  # fmt: skip
"""Where driver packages, container runtimes, WSL, NixOS and JetPack put libnvidia-ml."""

_MODULE = re.compile(r"Kernel Module(?:\s+for\s+\S+)?\s+(\d+(?:\.\d+)+)")
_GLIBC = re.compile(rb"GNU C Library [^\0\n]*version (\d+\.\d+)")
_MUSL = re.compile(rb"\0(1\.\d{1,2}\.\d{1,2})\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class PciGpu:
    """An NVIDIA display device on the PCI bus. ``bound_to`` names the kernel driver that owns it, if any."""

    address: str
    device: str
    """PCI device id, ``"0x2b85"``."""
    bound_to: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherGpu:
    """A display or compute device of another maker on the PCI bus."""

    address: str
    device: str
    """Vendor and device id, ``"1002:744c"``."""
    maker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelGpu:
    """A GPU as the kernel driver lists it under /proc/driver/nvidia/gpus."""

    address: str
    name: str | None
    uuid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """The loaded kernel module; inside a container the host's."""

    version: str
    source: str
    open: bool | None
    """Whether it is the open flavour; ``None`` where that was not named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine as its operating system describes it. Each ``…_by`` field names where the fact was read."""

    libc: str | None
    libc_by: str
    wsl: bool
    wsl_by: str
    container: bool
    container_by: str
    module: Module | None
    pci: tuple[PciGpu, ...] | None
    """``None`` where there is no PCI bus to look at, or one that shows no device at all (WSL, Jetson, a sandbox)."""
    kernel_gpus: tuple[KernelGpu, ...]
    nodes: tuple[str, ...]
    """Device nodes with owner and mode: ``/dev/nvidiactl root:root 0666``."""
    tegra: str | None
    """The system-on-chip of a Jetson, ``"tegra234"``."""
    wsl_driver: bool
    """Windows passes a GPU through (/dev/dxg) and brings NVIDIA's libraries for it."""
    wsl_gpu: bool
    others: tuple[OtherGpu, ...] = ()
    """GPUs of other makers on the PCI bus."""
    uvm: bool | None = None
    """Whether the module nvidia_uvm, without which CUDA does not start, is loaded; ``None`` where that cannot be
    read."""

    def has_node(self, name: str) -> bool:
        """Whether /dev holds the device node of that name."""
        return any(node.split()[0] == f"/dev/{name}" for node in self.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What is left of a driver that does not work; read only then."""

    libraries: tuple[str, ...] = ()
    """Every libnvidia-ml below the usual folders, as absolute paths."""
    module_built: bool | None = None
    """Whether an NVIDIA module exists for the running kernel; ``None`` where the list of modules cannot be read."""
    secure_boot: bool | None = None
    kernel: str = "the running kernel"
    """Its release as ``uname -r`` prints it, or words for it."""


def read_host(root: Path, *, confstr: Callable[[], str | None] | None = None) -> Host:
    """Read everything that is cheap to read. ``confstr`` asks the running C library, which is faster than its file."""
    wsl, wsl_by = _wsl(root)
    container, container_by = _container(root)
    libc, libc_by = _libc(root, confstr)
    dxg = (root / "dev/dxg").exists()
    pci, others = _pci(root)
    modules = root / "sys/module"
    return Host(
        libc=libc,
        libc_by=libc_by,
        wsl=wsl,
        wsl_by=wsl_by,
        container=container,
        container_by=container_by,
        module=_module(root),
        pci=pci,
        kernel_gpus=_kernel_gpus(root),
        nodes=_nodes(root),
        tegra=_tegra(root),
        wsl_driver=dxg and any((root / "usr/lib/wsl/lib").glob("libnvidia-ml.so*")),
        wsl_gpu=dxg,
        others=others,
        uvm=(modules / "nvidia_uvm").is_dir() if modules.is_dir() else None,
    )


def running_libc() -> str | None:
    """What the C library of this process calls itself (``"glibc 2.39"``); ``None`` for musl, which does not say."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError, AttributeError):
        return None


def read_remains(root: Path) -> Remains:
    """Look for what is left of a driver that does not work."""
    release = text_of(root / "proc/sys/kernel/osrelease").strip()
    found = {path for folder in LIBRARY_FOLDERS for path in (root / folder).glob("libnvidia-ml.so*")}
    modules = root / "lib/modules" / (release or "unknown") / "modules.dep"
    return Remains(
        libraries=tuple(sorted(f"/{path.relative_to(root).as_posix()}" for path in found)),
        module_built="/nvidia.ko" in text_of(modules) if modules.is_file() else None,
        secure_boot=_secure_boot(root),
        kernel=release or "the running kernel",
    )


def _secure_boot(root: Path) -> bool | None:
    """Whether the firmware enforces signed modules (EFI variable SecureBoot: four bytes of attributes, then 0 or 1)."""
    for variable in (root / "sys/firmware/efi/efivars").glob("SecureBoot-*"):
        with suppress(OSError):
            return variable.read_bytes()[-1:] == b"\1"
    return None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def text_of(path: Path) -> str:
    """The text of a file of the system; empty where it cannot be read."""
    return _bytes(path).decode("utf-8", errors="replace")


def _entries(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from sorted(folder.iterdir())


def _module(root: Path) -> Module | None:
    long = text_of(root / "proc/driver/nvidia/version")
    opened = "Open Kernel Module" in long if long else None
    version = text_of(root / "sys/module/nvidia/version").strip()
    if re.fullmatch(r"\d+(?:\.\d+)+", version):
        return Module(version=version, source="/sys/module/nvidia/version", open=opened)
    match = _MODULE.search(long)
    if match:
        return Module(version=match[1], source="/proc/driver/nvidia/version", open=opened)
    return None


def _pci(root: Path) -> tuple[tuple[PciGpu, ...] | None, tuple[OtherGpu, ...]]:
    """NVIDIA's GPUs and those of others; ``None`` in place of NVIDIA's where no device at all is shown."""
    found, others, devices = [], [], 0
    for device in _entries(root / "sys/bus/pci/devices"):
        vendor = text_of(device / "vendor").strip().lower()
        devices += bool(vendor)
        if vendor != NVIDIA_VENDOR and vendor not in OTHER_MAKERS:
            continue
        kind = text_of(device / "class").strip()
        number = text_of(device / "device").strip().lower()
        if vendor == NVIDIA_VENDOR and kind.startswith(DISPLAY_CLASS):
            found.append(PciGpu(address=device.name, device=number, bound_to=_driver(device)))
        elif vendor != NVIDIA_VENDOR and kind.startswith(COMPUTE_CLASSES):
            label = f"{vendor.removeprefix('0x')}:{number.removeprefix('0x')}"
            others.append(OtherGpu(address=device.name, device=label, maker=OTHER_MAKERS[vendor]))
    return (tuple(found) if devices else None), tuple(others)


def _driver(device: Path) -> str | None:
    try:
        return (device / "driver").readlink().name
    except OSError:
        return None


def _kernel_gpus(root: Path) -> tuple[KernelGpu, ...]:
    found = []
    for folder in _entries(root / "proc/driver/nvidia/gpus"):
        pairs = (line.partition(":") for line in text_of(folder / "information").splitlines())
        facts = {key.strip(): value.strip() for key, _, value in pairs}
        uuid = facts.get("GPU UUID") or None
        if uuid is not None and "?" in uuid:  # the driver prints question marks until the GPU is first used
            uuid = None
        found.append(KernelGpu(address=folder.name, name=facts.get("Model") or None, uuid=uuid))
    return tuple(found)


def _nodes(root: Path) -> tuple[str, ...]:
    found = []
    for path in _entries(root / "dev"):
        if not path.name.startswith("nvidia") or path.is_dir():
            continue
        try:
            status = path.stat()
        except OSError:
            continue
        found.append(f"/dev/{path.name} {_owner(status)} {stat.S_IMODE(status.st_mode):04o}")
    return tuple(found)


def _owner(status: os.stat_result) -> str:
    user, group = str(status.st_uid), str(status.st_gid)
    with suppress(KeyError, ImportError):  # a recorded machine is read on Windows too
        import pwd

        user = pwd.getpwuid(status.st_uid).pw_name
    with suppress(KeyError, ImportError):
        import grp

        group = grp.getgrgid(status.st_gid).gr_name
    return f"{user}:{group}"


def _tegra(root: Path) -> str | None:
    for place in ("proc/device-tree/compatible", "sys/firmware/devicetree/base/compatible"):
        match = re.search(r"nvidia,(tegra\d+)", text_of(root / place))
        if match:
            return match[1]
    return "tegra" if (root / "etc/nv_tegra_release").exists() else None


def _wsl(root: Path) -> tuple[bool, str]:
    for place in ("proc/sys/kernel/osrelease", "proc/version"):
        if "microsoft" in text_of(root / place).lower():
            return True, f"/{place}"
    return False, "/proc/version"


def _container(root: Path) -> tuple[bool, str]:
    for mark in (".dockerenv", "run/.containerenv", ".singularity.d", "run/secrets/kubernetes.io"):
        if (root / mark).exists():
            return True, f"/{mark}"
    if text_of(root / "run/systemd/container").strip() not in ("", "wsl"):
        return True, "/run/systemd/container"
    for group in ("proc/1/cgroup", "proc/self/cgroup"):
        if re.search(r"/(?:docker|kubepods|containerd|lxc|libpod|crio)\b", text_of(root / group)):
            return True, f"/{group}"
    return False, "/proc/1/cgroup"


def _libc(root: Path, confstr: Callable[[], str | None] | None) -> tuple[str | None, str]:
    named = (confstr() or "") if confstr is not None else ""
    if re.fullmatch(r"glibc \d+\.\d+(?:\.\d+)?", named):
        return named, "confstr"
    for path in _candidates(root, ("lib*/libc.so.6", "lib/*-linux-gnu*/libc.so.6", "usr/lib*/libc.so.6")):
        match = _GLIBC.search(_bytes(path))
        if match:
            return f"glibc {match[1].decode()}", f"/{path.relative_to(root).as_posix()}"
    for path in _candidates(root, ("lib/ld-musl-*.so.1",)):
        version = _musl(root, path)
        return (f"musl {version}" if version else None), f"/{path.relative_to(root).as_posix()}"
    return None, "not found"


def _candidates(root: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        yield from sorted(root.glob(pattern))


def _musl(root: Path, loader: Path) -> str | None:
    """musl tells its version only when run; Alpine's package list and the string inside the loader tell it unrun."""
    installed = re.search(r"(?m)^P:musl\nV:(\d+\.\d+)", text_of(root / "lib/apk/db/installed"))
    if installed:
        return installed[1]
    inside = _MUSL.search(_bytes(loader))
    return ".".join(inside[1].decode().split(".")[:2]) if inside else None
