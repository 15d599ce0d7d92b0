"""index.source: catalogs are put together the same whatever the order; the snapshot is the index's identity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gpuenv.index.layout import read_folder
from gpuenv.index.source import local_folder, merge, snapshot
from gpuenv.model.wheel import Catalog, Wheel
from gpuenv.net.location import Location
from support.wheels import torch_wheel


def wheel(version: str = "2.10.0", **changes: object) -> Wheel:
    name = f"torch-{version}-cp312-cp312-win_amd64.whl"
    row = Wheel(
        project="torch",
        version=version,
        filename=name,
        url=f"http://127.0.0.1:1/whl/cu128/{name}",
        source="pytorch",
        channel="stable",
        variant="cu128",
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def test_the_address_of_a_server_is_not_part_of_the_snapshot() -> None:
    here = snapshot([wheel()], bases=["http://127.0.0.1:1/whl"])
    moved = wheel(url=wheel().url.replace(":1/", ":2/"))
    assert snapshot([moved], bases=["http://127.0.0.1:2/whl/"]) == here
    assert snapshot([moved], bases=["http://127.0.0.1:1/whl/"]) != here


def test_every_fact_that_decides_is_part_of_it() -> None:
    changes: list[dict[str, object]] = [
        {"sha256": "a" * 64},
        {"metadata_sha256": "a" * 64},
        {"metadata_sha256": ""},
        {"yanked": ""},
        {"requires_python": ">=3.9"},
        {"variant": None},
        {"channel": "nightly"},
    ]
    assert len({snapshot([wheel()]), *(snapshot([wheel(**change)]) for change in changes)}) == len(changes) + 1


def test_merge_keeps_the_first_and_the_order() -> None:
    first, second = wheel(), wheel("2.11.0")
    one = Catalog(wheels=(second, first), identity=lambda: "1")
    two = Catalog(wheels=(first, wheel("2.12.0")), identity=lambda: "2")
    merged = merge([one, two])
    assert [each.version for each in merged.wheels] == ["2.11.0", "2.10.0", "2.12.0"]
    assert merge([one]).snapshot == "1"
    assert merge([two, one]).snapshot == merged.snapshot not in ("1", "2")


def test_a_folder_of_wheels(tmp_path: Path) -> None:
    built = torch_wheel("2.10.0", "cu128")
    path = built.write(tmp_path / "wheel house")
    (path.parent / "notes.txt").write_text("x", encoding="utf-8")
    (path.parent / "torch-broken.whl").write_text("x", encoding="utf-8")
    listing = read_folder(path.parent, ["torch", "torchvision"])
    assert [(each.project, len(each.wheels), bool(each.failure)) for each in listing] == [
        ("torch", 1, False),
        ("torchvision", 0, True),
    ]
    found = listing[0].wheels[0]
    assert (found.version, found.variant, found.sha256, found.size) == ("2.10.0+cu128", None, None, len(built.body))
    assert found.url.startswith("file://")
    assert "%2B" in found.url


def test_what_is_a_folder(tmp_path: Path) -> None:
    page = tmp_path / "links.html"
    page.write_text("x", encoding="utf-8")
    assert local_folder(Location.of_path(tmp_path)) == tmp_path
    assert local_folder(Location.of_path(page)) is None
    assert local_folder(Location.parse("https://h.example/links/", origin="")) is None
