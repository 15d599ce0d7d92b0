"""The marker of an environment: which lock it was built from."""

from __future__ import annotations

from pathlib import Path

from gpuenv.installed.marker import digest, lock_digest


def test_a_lock_is_the_same_with_the_line_ends_of_windows(tmp_path: Path) -> None:
    """git checks it out so where core.autocrlf is on."""
    text = b'lock-version = "1.0"\n\n[[packages]]\nname = "torch"\n'
    (tmp_path / "a").write_bytes(text)
    (tmp_path / "b").write_bytes(text.replace(b"\n", b"\r\n"))
    (tmp_path / "c").write_bytes(text.replace(b"torch", b"torvh"))

    assert lock_digest(tmp_path / "a") == lock_digest(tmp_path / "b") != lock_digest(tmp_path / "c")
    assert digest(tmp_path / "a") != digest(tmp_path / "b")  # a RECORD is what its installer wrote
