"""A folder of wheels by content."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.environment.store import Store
from gpuenv.errors import IntegrityError
from support.locks import lock_of, package
from support.wheels import BuiltWheel, build_wheel

ONE = build_wheel("torch", "2.10.0+cu128")
OTHER = build_wheel("torch", "2.10.0+cu126")


def keep(store: Store, wheel: BuiltWheel, folder: Path, *, name: str = "") -> Path:
    return store.add(wheel.write(folder), filename=name or wheel.filename, sha256=wheel.sha256)


def test_what_is_kept_is_found_by_content(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert store.list() == ()
    path = keep(store, ONE, tmp_path)
    assert keep(store, ONE, tmp_path) == path
    assert store.get(ONE.sha256, ONE.filename) == path
    assert store.get(OTHER.sha256, ONE.filename) is None
    assert [(wheel.filename, wheel.size) for wheel in store.list()] == [(ONE.filename, len(ONE.body))]


def test_one_name_with_two_contents_is_two_wheels(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    keep(store, ONE, tmp_path)
    keep(store, OTHER, tmp_path, name=ONE.filename)
    assert {wheel.sha256 for wheel in store.list()} == {ONE.sha256, OTHER.sha256}
    assert {wheel.filename for wheel in store.list()} == {ONE.filename}


def test_one_content_under_two_names_serves_both(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    keep(store, ONE, tmp_path)
    renamed = store.get(ONE.sha256, "torch-2.10.0+cu128-1-py3-none-any.whl")
    assert renamed is not None
    assert renamed.read_bytes() == ONE.body


def test_other_bytes_are_never_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(IntegrityError, match="is not the wheel that was locked"):
        store.add(ONE.write(tmp_path), filename=ONE.filename, sha256="0" * 64)
    assert store.list() == ()
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["../evil-1-py3-none-any.whl", "a.tar.gz", ".hidden.whl", "a\\b.whl", ""])
def test_names_that_are_no_wheels(name: str, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="not a wheel's file name"):
        Store(tmp_path / "store").add(ONE.write(tmp_path), filename=name, sha256=ONE.sha256)


def test_damage_is_found_and_removed_only_when_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    path = keep(store, ONE, tmp_path)
    keep(store, OTHER, tmp_path)
    assert store.verify() == ()
    path.write_bytes(ONE.body[:-1])
    assert [damage.wheel.path for damage in store.verify()] == [path]
    assert path.exists()


def test_prune_keeps_what_locks_name(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    path, other = keep(store, ONE, tmp_path), keep(store, OTHER, tmp_path)
    assert [wheel.path for wheel in store.prune({OTHER.sha256}, dry_run=True)] == [path]
    assert path.exists()
    assert [wheel.path for wheel in store.prune({OTHER.sha256})] == [path]
    assert not path.parent.exists()
    assert other.exists()


def test_a_lock_takes_what_is_kept_from_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    path = keep(store, ONE, tmp_path)
    lock = lock_of(
        package("torch", "2.10.0+cu128", sha256=ONE.sha256, family=True), package("numpy", "2.3.0", sha256="1" * 64)
    )
    here = store.localized(lock)
    assert here.by_name["torch"].path == path.as_posix()
    assert here.by_name["numpy"] == lock.by_name["numpy"]
    assert [each.name for each in store.missing(lock)] == ["numpy"]
