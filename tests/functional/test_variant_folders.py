"""Mirrors with variant folders only: their layout is learned once, a wrong address is said after few requests (D8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv.errors import IndexUnreachableError
from gpuenv.index.config import Place
from gpuenv.index.source import load_source
from gpuenv.knowledge import load
from gpuenv.model.wheel import Catalog
from gpuenv.net.access import Access
from gpuenv.net.cache import CacheEntry
from gpuenv.net.client import Client
from support.addresses import at
from support.index_server import Fault, IndexServer
from support.wheels import build_wheel, torch_wheel

QUICK = Access(backoff=0.005, connect_timeout=120, read_timeout=120, deadline=600)
PROJECTS = ("torch", "torchvision", "torchaudio")
VARIANTS = ("cpu", "cu126", "cu128", "cu130")
KNOWN = ("cpu", *sorted({variant for _, variant, _ in load().kernels} - {"cpu"}, reverse=True))


@pytest.fixture
def server() -> Iterator[IndexServer]:
    """A mirror of nightlies without project pages at its root."""
    with IndexServer() as running:
        fill(running)
        yield running


def fill(server: IndexServer, variants: tuple[str, ...] = VARIANTS) -> None:
    for variant in variants:
        server.add(torch_wheel("2.10.0", variant), folder=f"nightly/{variant}")
        server.add(build_wheel("torchvision", f"0.25.0+{variant}"), folder=f"nightly/{variant}")
    for project in PROJECTS:
        server.fault(f"/whl/nightly/{project}/", Fault(status=404))


def ask(server: IndexServer, cache: Path, *, refresh: bool = False, base: str = "/whl/nightly") -> tuple[Catalog, int]:
    """The catalog, and the number of requests it took."""
    before = len(server.requests())
    place = Place(kind="mirror", location=at(server.url + base), configured_by="--torch-index", only=True)
    with Client(cache=cache, environ={}, access=QUICK, refresh=refresh) as http:
        catalog = load_source(place, http, projects=PROJECTS, variants=KNOWN)
    return catalog, len(server.requests()) - before


def a_day_later(cache: Path) -> None:
    """Let what is kept be a day old: pages have to be asked for again."""
    for path in cache.rglob("*"):
        if path.is_file() and (entry := CacheEntry.unpacked(path.read_bytes())) is not None:
            path.write_bytes(replace(entry, fetched=entry.fetched - 86_400).packed())


def seen(catalog: Catalog) -> set[tuple[str, str | None]]:
    return {(wheel.project, wheel.variant) for wheel in catalog.wheels}


ALL = {(project, variant) for project in ("torch", "torchvision") for variant in VARIANTS}


def test_the_layout_is_learned_once(server: IndexServer, tmp_path: Path) -> None:
    cold, first = ask(server, tmp_path)
    warm, at_once = ask(server, tmp_path)
    a_day_later(tmp_path)
    later, second = ask(server, tmp_path)
    fresh, third = ask(server, tmp_path, refresh=True)

    assert seen(cold) == seen(warm) == seen(later) == seen(fresh) == ALL
    assert cold.snapshot == later.snapshot
    assert at_once == 0
    # three projects and the list at the root, the page of the first folder, then three projects in each folder
    assert first == third == 3 + 1 + 1 + 3 * len(VARIANTS)
    # the list, and what is there: torchaudio is not asked for again
    assert second == 1 + 2 * len(VARIANTS)


def test_a_mirror_of_flat_pages_costs_one_page_a_folder(tmp_path: Path) -> None:
    with IndexServer(flat=True) as server:
        fill(server)
        cold, first = ask(server, tmp_path)
        a_day_later(tmp_path)
        warm, second = ask(server, tmp_path)
        assert seen(cold) == seen(warm) == ALL
        # no list: seven folders that are known are looked for in both forms, the others in the one that was found
        absent = len([name for name in KNOWN[:7] if name not in VARIANTS])
        assert first == 3 + 1 + 7 + absent + len(KNOWN) - 7
        assert second == len(VARIANTS)

        one, third = ask(server, tmp_path, base="/whl/nightly/cu128")
        a_day_later(tmp_path)
        again, fourth = ask(server, tmp_path, base="/whl/nightly/cu128")
        assert {variant for _, variant in seen(one)} == {variant for _, variant in seen(again)} == {"cu128"}
        assert (third, fourth) == (3, 1), "its page is known from before"


def test_a_folder_that_appears_later_is_seen(server: IndexServer, tmp_path: Path) -> None:
    ask(server, tmp_path)
    server.add(torch_wheel("2.11.0", "cu134"), folder="nightly/cu134")
    a_day_later(tmp_path)

    later, count = ask(server, tmp_path)

    assert ("torch", "cu134") in seen(later)
    assert count == 1 + 2 * len(VARIANTS) + 1 + 3  # the page of the new folder, and three projects in it
    a_day_later(tmp_path)
    assert ask(server, tmp_path)[1] == 1 + 2 * len(VARIANTS) + 1


def test_a_layout_that_no_longer_holds_is_learned_anew(server: IndexServer, tmp_path: Path) -> None:
    ask(server, tmp_path)
    server.heal()
    for variant in VARIANTS:
        server.fault(f"/whl/nightly/{variant}/", Fault(status=404))
    a_day_later(tmp_path)

    later, _ = ask(server, tmp_path)

    assert seen(later) == ALL


@pytest.mark.parametrize("status", [403, 404])
def test_a_wrong_address_is_said_after_few_requests(server: IndexServer, tmp_path: Path, status: int) -> None:
    server.fault("/elsewhere/", Fault(status=status))
    before = len(server.requests())
    with pytest.raises(IndexUnreachableError) as caught:
        ask(server, tmp_path, base="/elsewhere")

    assert len(server.requests()) - before == 3 + 1 + 7 * 2
    assert f"it answers {status} for each of their pages" in caught.value.causes[0]
    assert "cpu/, " in caught.value.causes[0]
    assert "give the folder of one with --torch-index" in caught.value.hints[1]
