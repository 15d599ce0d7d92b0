"""The audit finds what no resolver should have let through."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpuenv.errors import IntegrityError
from gpuenv.lock.audit import audit, same_file, same_place
from gpuenv.lock.model import LockedPackage
from gpuenv.model.wheel import Wheel
from support.locks import package

TORCH = package("torch", "2.10.0+cu128", family=True)
NUMPY = package("numpy", "2.3.0", url="https://files.example/numpy-2.3.0-py3-none-any.whl", source="package-index")
ROW = Wheel(
    project="torch",
    version=TORCH.version,
    filename=TORCH.filename,
    url=f"{TORCH.url}#sha256={TORCH.sha256}",
    source="pytorch",
    channel="stable",
    variant="cu128",
    sha256=TORCH.sha256,
)
EVIL = "https://files.example/torch-2.10.0%2Bcu128-py3-none-any.whl"


def faults(*packages: LockedPackage, row: Wheel = ROW, single_source: bool = False) -> str:
    try:
        audit(
            packages,
            family=frozenset({"torch", "triton"}),
            torch_rows={"torch": row},
            torch_hosts=frozenset({"download.pytorch.org"}),
            single_source=single_source,
        )
    except IntegrityError as error:
        return "\n".join(error.causes)
    return ""


def test_all_is_well() -> None:
    assert faults(TORCH, NUMPY) == ""


@pytest.mark.parametrize(
    ("package", "said"),
    [
        (replace(TORCH, url=EVIL), f"expected from {TORCH.url}, found at {EVIL}"),
        (replace(TORCH, url=str(TORCH.url).replace("cu128/", "cu126/")), "expected from"),
        (replace(TORCH, url=str(TORCH.url).replace("https://", "http://")), "expected from"),
        (replace(TORCH, url=str(TORCH.url).replace(".org", ".org.evil.example")), "expected from"),
        (replace(TORCH, version="2.9.0+cu128"), "2.10.0+cu128 was decided"),
        (replace(TORCH, sha256="1" * 64), "the index says sha256"),
        (replace(TORCH, family=False), "is not marked as one of the family"),
        (package("triton", "3.6.0", family=True), "the torch source was never asked for it"),
        (package("numpy", "2.3.0"), "expected from the package index, found at https://download.pytorch.org"),
        (replace(NUMPY, filename="numpy-2.3.0.tar.gz"), "is not a wheel"),
    ],
)
def test_each_fault_is_named(package: LockedPackage, said: str) -> None:
    others = () if package.name == "torch" else (TORCH,)
    assert said in faults(package, *others)


def test_with_one_source_everything_comes_from_it() -> None:
    assert faults(TORCH, package("numpy", "2.3.0"), single_source=True) == ""
    assert "expected from one of download.pytorch.org" in faults(TORCH, NUMPY, single_source=True)


def test_credentials_are_never_shown() -> None:
    found = faults(replace(TORCH, url="https://me:secret@files.example/torch.whl?token=x"))
    assert "secret" not in found
    assert "token" not in found


def test_places() -> None:
    assert same_place("https://h/a-1.whl#sha256=0", "https://user@h/a-1.whl")
    assert same_place("file:///srv/a%2Bb.whl", "/srv/a+b.whl")
    assert not same_place("https://h/a-1.whl", "https://g/a-1.whl")
    assert same_file("https://download.pytorch.org/whl/a.whl", "https://download-r2.pytorch.org/whl/a.whl")
    assert not same_file("https://download.pytorch.org/whl/a.whl", "https://evil.example/whl/a.whl")
