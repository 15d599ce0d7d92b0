"""Words as the shell of this system takes them: a hint is a command that works where it is typed."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable

_PLAIN = re.compile(r"[A-Za-z0-9_.+:=/\\-]+")
"""What neither PowerShell nor cmd takes apart."""


def quote(word: str, *, platform: str = sys.platform) -> str:
    """The word as it is typed: in single quotes for a POSIX shell, in double ones, which PowerShell and cmd share.

    >>> quote("my folder", platform="linux"), quote("C:\\\\my folder", platform="win32")
    ("'my folder'", '"C:\\\\my folder"')
    """
    if platform != "win32":
        return shlex.quote(word)
    return word if _PLAIN.fullmatch(word) else '"' + word.replace('"', '""') + '"'


def join(words: Iterable[str], *, platform: str = sys.platform) -> str:
    """A command line of these words."""
    return " ".join(quote(word, platform=platform) for word in words)
