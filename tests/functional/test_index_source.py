"""index.source against loopback indexes: layouts, request counts, and what happens when a source fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from gpuenv.errors import IndexUnreachableError, OfflineError, PackageIndexError, PageFormatError
from gpuenv.index.config import Place, SourcePlan, plan_sources
from gpuenv.index.source import Sources, load_source, merge
from gpuenv.model.wheel import Catalog
from gpuenv.net.access import Access
from gpuenv.net.client import Client
from support.addresses import at
from support.index_server import LOGIN_PAGE, Fault, IndexServer
from support.wheels import build_wheel, torch_wheel

FAMILY = ("torch", "torchvision", "torchaudio")
# No time limit that a loaded machine could reach: a time-out would be tried again, and counted as a request.
QUICK = Access(backoff=0.005, connect_timeout=120, read_timeout=120, deadline=600)


@pytest.fixture
def server() -> Iterator[IndexServer]:
    with IndexServer() as running:
        yield running


def fill(server: IndexServer) -> None:
    for variant in ("cpu", "cu126", "cu128"):
        server.add(torch_wheel("2.10.0", variant), folder=variant)
        server.add(build_wheel("torchvision", f"0.25.0+{variant}"), folder=variant)
    server.add(build_wheel("triton", "3.6.0"))
    server.add(torch_wheel("2.11.0.dev20260102", "cu128"), folder="nightly/cu128")


def client(folder: Path, *, offline: bool = False, refresh: bool = False) -> Client:
    return Client(cache=folder / "cache", environ={}, access=QUICK, offline=offline, refresh=refresh)


def asking(http: Client) -> Callable[[Place], Catalog]:
    return partial(load_source, http=http, projects=["torch"])


def mirror(location: str) -> Place:
    return Place(kind="mirror", location=at(location), configured_by="--torch-index", only=True)


def plan(torch: Sequence[Place]) -> SourcePlan:
    return SourcePlan(torch=tuple(torch), default_index=None, extra_indexes=(), find_links=(), access=QUICK)


def seen(catalog: Catalog) -> set[tuple[str, str | None, str]]:
    return {(wheel.version, wheel.variant, wheel.channel) for wheel in catalog.wheels}


def test_a_cold_resolve_costs_one_page_a_project_and_a_warm_one_nothing(server: IndexServer, tmp_path: Path) -> None:
    """The budget of DESIGN §7, on the recorded index with its real number of rows."""
    server.serve_day("2026-01-03")
    place = mirror(server.torch_index)
    cold, warm = client(tmp_path), client(tmp_path)
    first = load_source(place, cold, projects=FAMILY)
    assert cold.counters.requests == 3
    assert {request.path for request in server.log} == {f"/whl/{project}/" for project in FAMILY}
    second = load_source(place, warm, projects=reversed(FAMILY))  # type: ignore[arg-type]
    assert warm.counters.requests == 0
    assert (second, second.snapshot) == (first, first.snapshot)
    fresh = client(tmp_path, refresh=True)
    assert load_source(place, fresh, projects=FAMILY) == first
    assert (fresh.counters.requests, fresh.counters.unchanged) == (3, 3)
    assert load_source(place, client(tmp_path, offline=True), projects=FAMILY) == first


def test_rows_of_the_recorded_index(server: IndexServer, tmp_path: Path) -> None:
    server.serve_day("2026-01-03", projects=FAMILY)
    catalog = load_source(mirror(server.torch_index), client(tmp_path), projects=FAMILY, channels=("stable", "nightly"))
    by_place = {wheel.url.removeprefix(server.torch_index): wheel for wheel in catalog.wheels}
    nightly = by_place["/nightly/cu128/torch-2.11.0.dev20260102%2Bcu128-cp312-cp312-win_amd64.whl"]
    assert (nightly.channel, nightly.variant, nightly.sha256) == ("nightly", "cu128", None)
    assert nightly.metadata_sha256
    same_name = [w for w in catalog.wheels if w.filename == "torchvision-0.24.1-cp312-cp312-manylinux_2_28_aarch64.whl"]
    assert len(same_name) > 1  # one file name in several folders is several wheels, of different bytes
    assert len({wheel.sha256 for wheel in same_name}) == len({wheel.variant for wheel in same_name}) == len(same_name)


def test_variant_and_channel_come_from_the_folder(server: IndexServer, tmp_path: Path) -> None:
    fill(server)
    server.add(build_wheel("torchvision", "0.25.1+cu999"), folder="cu126")  # a local part that lies
    projects = ("torch", "torchvision", "triton")
    catalog = load_source(
        mirror(server.torch_index), client(tmp_path), projects=projects, channels=("stable", "nightly")
    )
    assert ("2.10.0+cu128", "cu128", "stable") in seen(catalog)
    assert ("0.25.1+cu999", "cu126", "stable") in seen(catalog)
    assert ("3.6.0", None, "stable") in seen(catalog)
    assert ("2.11.0.dev20260102+cu128", "cu128", "nightly") in seen(catalog)
    locations = [each.location.removeprefix(server.url) for each in catalog.attempts]
    assert locations == ["/whl"] * 3 + ["/whl/nightly"] * 3


def test_a_project_that_is_not_there_is_an_attempt_beside_those_that_are(server: IndexServer, tmp_path: Path) -> None:
    fill(server)
    catalog = load_source(mirror(server.torch_index), client(tmp_path), projects=["torch", "torchaudio"])
    attempts = {each.project: each for each in catalog.attempts}
    assert (attempts["torch"].failure, attempts["torch"].wheels) == ("", 3)
    assert attempts["torchaudio"].failure == "no page of it there"


@pytest.mark.parametrize("status", [403, 404])
def test_an_index_that_refuses_every_page_is_an_error(server: IndexServer, tmp_path: Path, status: int) -> None:
    fill(server)
    server.fault("/whl/", Fault(status=status))
    with pytest.raises(IndexUnreachableError) as caught:
        load_source(mirror(server.torch_index), client(tmp_path), projects=FAMILY)
    assert f"it answers {status}" in caught.value.causes[0]


def test_a_mirror_with_variant_folders_only(server: IndexServer, tmp_path: Path) -> None:
    fill(server)
    for project in ("torch", "torchvision"):
        server.fault(f"/whl/{project}/", Fault(status=404))
    catalog = load_source(mirror(server.torch_index), client(tmp_path), projects=["torch", "torchvision"])
    assert {variant for _, variant, _ in seen(catalog)} == {"cpu", "cu126", "cu128"}
    assert len(catalog.wheels) == 6


def test_a_mirror_without_a_list_of_its_folders_takes_known_variants(server: IndexServer, tmp_path: Path) -> None:
    fill(server)
    server.fault("/whl/torch/", Fault(status=404))
    place, http = mirror(server.torch_index), client(tmp_path)
    rows = load_source(place, client(tmp_path / "other"), projects=["torch"])
    server.heal()
    server.fault("/whl/torch/", Fault(status=404))
    for listing in ("/whl/",):
        server.fault(listing, Fault(status=403, times=2))
    catalog = load_source(place, http, projects=["torch"], variants=("cu128", "cu126", "cpu", "cu777"))
    assert seen(catalog) == seen(rows)


def test_a_mirror_whose_list_is_a_program_for_browsers(server: IndexServer, tmp_path: Path) -> None:
    fill(server)
    script = b"<!DOCTYPE html><html><body><script src=app.js></script></body></html>"
    server.fault("/whl/", Fault(body=script, times=2))
    server.fault("/whl/torch/", Fault(status=404, times=1))
    catalog = load_source(mirror(server.torch_index), client(tmp_path), projects=["torch"], variants=("cu128",))
    assert seen(catalog) == {("2.10.0+cu128", "cu128", "stable")}


@pytest.mark.parametrize("base", ["/whl", "/whl/cu128"])
def test_a_mirror_with_one_flat_page_a_variant(tmp_path: Path, base: str) -> None:
    with IndexServer(flat=True) as server:
        fill(server)
        server.fault("/whl/torch/", Fault(status=404))
        variants = ("cpu", "cu126", "cu128")
        place = mirror(server.url + base)
        catalog = load_source(place, client(tmp_path), projects=["torch", "torchvision"], variants=variants)
    expected = variants if base == "/whl" else ("cu128",)
    assert {variant for _, variant, _ in seen(catalog)} == set(expected)
    assert {wheel.project for wheel in catalog.wheels} == {"torch", "torchvision"}


def test_a_mirror_in_a_folder_without_any_page(tmp_path: Path) -> None:
    root = tmp_path / "mirror"
    torch_wheel("2.10.0", "cu128").write(root / "cu128")
    torch_wheel("2.10.0", "cpu").write(root / "cpu")
    found = plan_sources(torch_index=str(root), environ={}, platform=sys.platform, folder=tmp_path)
    catalog = merge(catalog for _, catalog in Sources(found, asking(client(tmp_path))))
    assert {variant for _, variant, _ in seen(catalog)} == {"cpu", "cu128"}


def test_the_default_package_index_as_a_source(server: IndexServer, tmp_path: Path) -> None:
    wheel = torch_wheel("2.10.0", "cu128", local=False)
    server.add_package(wheel)
    place = Place(kind="package-index", location=at(server.default_index), configured_by="default")
    catalog = load_source(place, client(tmp_path), projects=["torch", "torchvision"])
    found = catalog.wheels[0]
    assert (found.version, found.variant, found.source) == ("2.10.0", None, "package-index")
    assert (found.sha256, found.requires_python) == (wheel.sha256, ">=3.10")
    assert catalog.attempts[1].failure == "not there (status 404)"


def test_a_page_of_links(server: IndexServer, tmp_path: Path) -> None:
    fill(server)
    place = Place(kind="find-links", location=at(f"{server.torch_index}/torch/"), configured_by="--find-links")
    catalog = load_source(place, client(tmp_path), projects=["torch", "numpy"])
    assert {variant for _, variant, _ in seen(catalog)} == {"cpu", "cu126", "cu128"}
    assert catalog.attempts[0].failure == "no wheel of it there"  # numpy


def test_sources_are_asked_only_as_far_as_needed(server: IndexServer, tmp_path: Path) -> None:
    torch_wheel("2.10.0", "cu128").write(tmp_path / "house")
    local = Place(kind="find-links", location=at(str(tmp_path / "house")), configured_by="--find-links")
    sources = Sources(plan([local, mirror(server.torch_index)]), asking(client(tmp_path)))
    assert len(next(iter(sources))[1].wheels) == 1
    assert server.log == []


def test_a_dead_source_is_an_attempt_and_the_next_is_asked(server: IndexServer, tmp_path: Path) -> None:
    server.fault("/whl/", Fault(status=503))
    torch_wheel("2.13.0", "cpu").write(tmp_path / "house")
    places = [
        Place(kind="pytorch", location=at(server.torch_index), configured_by="default"),
        Place(kind="find-links", location=at(str(tmp_path / "house")), configured_by="PIP_FIND_LINKS"),
    ]
    sources = Sources(plan(places), asking(client(tmp_path)))
    assert [len(catalog.wheels) for _, catalog in sources] == [0, 1]
    assert "503" in sources.attempts[0].failure
    assert sources.attempts[1].configured_by == "PIP_FIND_LINKS"


def test_the_index_a_user_insists_on_fails_for_good(server: IndexServer, tmp_path: Path) -> None:
    server.fault("/whl/", Fault(status=503))
    torch_wheel("2.13.0", "cpu").write(tmp_path / "house")
    house = Place(kind="find-links", location=at(str(tmp_path / "house")), configured_by="pip")
    with pytest.raises(IndexUnreachableError, match="cannot be used"):
        list(Sources(plan([mirror(server.torch_index), house]), asking(client(tmp_path))))


def test_no_source_at_all_names_every_one_in_order(server: IndexServer, tmp_path: Path) -> None:
    server.fault("/whl/", Fault(status=403))
    places = [
        Place(kind="pytorch", location=at(server.torch_index.replace("://", "://me:canary@")), configured_by="default"),
        Place(kind="find-links", location=at(str(tmp_path / "missing")), configured_by="/etc/pip.conf"),
        Place(kind="package-index", location=at(server.default_index), configured_by="PIP_INDEX_URL"),
    ]
    sources = Sources(plan(places), asking(client(tmp_path)))
    assert [catalog.wheels for _, catalog in sources] == [(), (), ()]
    error = sources.nothing()
    assert isinstance(error, IndexUnreachableError)
    first, second, third = error.causes
    assert "(default)" in first
    assert "403" in first
    assert "(/etc/pip.conf)" in second
    assert "not there (status 404)" in third
    assert "canary" not in " ".join([error.message, *error.causes, *error.hints])


def test_offline_without_a_copy_is_its_own_error(server: IndexServer, tmp_path: Path) -> None:
    default = Place(kind="pytorch", location=at(server.torch_index), configured_by="default")
    sources = Sources(plan([default]), asking(client(tmp_path, offline=True)))
    assert [catalog.wheels for _, catalog in sources] == [()]
    assert isinstance(sources.nothing(), OfflineError)
    assert server.log == []


@pytest.mark.parametrize(
    "fault",
    [Fault(body=LOGIN_PAGE), Fault(body=b"\x00garbage\xff"), Fault(body=b'<!DOCTYPE html><html><a href="x.whl">x</a>')],
    ids=["login", "garbage", "cut-off"],
)
def test_what_is_no_page_is_an_error_and_forgotten(server: IndexServer, tmp_path: Path, fault: Fault) -> None:
    fill(server)
    server.fault("/whl/torch/", fault)
    place = mirror(server.torch_index)
    with pytest.raises(PageFormatError, match="not an index page"):
        load_source(place, client(tmp_path), projects=["torch"])
    server.heal()
    assert load_source(place, client(tmp_path), projects=["torch"]).wheels


def test_every_index_fault_ends_with_exit_code_4() -> None:
    assert {error.exit_code for error in (PackageIndexError, IndexUnreachableError, OfflineError, PageFormatError)} == {
        4
    }
