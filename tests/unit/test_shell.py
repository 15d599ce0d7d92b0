"""Words as a shell takes them."""

from __future__ import annotations

import pytest

from gpuenv.shell import join, quote


@pytest.mark.parametrize(
    ("word", "posix", "windows"),
    [
        (".venv-gpu", ".venv-gpu", ".venv-gpu"),
        (r"C:\users\Ann\.venv-gpu", r"'C:\users\Ann\.venv-gpu'", r"C:\users\Ann\.venv-gpu"),
        (r"C:\Program Files\x", r"'C:\Program Files\x'", r'"C:\Program Files\x"'),
        ("torch>=2.9", "'torch>=2.9'", '"torch>=2.9"'),
        ("", "''", '""'),
    ],
)
def test_each_system_has_its_quotes(word: str, posix: str, windows: str) -> None:
    assert (quote(word, platform="linux"), quote(word, platform="win32")) == (posix, windows)


def test_a_command_line() -> None:
    assert join(["gpuenv", "create", "my env"], platform="win32") == 'gpuenv create "my env"'
