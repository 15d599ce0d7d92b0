"""A registered lock is seen again as what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.environment.roots import register, roots
from gpuenv.environment.store import Store
from gpuenv.lock import codec
from support.locks import lock_of, package


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_lock_that_an_editor_of_windows_saved_is_the_lock_that_was_registered(tmp_path: Path, encoding: str) -> None:
    store, lock, path = Store(tmp_path / "store"), lock_of(package("torch", "2.10.0")), tmp_path / "pylock.toml"
    path.write_bytes(codec.render(lock).replace("\n", "\r\n").encode(encoding))
    register(store, path, lock)
    (root,) = roots(store)
    assert root.state == "there"
    assert root.now == root.wheels == {each.sha256 for each in lock.packages}
