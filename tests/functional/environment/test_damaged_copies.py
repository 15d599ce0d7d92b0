"""What is remembered and what is kept gets damaged: dropped, said, made again; never a reason to build nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.environment.build import BuildOptions
from gpuenv.environment.store import Store
from gpuenv.errors import IntegrityError
from support.wheels import BuiltWheel, build_wheel
from support.workshop import NO_RETRIES, Workshop, alpha, torch


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def keep(store: Store, wheel: BuiltWheel, folder: Path) -> Path:
    return store.add(wheel.write(folder), filename=wheel.filename, sha256=wheel.sha256)


def flip(path: Path) -> None:
    """One bit, in the middle."""
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize("content", ["", "0" * 40])
def test_remembered_records_that_a_power_cut_emptied(workshop: Workshop, content: str) -> None:
    """L4: a build went on failing for ever."""
    workshop.build([alpha(), torch()])
    remembered = sorted((workshop.folder / "state/records").iterdir())
    assert len(remembered) == 2
    before = [path.read_bytes() for path in remembered]
    for path in remembered:
        path.write_text(content)

    workshop.build([alpha(), torch()])

    assert [path.read_bytes() for path in remembered] == before
    assert sum("dropping the remembered RECORD" in line for line in workshop.told.lines) == 2


def test_a_record_remembered_of_a_damaged_cache_is_read_again(workshop: Workshop) -> None:
    """What the first build saw in uv's cache may be what was wrong: a fetched and hashed wheel is right."""
    wheel = alpha()
    workshop.build([wheel])
    (unpacked,) = (workshop.folder / "cache").glob("archive-v*/*/alpha-1.0.dist-info/RECORD")
    whole = unpacked.read_text()
    unpacked.write_text(whole.replace("METADATA,sha256=", "METADATA,sha256=A"))
    for path in (workshop.folder / "state/records").iterdir():
        path.unlink()
    workshop.build([wheel])  # the row that was changed is that of a file nobody compares without --deep
    unpacked.write_text(whole)

    built = workshop.build([wheel])

    assert built.fetched == ("alpha",)
    workshop.server.requests.clear()
    assert workshop.build([wheel]).fetched == ()


@pytest.mark.parametrize("damage", [flip, truncate])
@pytest.mark.parametrize("served", [True, False])
def test_a_damaged_copy_in_the_store(
    workshop: Workshop, store: Store, tmp_path: Path, damage: object, served: bool
) -> None:
    """L5: it is dropped and the wheel comes from where the lock says; a wheel beside it stays."""
    assert callable(damage)
    kept, other = keep(store, alpha(), tmp_path), keep(store, torch(), tmp_path)
    damage(kept)

    options = BuildOptions(store=store, offline=not served, extra_env=NO_RETRIES)
    if not served:
        with pytest.raises(IntegrityError, match=r"the store's copy of alpha-1\.0.* is damaged, and offline") as caught:
            workshop.build([alpha(), torch()], options=options)
        assert caught.value.causes[0] == str(kept)
        assert "`gpuenv lock --keep --profile " in caught.value.hints[0]
        assert not workshop.target.exists()
        return
    workshop.build([alpha(), torch()], options=options)

    assert workshop.look().differences == ()
    assert not kept.exists()
    assert other.exists()
    assert f"the store's copy of {kept.name} is damaged: fetching it again" in workshop.told.lines
    assert "GET " + other.name not in workshop.server.requests


def test_one_version_with_other_bytes_at_one_address(workshop: Workshop) -> None:
    """uv keeps a wheel by its address: the hash of the lock says that what it kept is another."""
    first, second = (build_wheel("alpha", "1.0", files={"alpha/__init__.py": f"MARK = {mark}\n"}) for mark in "12")
    for wheel, mark in ((first, "1"), (second, "2"), (first, "1")):
        workshop.build([wheel])
        (module,) = workshop.target.glob("lib/python*/site-packages/alpha/__init__.py")
        assert module.read_text() == f"MARK = {mark}\n"
