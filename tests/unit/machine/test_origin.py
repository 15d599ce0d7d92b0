"""Which way a driver library comes to a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.machine.origin import CdiSpec, Origin, cdi_specs, origin_of
from support.systems import LINUX_PATHS
from support.trees import Tree

NAME = "libcuda.so.1"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A compatibility package below a real folder: the file, and the name the loader asks for."""
    file = tmp_path / "compat" / "libcuda.so.590.10.01"
    file.parent.mkdir()
    file.write_bytes(b"")
    (file.parent / NAME).symlink_to(file.name)
    return file


@LINUX_PATHS
def test_a_variable_with_other_folders(library: Path, tmp_path: Path) -> None:
    found = origin_of(
        str(library),
        name=NAME,
        environ={"LD_LIBRARY_PATH": f"/opt/tool/lib:{library.parent}:"},
        root=tmp_path / "root",
    )

    assert found == Origin(way="LD_LIBRARY_PATH", where=str(library.parent), left=("/opt/tool/lib",))


@LINUX_PATHS
def test_a_folder_that_is_a_link(library: Path, tmp_path: Path) -> None:
    link = tmp_path / "cuda"
    link.symlink_to(library.parent)
    found = origin_of(str(library), name=NAME, environ={"LD_LIBRARY_PATH": str(link)})

    assert (found.way, found.where) == ("LD_LIBRARY_PATH", str(link))


@LINUX_PATHS
def test_a_preloaded_file(library: Path) -> None:
    found = origin_of(str(library), name=NAME, environ={"LD_PRELOAD": f"/x.so {library}"})

    assert found == Origin(way="LD_PRELOAD", where=str(library))


def test_a_file_of_the_loaders_configuration(tmp_path: Path) -> None:
    tree = Tree(tmp_path).write("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
    tree.write("etc/ld.so.conf.d/00-compat-17.conf", "/usr/local/cuda/compat # by the runtime\n")
    tree.write("etc/ld.so.conf.d/libc.conf", "/usr/local/lib\n")
    found = origin_of("/usr/local/cuda/compat/libcuda.so.590.10.01", name=NAME, environ={}, root=tree.root)

    assert found == Origin(way="ld.so.conf", where="/etc/ld.so.conf.d/00-compat-17.conf")


@pytest.mark.parametrize("mount", ["/usr/lib64/libcuda.so.590.10.01", "/usr/lib64/nvidia"])
def test_a_mount_of_the_runtime(tmp_path: Path, mount: str) -> None:
    tree = Tree(tmp_path).write(
        "proc/self/mountinfo", f"1 0 0:1 / / rw - overlay o rw\n2 1 8:1 /usr/lib {mount} ro - ext4 /dev/sda1 rw\n"
    )
    file = mount if mount.endswith("01") else f"{mount}/libcuda.so.590.10.01"

    assert origin_of(file, name=NAME, environ={}, root=tree.root) == Origin(way="mount", where=mount)


def test_a_folder_where_the_loader_always_looks(tmp_path: Path) -> None:
    found = origin_of("/usr/lib64/libcuda.so.590.10.01", name=NAME, environ={}, root=Tree(tmp_path).root)

    assert found == Origin(way="folder", where="/usr/lib64")


def test_specifications_of_the_container_interface(tmp_path: Path) -> None:
    tree = Tree(tmp_path).write("etc/cdi/nvidia.yaml", "hostPath: /usr/lib64/libcuda.so.575.51.03\n")
    tree.write("etc/cdi/other.yaml", "kind: vendor.com/nic\n").write("etc/cdi/notes.txt", "/libcuda.so.1.2\n")

    assert cdi_specs(tree.root) == (CdiSpec(file="/etc/cdi/nvidia.yaml", driver="575.51.03"),)
