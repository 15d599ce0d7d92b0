"""Words as the shell of this system takes them: a hint is a command that works where it is typed."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable

_PLAIN = re.compile(r"[A-Za-z0-9_.+:=/\\-]+")
"""What neither PowerShell nor cmd takes apart."""

_FILLED_IN = frozenset("$`")
"""What PowerShell replaces between double quotes."""


def quote(word: str, *, platform: str = sys.platform) -> str:
    """The word as it is typed: in single quotes for a POSIX shell, in double ones, which PowerShell and cmd share, but
    for what PowerShell alone would fill in.

    >>> quote("my folder", platform="linux"), quote("C:\\\\my folder", platform="win32")
    ("'my folder'", '"C:\\\\my folder"')
    """
    if platform != "win32":
        return shlex.quote(word)
    if not _FILLED_IN.isdisjoint(word):
        return _literal(word)
    return word if _PLAIN.fullmatch(word) else '"' + word.replace('"', '""') + '"'


def join(words: Iterable[str], *, platform: str = sys.platform) -> str:
    """A command line of these words."""
    return " ".join(quote(word, platform=platform) for word in words)


def program(path: str, *, platform: str = sys.platform) -> str:
    """A path as it is typed where a command begins: PowerShell takes one in quotes for a text, and prints it.

    >>> program("C:\\\\my folder\\\\x.ps1", platform="win32")
    '& "C:\\\\my folder\\\\x.ps1"'
    """
    quoted = quote(path, platform=platform)
    return f"& {quoted}" if platform == "win32" and quoted != path else quoted


def unset(*names: str, platform: str = sys.platform) -> str:
    """The command that takes variables out of a session.

    >>> unset("CUDA_HOME", "CUDA_PATH", platform="linux"), unset("CUDA_HOME", "CUDA_PATH", platform="win32")
    ('unset CUDA_HOME CUDA_PATH', 'Remove-Item Env:CUDA_HOME, Env:CUDA_PATH')
    """
    if platform != "win32":
        return " ".join(["unset", *names])
    return "Remove-Item " + ", ".join(f"Env:{name}" for name in names)


def with_variable(name: str, value: str, command: str, *, platform: str = sys.platform) -> str:
    """A command with a variable of its own; in PowerShell the variable stays set for the session.

    >>> with_variable("A", "8.0;9.0", "x", platform="linux"), with_variable("A", "8.0;9.0", "x", platform="win32")
    ("A='8.0;9.0' x", "$env:A = '8.0;9.0'; x")
    """
    if platform != "win32":
        return f"{name}={quote(value, platform=platform)} {command}"
    return f"$env:{name} = {_literal(value)}; {command}"


def then(first: str, second: str, *, platform: str = sys.platform) -> str:
    """The second command where the first one worked: Windows PowerShell has no ``&&``.

    >>> then("a", "b", platform="linux"), then("a", "b", platform="win32")
    ('a && b', 'a; if ($?) { b }')
    """
    return f"{first} && {second}" if platform != "win32" else f"{first}; if ($?) {{ {second} }}"


def remove_folders(*paths: str, platform: str = sys.platform) -> str:
    """The command that removes folders with all that is in them, without a question.

    >>> remove_folders("a", "my b", platform="linux"), remove_folders("a", "my b", platform="win32")
    ("rm -rf a 'my b'", 'Remove-Item -Recurse -Force a, "my b"')
    """
    quoted = [quote(path, platform=platform) for path in paths]
    return "rm -rf " + " ".join(quoted) if platform != "win32" else "Remove-Item -Recurse -Force " + ", ".join(quoted)


def remove_files(*paths: str, platform: str = sys.platform) -> str:
    """The command that removes files."""
    return "rm " + (", " if platform == "win32" else " ").join(quote(path, platform=platform) for path in paths)


def make_folders(path: str, *, platform: str = sys.platform) -> str:
    """The command that makes a folder and those above it, as PowerShell's and cmd's ``mkdir`` do by itself."""
    return f"mkdir {'' if platform == 'win32' else '-p '}{quote(path, platform=platform)}"


def _literal(text: str) -> str:
    """A text in PowerShell's single quotes, in which nothing is filled in."""
    return "'" + text.replace("'", "''") + "'"
