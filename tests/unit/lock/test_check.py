"""Every reason for which a lock no longer says what it said."""

from __future__ import annotations

from dataclasses import replace

from gpuenv.lock.check import LockVerdict, check, is_broken, unlisted
from gpuenv.lock.fit import LockMismatch
from gpuenv.lock.model import Lock
from gpuenv.model.wheel import Wheel
from support.locks import inputs, lock_of, package

TORCH = package("torch", "2.11.0.dev20260102+cu128", family=True, hash_origin="first-download")
TRITON = package("triton", "3.6.0+git9844da95", family=True)
NUMPY = package("numpy", "2.3.0", url="https://files.example/numpy-2.3.0-py3-none-any.whl", source="package-index")
LOCK = lock_of(TORCH, TRITON, NUMPY)


def row(name: str, url: str | None = None, *, sha256: str | None = None, size: int | None = None) -> Wheel:
    locked = LOCK.by_name[name]
    return Wheel(
        project=name,
        version=locked.version,
        filename=locked.filename,
        url=url or str(locked.url),
        source="pytorch",
        channel="nightly",
        variant="cu128",
        sha256=sha256,
        size=size,
    )


ROWS = (row("torch"), row("triton", sha256="0" * 64))


def verdict(rows: tuple[Wheel, ...] | None = ROWS, **changes: object) -> LockVerdict:
    values: dict[str, object] = {"links": {}, "now": LOCK.inputs, "fresh": LOCK, "mismatch": None}
    return check(LOCK, rows=rows, **(values | changes))  # type: ignore[arg-type]  # one dictionary for all


def test_a_lock_that_holds_has_no_reason() -> None:
    assert verdict().reasons == ()
    assert verdict(None).reasons == ()


def test_the_package_index_is_not_asked_about() -> None:
    assert [each.name for each in unlisted(LOCK, ())] == ["torch", "triton"]
    single = replace(LOCK, decision=replace(LOCK.decision, single_source=True))
    assert [each.name for each in unlisted(single, ())] == ["numpy", "torch", "triton"]


def test_the_same_path_on_another_of_pytorchs_hosts_is_the_same_row() -> None:
    moved = str(TORCH.url).replace("download.pytorch.org", "download-r2.pytorch.org")
    assert unlisted(LOCK, (row("torch", moved), *ROWS)) == ()
    elsewhere = str(TORCH.url).replace("download.pytorch.org", "mirror.example")
    assert unlisted(LOCK, (row("torch", elsewhere), ROWS[1])) == (TORCH,)
    folder = str(TORCH.url).replace("/cu128/", "/cu126/")
    assert unlisted(LOCK, (row("torch", folder), ROWS[1])) == (TORCH,)


def test_hidden_and_gone_are_told_apart() -> None:
    links = {TORCH.location: "answers", TRITON.location: "gone"}
    found = verdict((), links=links)
    assert [(each.kind, each.package) for each in found.reasons] == [("gone", "triton"), ("hidden", "torch")]
    assert "its link still answers, without any promise" in found.reasons[1].sentence
    assert "is not known" in verdict(()).reasons[0].sentence


def test_a_changed_row_is_broken_and_comes_first() -> None:
    found = verdict((row("torch", sha256="f" * 64), ROWS[1]), links={}, now=inputs(knowledge="later"))
    assert [each.kind for each in found.reasons] == ["row-changed", "knowledge-changed"]
    assert is_broken(found.reasons)
    assert "f" * 64 in found.reasons[0].sentence
    assert "first-download" in found.reasons[0].sentence
    assert is_broken(verdict((row("torch", size=999), ROWS[1])).reasons)
    assert not is_broken(verdict((row("torch", size=1000), ROWS[1])).reasons)


def test_profile_knowledge_and_machine() -> None:
    mismatch = LockMismatch(what="driver", sentence="needs driver 580", locked="580", found="570")
    found = verdict(now=inputs(profile_digest="c" * 64, knowledge="later"), mismatch=mismatch)
    assert [each.kind for each in found.reasons] == ["machine", "profile-changed", "knowledge-changed"]
    assert not is_broken(found.reasons)


def test_outdated_names_the_family_and_counts_the_rest() -> None:
    fresh: Lock = lock_of(package("torch", "2.11.0.dev20260310+cu128", family=True), TRITON)
    found = verdict(fresh=fresh)
    assert [each.kind for each in found.reasons] == ["outdated"]
    assert found.reasons[0].sentence == (
        "a lock made now differs: torch 2.11.0.dev20260102+cu128 -> 2.11.0.dev20260310+cu128, 1 other package"
    )
    assert found.replacement is not None
    assert len(found.replacement.changes) == 2
