"""Made-up file trees of Linux machines, for detection below ``root``."""

from __future__ import annotations

from pathlib import Path

CLOSED = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Wed Jan  1 00:00:00 UTC 2025\nGCC version: gcc 13\n"
)
OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {version}  Release Build  (builder)\nGCC version: gcc\n"
)


class Tree:
    """A tree that grows by calls; each returns the tree, so that a machine reads as one expression."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/sys/kernel/osrelease", "6.8.0-51-generic\n")
        self.write("proc/version", "Linux version 6.8.0-51-generic (builder) (gcc 13)\n")
        self.write("proc/1/cgroup", "0::/init.scope\n")
        self.write(
            "lib/x86_64-linux-gnu/libc.so.6", b"\x7fELF\0GNU C Library (GNU libc) stable release version 2.39.\n\0"
        )

    def write(self, place: str, content: str | bytes) -> Tree:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self

    def bus(self) -> Tree:
        """A PCI bus with a bridge and nothing of NVIDIA on it."""
        return self.pci("0000:00:00.0", vendor="0x8086", device="0x1237", kind="0x060000")

    def pci(
        self,
        address: str = "0000:01:00.0",
        *,
        vendor: str = "0x10de",
        device: str = "0x2b85",
        kind: str = "0x030000",
        driver: str | None = None,
    ) -> Tree:
        folder = f"sys/bus/pci/devices/{address}"
        self.write(f"{folder}/vendor", f"{vendor}\n").write(f"{folder}/device", f"{device}\n")
        self.write(f"{folder}/class", f"{kind}\n")
        if driver is not None:
            (self.root / folder / "driver").symlink_to(f"../../../bus/pci/drivers/{driver}")
        return self

    def module(self, version: str = "570.86.10", *, sys: bool = True, opened: bool = False) -> Tree:
        """The loaded kernel module; ``sys=False`` leaves only /proc, as some containers do."""
        if sys:
            self.write("sys/module/nvidia/version", f"{version}\n")
        return self.write("proc/driver/nvidia/version", (OPEN if opened else CLOSED).format(version=version))

    def card(self, address: str, *, name: str, uuid: str) -> Tree:
        text = f"Model: \t\t {name}\nIRQ:   \t\t 42\nGPU UUID: \t {uuid}\nBus Location: \t {address}\n"
        return self.write(f"proc/driver/nvidia/gpus/{address}/information", text)

    def nodes(self, *names: str) -> Tree:
        for name in names or ("nvidiactl", "nvidia0", "nvidia-uvm"):
            self.write(f"dev/{name}", "")
        return self

    def docker(self) -> Tree:
        return self.write(".dockerenv", "")

    def wsl(self, *, nvidia: bool = True) -> Tree:
        self.write("proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n").write("dev/dxg", "")
        return self.write("usr/lib/wsl/lib/libnvidia-ml.so.1", b"\x7fELF") if nvidia else self
