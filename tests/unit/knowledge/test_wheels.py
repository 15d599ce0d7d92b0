"""What the tables say of wheels, held against what was read out of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from packaging.requirements import Requirement

from gpuenv import knowledge
from gpuenv.knowledge.names import cudnn_of, platform_of_filename
from support.readings import Reading, cuda_readings, readings, torch_wheel

TABLES = knowledge.load()
LINUX = "torch-2.10.0+cu128-cp312-cp312-manylinux_2_28_x86_64.whl"


def test_all_that_was_read_is_here() -> None:
    assert len(readings()) == 123
    assert len(cuda_readings()) == 49


@pytest.mark.parametrize("reading", cuda_readings(), ids=lambda reading: reading.filename)
def test_table_equals_the_wheel_of_the_package_index(reading: Reading) -> None:
    contents = TABLES.contents(reading.wheel())
    assert contents is not None
    assert contents.cuda == reading.cuda
    assert set(contents.sass or ()) == set(reading.sass)
    assert contents.ptx == reading.ptx
    assert contents.origin == "table"
    assert TABLES.compare(reading.wheel(), reading.contents) is None


@pytest.mark.parametrize("reading", cuda_readings(), ids=lambda reading: reading.filename)
def test_table_equals_the_wheel_in_its_folder_of_pytorchs_index(reading: Reading) -> None:
    variant = TABLES.variant_of(reading.cuda)
    contents = TABLES.contents(reading.wheel(source="pytorch", variant=variant))
    assert contents is not None
    assert contents.sass == reading.sass
    row = TABLES.kernel_row(reading.wheel())
    assert row is not None
    assert row.read


@pytest.mark.parametrize("reading", [r for r in readings() if not r.cuda], ids=lambda reading: reading.filename)
def test_cpu_builds_of_the_package_index_are_told_as_such(reading: Reading) -> None:
    contents = TABLES.contents(reading.wheel())
    assert contents is not None
    assert (contents.cuda, contents.sass, contents.ptx) == ("", (), ())


@pytest.mark.parametrize("reading", cuda_readings(), ids=lambda reading: reading.filename)
def test_triton_and_cudnn_are_those_of_the_wheel(reading: Reading) -> None:
    if reading.public_version in TABLES.releases:
        asked = TABLES.family_requires(reading.wheel())
        assert asked is not None
        assert [str(Requirement(text)) for text in asked] == [str(Requirement(text)) for text in reading.triton]
    row = TABLES.kernel_row(reading.wheel())
    pinned = cudnn_of(reading.cudnn)
    if row is not None and pinned is not None:
        assert row.cudnn == pinned


def test_disagreement_names_both_sides() -> None:
    reading = cuda_readings()[-1]
    changed = replace(reading.contents, sass=reading.sass[1:], cuda="99.9")
    found = TABLES.compare(reading.wheel(), changed)
    assert found is not None
    assert found.filename == reading.filename
    assert found.differences == (
        f"cuda: the table says {reading.cuda}, the wheel 99.9",
        f"sass: the table says {' '.join(reading.sass)}, the wheel {' '.join(reading.sass[1:])}",
    )


def test_what_was_not_looked_at_does_not_disagree() -> None:
    reading = cuda_readings()[-1]
    assert TABLES.compare(reading.wheel(), replace(reading.contents, sass=None, ptx=None)) is None


def test_a_release_without_a_row_is_not_guessed() -> None:
    for version in ("2.99.0", "2.10.1", "2.11.0.dev20260102"):
        name = f"torch-{version}+cu128-cp312-cp312-manylinux_2_28_x86_64.whl"
        assert TABLES.contents(torch_wheel(name, f"{version}+cu128", variant="cu128")) is None
        assert TABLES.package_index_variant(version, "linux_x86_64") is None


def test_a_variant_or_platform_without_a_row_is_not_guessed() -> None:
    assert TABLES.contents(torch_wheel(LINUX.replace("cu128", "cu140"), "2.10.0+cu140", variant="cu140")) is None
    s390 = LINUX.replace("x86_64", "s390x")
    assert TABLES.contents(torch_wheel(s390, "2.10.0+cu128", variant="cu128")) is None


@pytest.mark.parametrize(
    ("version", "folder", "expected"),
    [
        ("2.10.0+cu128", "cu128", "cu128"),
        ("2.10.0+cu128", None, "cu128"),
        ("2.10.0", "cu126", "cu126"),
        ("2.10.0", None, None),
        ("2.10.0+cu128", "cu126", None),
        ("2.10.0+cu117.with.pypi.cudnn", "cu117", None),
        ("2.10.0+cpu", "cpu", "cpu"),
        ("2.10.0+rocm6.4", "rocm6.4", "rocm6.4"),
        ("2.10.0+rocm6.4", None, None),
    ],
)
def test_build_is_told_by_version_and_folder(version: str, folder: str | None, expected: str | None) -> None:
    assert TABLES.variant(torch_wheel(LINUX, version, variant=folder)) == expected


def test_only_the_package_index_tells_the_build_by_its_release() -> None:
    plain = "torch-2.10.0-cp312-cp312-manylinux_2_28_x86_64.whl"
    assert TABLES.variant(torch_wheel(plain, "2.10.0", source="package-index")) == "cu128"
    assert TABLES.variant(torch_wheel(plain, "2.10.0", source="find-links")) is None
    assert TABLES.variant(torch_wheel(plain, "2.10.0", source="mirror")) is None


def test_plain_install_by_platform_and_release() -> None:
    expected = {
        ("2.10.0", "linux_x86_64"): "cu128",
        ("2.10.0", "linux_aarch64"): "cpu",
        ("2.11.0", "linux_aarch64"): "cu130",
        ("2.15.0", "linux_x86_64"): "cu132",
        ("2.15.0", "win_amd64"): "cpu",
        ("2.15.0", "macos_arm64"): "cpu",
    }
    assert {key: TABLES.package_index_variant(*key) for key in expected} == expected


@pytest.mark.parametrize(
    ("project", "version", "expected"),
    [
        ("torchvision", "0.25.0+cu128", ("torch==2.10.0",)),
        ("torchvision", "0.29.0", ("torch==2.14.0",)),
        ("torchvision", "0.29.1", ("torch>=2.14.0",)),
        ("torchvision", "0.29.2+cu132", ("torch>=2.14.0",)),
        ("torchaudio", "2.10.0", ("torch==2.10.0",)),
        ("torchaudio", "2.11.0", ()),
        ("torchtext", "0.18.0", ("torch>=2.3.0",)),
        ("torchtext", "0.16.0", ("torch==2.1.0", "torchdata==0.7.0")),
        ("triton", "3.6.0", ()),
        ("triton", "2.0.0", ("torch",)),
        ("torchvision", "0.26.0.dev20260102+cu128", None),
        ("torchcodec", "0.9.0", None),
    ],
)
def test_companions_ask_for_their_torch(project: str, version: str, expected: tuple[str, ...] | None) -> None:
    name = f"{project}-{version}-cp312-cp312-manylinux_2_28_x86_64.whl"
    assert TABLES.family_requires(torch_wheel(name, version, project=project)) == expected


def test_a_pin_seen_on_one_source_only_is_not_said_of_another() -> None:
    name = "torchvision-0.15.0-cp311-cp311-manylinux1_x86_64.whl"
    row = torch_wheel(name, "0.15.0", project="torchvision", source="package-index")
    assert TABLES.family_requires(row) == ("torch==2.0.0+cu117",)
    assert TABLES.family_requires(replace(row, source="pytorch")) is None


def test_triton_on_arm_is_only_said_where_it_is_known() -> None:
    arm = "torch-{}-cp312-cp312-manylinux_2_28_aarch64.whl"
    old = torch_wheel(arm.format("2.10.0+cu130"), "2.10.0+cu130", variant="cu130")
    new = torch_wheel(arm.format("2.13.0+cu130"), "2.13.0+cu130", variant="cu130")
    assert TABLES.family_requires(old) is None
    assert TABLES.family_requires(new) == ('triton==3.7.1; platform_system == "Linux" and python_version < "3.15"',)


def test_cpu_and_windows_builds_ask_for_no_triton() -> None:
    cpu = torch_wheel(LINUX.replace("cu128", "cpu"), "2.10.0+cpu", variant="cpu")
    windows = "torch-2.10.0+cu128-cp312-cp312-win_amd64.whl"
    assert TABLES.family_requires(cpu) == ()
    assert TABLES.family_requires(torch_wheel(windows, "2.10.0+cu128", variant="cu128")) == ()


@pytest.mark.parametrize(
    ("filename", "platform"),
    [
        ("torch-1.7.0-cp38-cp38-manylinux1_x86_64.whl", "linux_x86_64"),
        ("torch-2.10.0-cp312-cp312-manylinux2014_aarch64.manylinux_2_17_aarch64.whl", "linux_aarch64"),
        ("torch-2.5.1+cu124-cp312-cp312-linux_aarch64.whl", "linux_aarch64"),
        ("torch-2.10.0-cp312-none-macosx_11_0_arm64.whl", "macos_arm64"),
        ("torch-2.2.2-cp312-none-macosx_10_9_x86_64.whl", "macos_x86_64"),
        ("torch-2.10.0-cp312-cp312-win_arm64.whl", None),
        ("torchvision-0.29.2-py3-none-any.whl", None),
    ],
)
def test_platform_stands_in_the_name(filename: str, platform: str | None) -> None:
    assert platform_of_filename(filename) == platform


@pytest.mark.parametrize("pin", ["==9.*", "==9.10.*", "==9.", ">=9.1"])
def test_a_cudnn_that_is_not_pinned_is_not_told(pin: str) -> None:
    assert cudnn_of([f"nvidia-cudnn-cu12{pin}"]) is None
