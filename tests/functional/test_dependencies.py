"""Dependencies resolved by the real uv, with hostile indexes beside the right ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv.environment.compiling import Indexes
from gpuenv.errors import IntegrityError, NoFittingWheelError, UvError
from gpuenv.lock.codec import parse, render
from gpuenv.model.wheel import Wheel
from support.addresses import at
from support.dependencies import (
    FAMILY,
    TAG,
    Source,
    blackwell,
    close,
    decision,
    linux,
    package_index,
    request,
    resolver,
)
from support.index_server import IndexServer
from support.wheels import build_wheel


@pytest.fixture
def torch_server() -> Iterator[IndexServer]:
    with IndexServer() as server:
        yield server


@pytest.fixture
def server() -> Iterator[IndexServer]:
    with IndexServer() as index:
        package_index(index)
        yield index


@pytest.fixture
def source() -> Source:
    return Source()


def test_the_family_comes_from_the_torch_source_and_the_rest_from_the_package_index(
    server: IndexServer, torch_server: IndexServer, source: Source, tmp_path: Path
) -> None:
    torch, vision = blackwell(source, torch_server)
    found = close(request(decision(torch, vision), server, torch_server), source, resolver(tmp_path))
    assert sorted(found) == ["filelock", "numpy", "nvidia-cublas-cu12", "torch", "torchvision", "triton"]
    assert found["torch"].url == torch.url
    assert found["triton"].version == "3.6.0"
    assert found["triton"].url is not None
    assert found["triton"].url.startswith(torch_server.url)
    assert found["numpy"].version == "2.3.0"
    assert all(found[name].url.startswith(server.url) for name in ("numpy", "filelock"))  # type: ignore[union-attr]  # no path here


def test_no_name_of_the_family_is_ever_looked_up_on_the_package_index(
    server: IndexServer, torch_server: IndexServer, source: Source, tmp_path: Path
) -> None:
    torch, vision = blackwell(source, torch_server)
    server.add_package(build_wheel("metrics", "1.0", requires=("torch>=2", "torchao>=0.5", "numpy<2")))
    source.add(torch_server, build_wheel("torchao", "0.15.0+cu128", tag=TAG))
    what = decision(torch, vision, others=("metrics",))
    found = close(request(what, server, torch_server), source, resolver(tmp_path))
    assert found["torchao"].version == "0.15.0+cu128"
    assert found["numpy"].version == "1.26.4"
    asked = {entry.path.split("/")[2] for entry in server.log if entry.path.startswith("/simple/")}
    assert not asked & FAMILY
    assert not torch_server.log  # the torch source is asked by its own room, never by uv


def test_a_package_that_needs_another_torch_is_an_error_in_uvs_words(
    server: IndexServer, torch_server: IndexServer, source: Source, tmp_path: Path
) -> None:
    torch, vision = blackwell(source, torch_server)
    server.add_package(build_wheel("old", "1.0", requires=("torch<2.5",)))
    with pytest.raises(UvError) as raised:
        close(request(decision(torch, vision, others=("old",)), server, torch_server), source, resolver(tmp_path))
    assert "torch<2.5" in "\n".join(raised.value.causes)


def test_a_companion_that_needs_another_torch_stops_before_uv(
    server: IndexServer, torch_server: IndexServer, source: Source, tmp_path: Path
) -> None:
    torch, _ = blackwell(source, torch_server)
    other = source.add(torch_server, build_wheel("torchaudio", "2.9.0+cu128", tag=TAG, requires=("torch==2.9.0",)))
    with pytest.raises(NoFittingWheelError, match=r"torchaudio 2\.9\.0\+cu128 needs torch==2\.9\.0"):
        close(request(decision(torch, other), server, torch_server), source, resolver(tmp_path))


def test_a_family_name_the_torch_source_lacks_is_an_error_not_a_look_elsewhere(
    server: IndexServer, torch_server: IndexServer, source: Source, tmp_path: Path
) -> None:
    torch, vision = blackwell(source, torch_server)
    source.rows = [each for each in source.rows if each.project != "triton"]
    with pytest.raises(NoFittingWheelError, match=r"needs triton==3\.6\.0, which the torch source does not have"):
        close(request(decision(torch, vision), server, torch_server), source, resolver(tmp_path))
    assert not server.log


def test_hostile_variables_and_configuration_files_change_nothing(
    server: IndexServer, torch_server: IndexServer, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch, vision = blackwell(source, torch_server)
    wanted = close(request(decision(torch, vision), server, torch_server), source, resolver(tmp_path / "clean"))
    with IndexServer() as hostile:
        wheels = tmp_path / "hostile"
        for name in sorted({*wanted, *FAMILY}):
            evil = build_wheel(name, "9.9.9")
            hostile.add_package(evil)
            evil.write(wheels)
        environ = hostile_environment(hostile.default_index, wheels, tmp_path)
        (tmp_path / "uv.toml").write_text(f'[[index]]\nurl = "{hostile.default_index}"\n')
        monkeypatch.chdir(tmp_path)
        how = resolver(tmp_path / "cache", environ=environ)
        assert close(request(decision(torch, vision), server, torch_server), source, how) == wanted
        assert not hostile.log


def hostile_environment(index: str, wheels: Path, folder: Path) -> dict[str, str]:
    pins = folder / "pins.txt"
    pins.write_text("torch==9.9.9\ntriton==9.9.9\nnumpy==9.9.9\n")
    configuration = folder / "config" / "uv"
    configuration.mkdir(parents=True)
    (configuration / "uv.toml").write_text(f'index = [{{ url = "{index}", default = true }}]\n')
    return {
        **dict.fromkeys(("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"), index),
        **dict.fromkeys(("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"), index),
        **dict.fromkeys(("UV_OVERRIDE", "UV_CONSTRAINT", "PIP_CONSTRAINT", "PIP_REQUIREMENT"), str(pins)),
        **dict.fromkeys(("UV_FIND_LINKS", "PIP_FIND_LINKS"), str(wheels)),
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_TORCH_BACKEND": "cpu",
        "UV_EXCLUDE": "torch",
        "UV_PRERELEASE": "allow",
        "UV_RESOLUTION": "lowest",
        "UV_CONFIG_FILE": str(configuration / "uv.toml"),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }


def test_a_hostile_find_links_folder_in_use_serves_no_name_of_the_family(
    server: IndexServer, torch_server: IndexServer, source: Source, tmp_path: Path
) -> None:
    torch, vision = blackwell(source, torch_server)
    for name in sorted(FAMILY):
        build_wheel(name, "9.9.9").write(tmp_path / "links")
    build_wheel("numpy", "2.4.0").write(tmp_path / "links")
    asked = request(decision(torch, vision), server, torch_server)
    asked = replace(asked, indexes=Indexes(default=at(server.default_index), find_links=(at(str(tmp_path / "links")),)))
    found = close(asked, source, resolver(tmp_path / "cache"))
    assert found["torch"].version == "2.10.0+cu128"
    assert found["triton"].version == "3.6.0"
    assert found["numpy"].path == str(tmp_path / "links" / "numpy-2.4.0-py3-none-any.whl")


def test_markers_are_those_of_the_target(
    server: IndexServer, torch_server: IndexServer, source: Source, tmp_path: Path
) -> None:
    torch, vision = blackwell(source, torch_server)
    windows = linux(os="windows", libc=None)
    found = close(
        request(decision(torch, vision), server, torch_server, target=windows), source, resolver(tmp_path / "w")
    )
    assert sorted(found) == ["colorama", "filelock", "numpy", "torch", "torchvision"]
    assert source.asked == []
    arm = linux(arch="aarch64")
    found = close(request(decision(torch, vision), server, torch_server, target=arm), source, resolver(tmp_path / "a"))
    assert "triton" in found
    mac = linux(os="macos", arch="arm64", libc=None, compute_capabilities=(), driver=None)
    found = close(request(decision(torch, vision), server, torch_server, target=mac), source, resolver(tmp_path / "m"))
    assert sorted(found) == ["filelock", "numpy", "torch", "torchvision"]


def test_extras_of_the_family_are_kept(
    server: IndexServer, torch_server: IndexServer, source: Source, tmp_path: Path
) -> None:
    torch, vision = blackwell(source, torch_server)
    asked = request(decision(torch, vision), server, torch_server, requirements=("torch[opt-einsum]>=2.8",))
    assert "opt-einsum" in close(asked, source, resolver(tmp_path))


def test_local_wheels_are_locked_by_path(
    server: IndexServer, torch_server: IndexServer, source: Source, tmp_path: Path
) -> None:
    wheel = build_wheel("torch", "2.13.0+cpu", tag=TAG, requires=("filelock",))
    path = wheel.write(tmp_path / "wheels")
    torch = source.put(wheel, str(path), variant=None, source="find-links")
    what = decision(torch, source="find-links", variant="cpu", accelerator="cpu")
    found = close(request(what, server, torch_server, torch_hosts=frozenset()), source, resolver(tmp_path / "cache"))
    assert (found["torch"].path, found["torch"].url) == (str(path), None)
    assert found["torch"].hash_origin == "computed"


def test_a_row_without_hash_is_hashed_once_and_compared_ever_after(
    server: IndexServer, torch_server: IndexServer, source: Source, tmp_path: Path
) -> None:
    from support.locks import lock_of

    torch, vision = blackwell(source, torch_server, sha256=None)
    what = request(decision(torch, vision), server, torch_server)
    found = close(what, source, resolver(tmp_path))
    assert found["torch"].hash_origin == "first-download"
    lock = lock_of(*found.values())

    def never(wheel: Wheel) -> None:
        raise AssertionError(f"{wheel.filename} was hashed again")

    from gpuenv.environment.dependencies import resolve_dependencies

    again = replace(what, previous=lock)
    packages = resolve_dependencies(again, source=source, hash_of=never, resolver=resolver(tmp_path))  # type: ignore[arg-type]  # it only raises
    assert {package.name: package for package in packages} == found
    source.rows[0] = replace(source.rows[0], sha256="f" * 64)
    changed = replace(again, decision=decision(source.rows[0], vision))
    with pytest.raises(IntegrityError, match="is not the file that was locked"):
        close(changed, source, resolver(tmp_path))


def test_an_existing_lock_holds_versions_until_they_may_move(
    server: IndexServer, torch_server: IndexServer, source: Source, tmp_path: Path
) -> None:
    from support.locks import lock_of

    torch, vision = blackwell(source, torch_server)
    what = request(decision(torch, vision), server, torch_server)
    lock = lock_of(*close(what, source, resolver(tmp_path)).values())
    server.add_package(build_wheel("numpy", "2.4.0"))
    read = parse(render(lock), origin="x")
    kept = close(replace(what, previous=read, preferred=read), source, resolver(tmp_path / "b"))
    assert kept["numpy"].version == "2.3.0"
    moved = close(replace(what, previous=lock), source, resolver(tmp_path / "c"))
    assert moved["numpy"].version == "2.4.0"


@pytest.mark.parametrize("need", ["triton", "triton>=3"])
def test_what_only_other_machines_need_is_not_looked_for_unless_a_package_needs_it_here(
    need: str, server: IndexServer, torch_server: IndexServer, source: Source, tmp_path: Path
) -> None:
    torch, vision = blackwell(source, torch_server)
    source.rows = [each for each in source.rows if each.project != "triton"]  # as on Windows
    server.add_package(build_wheel("compiler", "1.0", requires=(f"{need}; sys_platform == 'linux'",)))
    server.add_package(build_wheel("insists", "1.0", requires=(need,)))
    windows = linux(os="windows", libc=None)
    what = request(decision(torch, vision, others=("compiler",)), server, torch_server, target=windows)
    assert "triton" not in close(what, source, resolver(tmp_path / "a"))
    assert source.asked == []
    what = replace(what, decision=decision(torch, vision, others=("insists",)))
    with pytest.raises(NoFittingWheelError, match="a package needs triton, which the torch source does not have"):
        close(what, source, resolver(tmp_path / "b"))


def test_a_cutoff_leaves_the_family_alone(
    server: IndexServer, torch_server: IndexServer, source: Source, tmp_path: Path
) -> None:
    torch = source.add(torch_server, build_wheel("torch", "2.10.0+cu128", tag=TAG))
    what = request(decision(torch), server, torch_server, exclude_newer="2026-01-03T00:00:00Z")
    assert sorted(close(what, source, resolver(tmp_path))) == ["torch"]
    # The loopback index says no upload times: with a cutoff, uv takes nothing from it rather than something newer.
    with pytest.raises(UvError):
        close(replace(what, decision=decision(torch, others=("numpy",))), source, resolver(tmp_path))


def test_of_several_wheels_of_a_version_the_best_for_the_target_is_locked(
    server: IndexServer, torch_server: IndexServer, source: Source, tmp_path: Path
) -> None:
    torch, vision = blackwell(source, torch_server)
    for tag in ("manylinux2014_x86_64.manylinux_2_17_x86_64", "manylinux_2_27_x86_64.manylinux_2_28_x86_64"):
        server.add_package(build_wheel("pillow", "11.3.0", tag=f"cp312-cp312-{tag}"))
    what = request(decision(torch, vision, others=("pillow",)), server, torch_server)
    found = close(what, source, resolver(tmp_path))
    assert found["pillow"].filename == "pillow-11.3.0-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"
