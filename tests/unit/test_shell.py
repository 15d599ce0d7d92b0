"""Words as a shell takes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpuenv import shell
from gpuenv.shell import join, quote


@pytest.mark.parametrize(
    ("word", "posix", "windows"),
    [
        (".venv-gpu", ".venv-gpu", ".venv-gpu"),
        (r"C:\users\Ann\.venv-gpu", r"'C:\users\Ann\.venv-gpu'", r"C:\users\Ann\.venv-gpu"),
        (r"C:\Program Files\x", r"'C:\Program Files\x'", r'"C:\Program Files\x"'),
        ("torch>=2.9", "'torch>=2.9'", '"torch>=2.9"'),
        ("", "''", '""'),
        (r"D:\$env\100% `a`", r"'D:\$env\100% `a`'", r"'D:\$env\100% `a`'"),
        ("it's $5", "'it'\"'\"'s $5'", "'it''s $5'"),
    ],
)
def test_each_system_has_its_quotes(word: str, posix: str, windows: str) -> None:
    assert (quote(word, platform="linux"), quote(word, platform="win32")) == (posix, windows)


def test_a_command_line() -> None:
    assert join(["gpuenv", "create", "my env"], platform="win32") == 'gpuenv create "my env"'


@pytest.mark.parametrize(
    ("posix", "windows", "command"),
    [
        ("unset A B", "Remove-Item Env:A, Env:B", lambda system: shell.unset("A", "B", platform=system)),
        ("a && b", "a; if ($?) { b }", lambda system: shell.then("a", "b", platform=system)),
        ("A='x;y' b", "$env:A = 'x;y'; b", lambda system: shell.with_variable("A", "x;y", "b", platform=system)),
        (
            "rm -rf a 'my b'",
            'Remove-Item -Recurse -Force a, "my b"',
            lambda system: shell.remove_folders("a", "my b", platform=system),
        ),
        ("rm a 'my b'", 'rm a, "my b"', lambda system: shell.remove_files("a", "my b", platform=system)),
        ("mkdir -p 'my b'", 'mkdir "my b"', lambda system: shell.make_folders("my b", platform=system)),
        ("'my b/x'", '& "my b/x"', lambda system: shell.program("my b/x", platform=system)),
        ("b/x", "b/x", lambda system: shell.program("b/x", platform=system)),
    ],
)
def test_each_system_has_its_commands(posix: str, windows: str, command: Callable[[str], str]) -> None:
    assert (command("linux"), command("win32")) == (posix, windows)
