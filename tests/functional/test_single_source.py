"""Locks in which every package, dependencies too, comes from the torch source's own hosts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv.environment.dependencies import DependencyRequest
from gpuenv.environment.single_source import choose_rows
from gpuenv.errors import GpuenvError, IndexUnreachableError
from gpuenv.model.wheel import Wheel, WheelContents
from support.dependencies import FAMILY, TAG, Source, blackwell, close, decision, linux, resolver, row
from support.index_server import IndexServer
from support.wheels import build_wheel


@pytest.fixture
def torch_server() -> Iterator[IndexServer]:
    with IndexServer() as server:
        yield server


@pytest.fixture
def source(torch_server: IndexServer) -> Source:
    made = Source()
    blackwell(made, torch_server)
    for name, version, requires in (
        ("filelock", "3.19.1", ()),
        ("filelock", "3.20.0", ()),
        ("numpy", "2.3.0", ()),
        ("nvidia-cublas-cu12", "12.8.4.1", ("nvidia-cuda-runtime-cu12",)),
        ("nvidia-cuda-runtime-cu12", "12.8.90", ()),
    ):
        made.add(torch_server, build_wheel(name, version, requires=requires), folder="")
    return made


def single(source: Source, server: IndexServer, *, others: tuple[str, ...] = ()) -> DependencyRequest:
    torch, vision = source.rows[0], source.rows[1]
    return DependencyRequest(
        decision=decision(torch, vision, others=others),
        target=linux(),
        family=FAMILY,
        single_source=True,
        torch_hosts=frozenset({server.url.removeprefix("http://")}),
    )


def test_everything_comes_from_the_torch_source(source: Source, torch_server: IndexServer, tmp_path: Path) -> None:
    found = close(single(source, torch_server), source, resolver(tmp_path))
    assert sorted(found) == [
        "filelock",
        "numpy",
        "nvidia-cublas-cu12",
        "nvidia-cuda-runtime-cu12",
        "torch",
        "torchvision",
        "triton",
    ]
    assert found["filelock"].version == "3.20.0"
    rows = {each.url: each for each in source.rows}
    for package in found.values():
        assert package.url in rows
        assert package.sha256 == rows[str(package.url)].sha256
        assert package.hash_origin == "index"
    assert not torch_server.log  # uv asked only the index on loopback that gpuenv made


def test_rows_on_other_hosts_are_never_shown(source: Source, torch_server: IndexServer, tmp_path: Path) -> None:
    newer = build_wheel("filelock", "9.9.9")
    source.put(newer, f"https://files.example/{newer.filename}", variant=None)
    found = close(single(source, torch_server), source, resolver(tmp_path))
    assert found["filelock"].version == "3.20.0"


def test_a_name_the_torch_source_lacks_is_an_error(source: Source, torch_server: IndexServer, tmp_path: Path) -> None:
    with pytest.raises(GpuenvError) as raised:
        close(single(source, torch_server, others=("einops",)), source, resolver(tmp_path))
    assert "einops" in "\n".join(raised.value.causes)


def test_rows_whose_metadata_cannot_be_read_are_left_out(
    source: Source, torch_server: IndexServer, tmp_path: Path
) -> None:
    source.unreadable = {each.url for each in source.rows if each.version == "3.20.0"}
    found = close(single(source, torch_server), source, resolver(tmp_path))
    assert found["filelock"].version == "3.19.1"


def test_a_failure_of_the_source_is_the_error_not_uvs_words_about_it(
    source: Source, torch_server: IndexServer, tmp_path: Path
) -> None:
    class Broken(Source):
        def contents(self, wheel: Wheel) -> WheelContents | None:
            if wheel.project == "filelock":
                raise IndexUnreachableError("the index does not answer")
            return super().contents(wheel)

    broken = Broken(rows=source.rows, bodies=source.bodies)
    with pytest.raises(IndexUnreachableError, match="the index does not answer"):
        close(single(source, torch_server), broken, resolver(tmp_path))


def test_rows_without_hash_are_hashed_by_download(source: Source, torch_server: IndexServer, tmp_path: Path) -> None:
    source.rows = [replace(each, sha256=None) if each.project == "numpy" else each for each in source.rows]
    found = close(single(source, torch_server), source, resolver(tmp_path))
    body = next(wheel for wheel in source.bodies.values() if wheel.project == "numpy")
    assert (found["numpy"].sha256, found["numpy"].hash_origin) == (body.sha256, "first-download")


RULES = {"hosts": frozenset({"download.pytorch.org"}), "variant": "cu128", "cutoff": "2026-01-01"}
HOST = "https://download.pytorch.org/whl"


def rows(*places: tuple[str | None, str]) -> list[Wheel]:
    wheel = build_wheel("triton", "3.6.0", tag=TAG)
    return [row(wheel, f"{url}/{wheel.filename}", variant=variant) for variant, url in places]


def test_of_one_name_in_several_folders_the_variants_own_wins() -> None:
    own, root, other = rows(("cu128", f"{HOST}/cu128"), (None, HOST), ("cu126", f"{HOST}/cu126"))
    assert choose_rows([other, root, own], **RULES) == (own,)
    assert choose_rows([root, other], **RULES) == (root,)
    assert choose_rows([other], **RULES) == ()


def test_rows_that_are_newer_than_the_cutoff_yanked_or_elsewhere_are_not_shown() -> None:
    (one,) = rows((None, HOST))
    assert choose_rows([replace(one, upload_time="2025-12-31T23:00:00Z")], **RULES)
    assert not choose_rows([replace(one, upload_time="2025-12-31T23:00:00-02:00")], **RULES)
    assert not choose_rows([replace(one, yanked="")], **RULES)
    assert not choose_rows([replace(one, url=one.url.replace("pytorch.org", "pytorch.org.example"))], **RULES)
