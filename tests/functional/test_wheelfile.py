"""index.wheelfile and index.learn against loopback servers that do ranges well, badly, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv.errors import GpuenvError, IndexUnreachableError, IntegrityError
from gpuenv.index.config import Place
from gpuenv.index.facts import WheelFacts
from gpuenv.index.learn import learn
from gpuenv.index.source import load_source
from gpuenv.index.wheelfile import WheelReading, read_contents
from gpuenv.model.wheel import Wheel, WheelContents
from gpuenv.net.access import Access
from gpuenv.net.client import Client
from support.addresses import at
from support.index_server import LOGIN_PAGE, Fault, IndexServer
from support.wheels import BuiltWheel, as_zip64, build_wheel, companion_wheel, torch_wheel

# No time limit that a loaded machine could reach: a time-out would be tried again, and counted as a request.
QUICK = Access(backoff=0.005, connect_timeout=120, read_timeout=120, deadline=600)
REQUIRES = ("filelock", "triton==3.6.0; platform_system == 'Linux'")
SMALL = torch_wheel("2.10.0", "cu128", archs=("sm_90", "sm_120"), ptx=("compute_120",), requires=REQUIRES, git="f" * 40)
LARGE = torch_wheel(
    "2.10.1", "cu128", archs=("sm_90", "sm_120"), ptx=("compute_120",), requires=REQUIRES, members=12_000
)
EXPECTED = WheelContents(
    cuda="12.8",
    sass=("sm_90", "sm_120"),
    ptx=("compute_120",),
    requires_dist=REQUIRES,
    requires_python=">=3.10",
    git="f" * 40,
    origin="wheel",
)


@pytest.fixture(scope="module")
def large() -> BuiltWheel:
    return LARGE


@pytest.fixture
def server() -> Iterator[IndexServer]:
    with IndexServer() as running:
        yield running


def client(folder: Path) -> Client:
    return Client(cache=folder / "cache", environ={}, access=QUICK, sleep=lambda _: None)


def read(server: IndexServer, wheel: BuiltWheel, folder: Path, *, allow_download: bool = False) -> WheelReading:
    url = server.add(wheel, folder="cu128")
    return read_contents(url, http=client(folder), allow_download=allow_download)


def without_detail(contents: WheelContents) -> WheelContents:
    return replace(contents, detail="")


def test_a_wheel_as_large_as_a_real_one_costs_little(server: IndexServer, tmp_path: Path) -> None:
    """12,000 members, as real ones have: the budget is 8 requests and 1.5 MB; new wheels take 5 and a third of it."""
    found = read(server, LARGE, tmp_path)
    assert without_detail(found.contents) == replace(EXPECTED, git="0" * 40)
    assert found.requests == len(server.log) == 5
    assert found.bytes == server.sent() < 400_000
    assert found.size == len(LARGE.body) > 2_000_000


def test_a_name_late_in_the_directory_costs_the_whole_directory(server: IndexServer, tmp_path: Path) -> None:
    late = {f"torch/include/ATen/a{number:06d}/header.h": b"" for number in range(12_000)}
    late["torch/include/ATen/cuda/CUDAConfig.h"] = b'#define NVCC_FLAGS_EXTRA "-gencode;arch=compute_90,code=sm_90"\n'
    late["torch/version.py"] = b"__version__ = '2.0'\ncuda = '12.8'\n"
    found = read(server, build_wheel("torch", "2.0.0", files=late), tmp_path)
    assert found.contents.sass == ("sm_90",)
    assert found.requests <= 8
    assert found.bytes <= 1_500_000


def test_a_cpu_build_is_known_without_the_whole_directory(server: IndexServer, tmp_path: Path) -> None:
    found = read(server, torch_wheel("2.10.0", "cpu", members=12_000), tmp_path)
    assert (found.contents.cuda, found.contents.sass, found.contents.ptx) == ("", (), ())
    assert found.requests == 4
    assert found.bytes < 400_000


@pytest.mark.parametrize("body", [SMALL.body, as_zip64(SMALL.body)], ids=["zip", "zip64"])
def test_a_small_wheel_is_one_request(server: IndexServer, tmp_path: Path, body: bytes) -> None:
    found = read(server, replace(SMALL, body=body), tmp_path)
    assert without_detail(found.contents) == EXPECTED
    assert found.requests == 1


def test_zip64_of_a_large_wheel(server: IndexServer, tmp_path: Path) -> None:
    found = read(server, replace(LARGE, body=as_zip64(LARGE.body)), tmp_path)
    assert found.contents.sass == EXPECTED.sass
    assert found.requests <= 8


def test_a_local_wheel_needs_no_network(tmp_path: Path) -> None:
    path = SMALL.write(tmp_path)
    for location in (path, path.as_uri(), at(str(path))):
        found = read_contents(location, http=client(tmp_path))
        assert without_detail(found.contents) == EXPECTED
        assert (found.requests, found.bytes) == (0, 0)


def test_compressed_members(server: IndexServer, tmp_path: Path) -> None:
    wheel = torch_wheel("2.10.0", "cu128", archs=("sm_90",), compress=True, members=2000)
    assert read(server, wheel, tmp_path).contents.sass == ("sm_90",)


def test_a_companion_has_requirements_and_no_kernels(server: IndexServer, tmp_path: Path) -> None:
    wheel = build_wheel("torchvision", "0.25.0+cu128", requires=["torch==2.10.0"])
    found = read(server, wheel, tmp_path).contents
    assert (found.requires_dist, found.sass, found.cuda) == (("torch==2.10.0",), None, None)


@pytest.mark.parametrize(
    ("project", "variant", "cuda"),
    [("torchaudio", "cu130", "13.0"), ("torchvision", "cpu", ""), ("torchaudio", "", None)],
)
def test_the_build_of_a_companion_whose_name_does_not_tell_it(
    project: str, variant: str, cuda: str | None, server: IndexServer, tmp_path: Path
) -> None:
    wheel = companion_wheel(project, "2.11.0", variant or None, requires=["torch>=2.10"])
    server.log.clear()
    found = read(server, wheel, tmp_path)
    assert (found.contents.cuda, found.contents.requires_dist) == (cuda, ("torch>=2.10",))
    assert len(server.log) <= 3


def test_without_ranges_the_cost_is_said_and_asked_for(server: IndexServer, tmp_path: Path) -> None:
    server.fault("/whl/cu128/", Fault(no_ranges=True))
    with pytest.raises(IndexUnreachableError, match=rf"costs {len(LARGE.body) / 1e6:.0f} MB") as caught:
        read(server, LARGE, tmp_path)
    assert "--allow-download" in caught.value.hints[0]
    assert server.log[-1].status == 200
    found = read(server, LARGE, tmp_path, allow_download=True)
    assert found.contents.sass == EXPECTED.sass
    assert found.bytes > len(LARGE.body)


def test_a_whole_download_that_ends_too_early(server: IndexServer, tmp_path: Path) -> None:
    server.fault("/whl/cu128/", Fault(drop=True))
    server.fault("/whl/cu128/", Fault(truncate=1000, times=1))
    server.fault("/whl/cu128/", Fault(no_ranges=True, only_ranges=True, times=1))
    with pytest.raises(IndexUnreachableError) as caught:
        read(server, LARGE, tmp_path, allow_download=True)
    assert "before the answer was complete" in caught.value.causes[0]


def test_without_ranges_a_small_file_is_simply_read(server: IndexServer, tmp_path: Path) -> None:
    server.fault("/whl/cu128/", Fault(no_ranges=True))
    assert without_detail(read(server, SMALL, tmp_path).contents) == EXPECTED


def test_a_server_that_knows_no_suffix_ranges(server: IndexServer, tmp_path: Path) -> None:
    server.fault("/whl/cu128/", Fault(unsatisfiable=True, times=1))
    assert read(server, LARGE, tmp_path).contents.sass == EXPECTED.sass


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (Fault(wrong_range=True), IndexUnreachableError, "does not answer range requests correctly"),
        (Fault(unsatisfiable=True), IndexUnreachableError, "does not answer range requests correctly"),
        (Fault(lying_range=True), IntegrityError, "not a wheel that can be read"),
        (Fault(truncate=100), IndexUnreachableError, "cannot be used"),
        (Fault(status=403), IndexUnreachableError, "cannot be used"),
        (Fault(status=404), IndexUnreachableError, "cannot be used"),
        (Fault(status=503), IndexUnreachableError, "cannot be used"),
        (Fault(drop=True), IndexUnreachableError, "cannot be used"),
        (Fault(body=LOGIN_PAGE), IntegrityError, "not a wheel that can be read"),
        (Fault(body=b""), IndexUnreachableError, "does not answer range requests correctly"),
    ],
    ids=["wrong", "416", "lying", "cut", "403", "404", "503", "dropped", "login", "empty"],
)
def test_each_fault_is_one_clear_error(
    server: IndexServer, tmp_path: Path, fault: Fault, error: type[GpuenvError], words: str
) -> None:
    server.fault("/whl/cu128/", fault)
    with pytest.raises(error, match=words) as caught:
        read(server, LARGE, tmp_path)
    assert caught.value.hints
    assert any(server.torch_index in cause for cause in caught.value.causes)


@pytest.mark.parametrize("fault", [Fault(truncate=100, times=1), Fault(status=503, times=1), Fault(drop=True, times=1)])
def test_a_passing_fault_in_the_middle_is_tried_again(server: IndexServer, tmp_path: Path, fault: Fault) -> None:
    server.fault("/whl/cu128/", fault)
    assert read(server, LARGE, tmp_path).contents.sass == EXPECTED.sass


def test_a_wheel_replaced_while_it_is_read_is_noticed(server: IndexServer, tmp_path: Path) -> None:
    url = server.add(LARGE, folder="cu128")

    class Replacing(Client):
        def part(self, url: str, wanted: str, *, limit: int):  # type: ignore[no-untyped-def]
            part = super().part(url, wanted, limit=limit)
            server.add(replace(LARGE, body=LARGE.body[:-22] + LARGE.body[-22:-2] + b"\x00\x00"), folder="cu128")
            server.add(replace(LARGE, body=b"x" + LARGE.body), folder="cu128")
            return part

    with pytest.raises(IntegrityError, match="changed while it was read"):
        read_contents(url, http=Replacing(cache=tmp_path, environ={}, access=QUICK))


@pytest.mark.parametrize("cut", [1, 100, 70_000, 1_000_000])
def test_a_wheel_that_was_truncated_when_it_was_stored(server: IndexServer, tmp_path: Path, cut: int) -> None:
    with pytest.raises(IntegrityError) as caught:
        read(server, replace(LARGE, body=LARGE.body[:-cut]), tmp_path)
    assert "no zip directory" in caught.value.causes[0]


def test_a_wheel_whose_metadata_is_anothers(server: IndexServer, tmp_path: Path) -> None:
    other = build_wheel("torch", "9.9.9")
    with pytest.raises(IntegrityError, match="not its own"):
        read(server, replace(other, filename=SMALL.filename), tmp_path)


# What the decision asks


def listed(server: IndexServer, folder: Path, project: str) -> Wheel:
    place = Place(kind="mirror", location=at(server.torch_index), configured_by="--torch-index")
    return load_source(place, client(folder), projects=[project], channels=("stable",)).wheels[0]


def test_metadata_comes_from_the_index_and_is_remembered(server: IndexServer, tmp_path: Path) -> None:
    server.add(SMALL, folder="cu128")
    wheel, facts = listed(server, tmp_path, "torch"), WheelFacts(tmp_path / "facts")
    server.log.clear()
    first = learn(wheel, "metadata", http=client(tmp_path), facts=facts)
    assert (first.requires_dist, first.origin) == (REQUIRES, "metadata")
    assert [request.path.rpartition(".")[2] for request in server.log] == ["metadata"]
    assert learn(wheel, "metadata", http=client(tmp_path), facts=facts) == first
    assert len(server.log) == 1
    kernels = learn(wheel, "kernels", http=client(tmp_path), facts=facts)
    assert (kernels.sass, kernels.requires_dist) == (("sm_90", "sm_120"), REQUIRES)
    assert learn(wheel, "kernels", http=client(tmp_path), facts=facts) == kernels
    assert len(server.log) == 2


def test_metadata_that_is_not_what_the_index_says(server: IndexServer, tmp_path: Path) -> None:
    server.add(SMALL, folder="cu128")
    wheel, facts = listed(server, tmp_path, "torch"), WheelFacts(tmp_path / "facts")
    evil = SMALL.metadata.replace(b"filelock", b"evil")
    server.fault("/whl/cu128/", Fault(body=evil))
    with pytest.raises(IntegrityError, match="not what the index says"):
        learn(wheel, "metadata", http=client(tmp_path), facts=facts)
    server.heal()
    assert learn(wheel, "metadata", http=client(tmp_path), facts=facts).requires_dist == REQUIRES


def test_metadata_announced_and_missing_is_read_from_the_wheel(server: IndexServer, tmp_path: Path) -> None:
    url = server.add(SMALL, folder="cu128")
    wheel = listed(server, tmp_path, "torch")
    server.fault(f"{url.removeprefix(server.url)}.metadata", Fault(status=403))
    found = learn(wheel, "metadata", http=client(tmp_path), facts=WheelFacts(tmp_path / "facts"))
    assert (found.requires_dist, found.origin) == (REQUIRES, "wheel")


def test_an_index_without_metadata_files(server: IndexServer, tmp_path: Path) -> None:
    server.add(SMALL, folder="cu128", metadata=False)
    wheel = listed(server, tmp_path, "torch")
    assert wheel.metadata_sha256 is None
    found = learn(wheel, "metadata", http=client(tmp_path), facts=WheelFacts(tmp_path / "facts"))
    assert found.origin == "wheel"
