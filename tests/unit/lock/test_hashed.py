"""Locks of hashed requirements: no address goes in, and the same set comes out wherever the files are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gpuenv.errors import ConfigurationError, IntegrityError, UsageError
from gpuenv.lock.hashed import is_hashed, parse_hashed, placed, render_hashed
from gpuenv.lock.making import hosts_of
from gpuenv.lock.model import Lock, LockedPackage
from gpuenv.model.wheel import Wheel
from support.locks import inputs, lock_of, package


def whole() -> Lock:
    torch = package(
        "torch", "2.10.0+cu128", family=True, tag="cp312-cp312-linux_x86_64", sha256="1" * 64, git="2" * 40,
        requires=("numpy (>=1.0)", 'sympy ; extra == "x"'), dependencies=("numpy",),
    )  # fmt: skip
    numpy = package(
        "numpy", "2.3.0", sha256="3" * 64, source="package-index", dependencies=(), upload_time="2026-01-02"
    )
    packages = (torch, replace(numpy, url="https://files.invalid/a/numpy-2.3.0-py3-none-any.whl"))
    hosts = {"family_hosts": hosts_of(packages, family=True), "package_hosts": hosts_of(packages, family=False)}
    return lock_of(*packages, inputs=inputs(options=("--torch ==2.10.*",), requirements=("numpy",), **hosts))


def row(package: LockedPackage, **changes: object) -> Wheel:
    found = Wheel(
        project=package.name, version=package.version, filename=package.filename, url=str(package.url),
        source=package.source, channel="stable", variant=None, sha256=package.sha256, size=package.size,
        upload_time=package.upload_time,
    )  # fmt: skip
    return replace(found, **changes)  # type: ignore[arg-type] # each is what its field's type says


def test_it_comes_out_as_it_went_in_and_no_address_is_in_it() -> None:
    lock = whole()
    text = render_hashed(lock)
    assert is_hashed(text)
    assert "://" not in text
    assert "pytorch.org" not in text
    bare = parse_hashed(text, origin="a.txt")
    assert [(each.name, each.path, each.url) for each in bare.packages] == [
        ("numpy", "numpy-2.3.0-py3-none-any.whl", None),
        ("torch", "torch-2.10.0+cu128-cp312-cp312-linux_x86_64.whl", None),
    ]
    rows = {package.name: row(package) for package in lock.packages}
    assert placed(bare, rows, sources=lock.inputs.sources) == lock
    assert parse_hashed(text.replace("\n", "\r\n"), origin="a.txt") == bare


def test_a_row_without_a_hash_keeps_the_locked_one_and_one_with_another_is_refused() -> None:
    lock = whole()
    bare = parse_hashed(render_hashed(lock), origin="a.txt")
    rows = {package.name: row(package, sha256=None) for package in lock.packages}
    found = placed(bare, rows, sources=(), signed=["torch"])
    assert [(each.sha256, each.hash_origin, each.signed) for each in found.packages] == [
        ("3" * 64, "first-download", False),
        ("1" * 64, "first-download", True),
    ]
    for changed in ({"sha256": "9" * 64}, {"filename": "numpy-2.3.0-1-py3-none-any.whl"}):
        with pytest.raises(IntegrityError, match="is not the file that was locked"):
            placed(bare, rows | {"numpy": row(lock.by_name["numpy"], **changed)}, sources=())


def test_a_file_of_this_machine_is_on_no_index() -> None:
    local = replace(whole().by_name["numpy"], url=None, path="/srv/numpy-2.3.0-py3-none-any.whl")
    with pytest.raises(UsageError, match="no index can be asked for it"):
        render_hashed(lock_of(local))


def cut(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cut("# ///\n", ""), "is not closed"),
        (cut("# format = 1", "# format = 2"), "format is 2"),
        (cut("# format = 1", "format = 1"), "is not closed"),
        (cut("# format = 1", "# format == 1"), "is not TOML"),
        (cut("sha256:" + "3" * 64, "md5:" + "3" * 32), "is no version with a hash"),
        (cut("sha256:" + "3" * 64, "sha256:" + "3" * 63), "one exact version with one sha256"),
        (cut("numpy==2.3.0 ;", "numpy>=2.3.0 ;"), "one exact version with one sha256"),
        (cut("numpy==2.3.0 ;", "nampy==2.3.0 ;"), "in the block or among the requirements, not in both"),
        (cut("numpy==2.3.0 ;", "torch==2.10.0 ;"), "one exact version with one sha256 has to stand there, once"),
        (cut('"numpy-2.3.0-py3-none-any.whl"', '"../numpy-2.3.0-py3-none-any.whl"'), "not the bare name of a wheel"),
        (cut('needs = []', 'hash = []'), "hash is not known to this gpuenv"),
        (lambda text: text + "six==1.0\n", "'six==1.0' is no version with a hash"),
    ],
)  # fmt: skip
def test_what_is_no_such_lock_is_refused_with_its_place(change: Callable[[str], str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as raised:
        parse_hashed(change(render_hashed(whole())), origin="a.txt")
    assert raised.value.message.startswith("a.txt: ")
