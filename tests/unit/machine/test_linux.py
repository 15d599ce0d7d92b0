"""What Linux's own files say, on made-up trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.machine import linux
from gpuenv.machine.linux import KernelGpu, Module, PciGpu
from support.systems import LINKS, POSIX
from support.trees import CLOSED, OPEN, Tree


def test_a_plain_machine_without_nvidia(tmp_path: Path) -> None:
    host = linux.read_host(Tree(tmp_path).bus().root)

    assert (host.libc, host.libc_by) == ("glibc 2.39", "/lib/x86_64-linux-gnu/libc.so.6")
    assert (host.wsl, host.container, host.module, host.pci, host.nodes) == (False, False, None, (), ())


@LINKS
def test_gpus_on_the_bus_are_display_devices_of_nvidia_only(tmp_path: Path) -> None:
    tree = Tree(tmp_path).bus().pci("0000:01:00.0", driver="nvidia").pci("0000:01:00.1", kind="0x040300")
    tree.pci("0000:41:00.0", device="0x2330", kind="0x030200").pci("0000:02:00.0", vendor="0x1002")
    tree.pci("0000:05:00.0", device="0x22a3", kind="0x068000", driver="nvidia-nvswitch")

    assert linux.read_host(tree.root).pci == (
        PciGpu(address="0000:01:00.0", device="0x2b85", bound_to="nvidia"),
        PciGpu(address="0000:41:00.0", device="0x2330", bound_to=None),
    )


def test_no_bus_is_not_an_empty_bus(tmp_path: Path) -> None:
    assert linux.read_host(Tree(tmp_path).root).pci is None


@pytest.mark.parametrize(("text", "opened"), [(CLOSED, False), (OPEN, True)])
def test_the_module_from_proc_where_sys_is_silent(tmp_path: Path, text: str, opened: bool) -> None:
    tree = Tree(tmp_path).write("proc/driver/nvidia/version", text.format(version="535.161.08"))

    assert linux.read_host(tree.root).module == Module(
        version="535.161.08", source="/proc/driver/nvidia/version", open=opened
    )


def test_the_module_from_sys_first(tmp_path: Path) -> None:
    module = linux.read_host(Tree(tmp_path).module("580.65.06", opened=True).root).module

    assert module == Module(version="580.65.06", source="/sys/module/nvidia/version", open=True)


def test_an_unreadable_version_is_no_module(tmp_path: Path) -> None:
    tree = Tree(tmp_path).write("sys/module/nvidia/version", "unknown\n").write("proc/driver/nvidia/version", "NVRM\n")

    assert linux.read_host(tree.root).module is None


def test_the_kernels_own_list_of_gpus(tmp_path: Path) -> None:
    tree = Tree(tmp_path).card("0000:01:00.0", name="NVIDIA H200", uuid="GPU-1")
    tree.card("0000:02:00.0", name="NVIDIA H200", uuid="GPU-????????-????-????-????-????????????")

    assert linux.read_host(tree.root).kernel_gpus == (
        KernelGpu(address="0000:01:00.0", name="NVIDIA H200", uuid="GPU-1"),
        KernelGpu(address="0000:02:00.0", name="NVIDIA H200", uuid=None),
    )


@POSIX
def test_device_nodes_with_owner_and_mode(tmp_path: Path) -> None:
    tree = Tree(tmp_path).nodes("nvidiactl").write("dev/nvidia-caps/nvidia-cap1", "")
    (tree.root / "dev/nvidiactl").chmod(0o660)

    (node,) = linux.read_host(tree.root).nodes
    assert node.startswith("/dev/nvidiactl ")
    assert node.endswith(" 0660")


@pytest.mark.parametrize(
    ("place", "content"),
    [
        (".dockerenv", ""),
        ("run/.containerenv", ""),
        (".singularity.d/env", ""),
        ("run/systemd/container", "lxc\n"),
        ("run/secrets/kubernetes.io/token", ""),
        ("proc/1/cgroup", "12:pids:/docker/0123456789ab\n"),
        ("proc/1/cgroup", "0::/kubepods/besteffort/pod12\n"),
    ],
)
def test_containers(tmp_path: Path, place: str, content: str) -> None:
    host = linux.read_host(Tree(tmp_path).write(place, content).root)

    assert host.container
    assert f"/{place}".startswith(host.container_by)


def test_wsl_is_not_a_container(tmp_path: Path) -> None:
    host = linux.read_host(Tree(tmp_path).wsl().write("run/systemd/container", "wsl\n").root)

    assert (host.wsl, host.wsl_by, host.wsl_driver, host.container) == (True, "/proc/sys/kernel/osrelease", True, False)


def test_wsl_with_a_card_of_another_make(tmp_path: Path) -> None:
    host = linux.read_host(Tree(tmp_path).wsl(nvidia=False).root)

    assert (host.wsl_gpu, host.wsl_driver) == (True, False)


def test_a_jetson_by_its_device_tree(tmp_path: Path) -> None:
    tree = Tree(tmp_path).write("proc/device-tree/compatible", b"nvidia,p3737-0000+p3701-0005\0nvidia,tegra234\0")

    assert linux.read_host(tree.root).tegra == "tegra234"


def test_musl_by_the_package_list(tmp_path: Path) -> None:
    tree = Tree(tmp_path).write("lib/ld-musl-x86_64.so.1", b"\x7fELF")
    tree.write("lib/apk/db/installed", "P:musl-utils\nV:9.9-r0\n\nC:Q1\nP:musl\nV:1.2.5-r0\nA:x86_64\n")
    (tree.root / "lib/x86_64-linux-gnu/libc.so.6").unlink()

    host = linux.read_host(tree.root)
    assert (host.libc, host.libc_by) == ("musl 1.2", "/lib/ld-musl-x86_64.so.1")


def test_musl_by_the_string_in_its_loader(tmp_path: Path) -> None:
    tree = Tree(tmp_path).write("lib/ld-musl-aarch64.so.1", b"\x7fELF\0musl libc\0" + b"1.2.4\0more\0")
    (tree.root / "lib/x86_64-linux-gnu/libc.so.6").unlink()

    assert linux.read_host(tree.root).libc == "musl 1.2"


def test_the_running_library_is_asked_before_files(tmp_path: Path) -> None:
    root = Tree(tmp_path).root

    assert linux.read_host(root, confstr=lambda: "glibc 2.17").libc == "glibc 2.17"
    assert linux.read_host(root, confstr=lambda: None).libc == "glibc 2.39"


def test_what_is_left_of_a_driver(tmp_path: Path) -> None:
    tree = Tree(tmp_path).write("run/opengl-driver/lib/libnvidia-ml.so.1", b"")
    tree.write("lib/modules/6.8.0-51-generic/modules.dep", "kernel/drivers/gpu/drm/nouveau/nouveau.ko.zst:\n")
    tree.write("sys/firmware/efi/efivars/SecureBoot-8be4df61", b"\x06\0\0\0\1")

    assert linux.read_remains(tree.root) == linux.Remains(
        libraries=("/run/opengl-driver/lib/libnvidia-ml.so.1",),
        module_built=False,
        secure_boot=True,
        kernel="6.8.0-51-generic",
    )

    tree.write("lib/modules/6.8.0-51-generic/modules.dep", "updates/dkms/nvidia.ko.zst: kernel/x.ko\n")
    assert linux.read_remains(tree.root).module_built is True


def test_nothing_is_known_of_an_empty_tree(tmp_path: Path) -> None:
    host = linux.read_host(tmp_path)

    assert host.libc is None
    assert linux.read_remains(tmp_path) == linux.Remains()
