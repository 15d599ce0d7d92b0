"""Which folder is the user's own."""

from __future__ import annotations

import sys
from collections.abc import Mapping


def home_of(environ: Mapping[str, str], *, platform: str = sys.platform) -> str:
    """The user's folder as Python, pip and uv know it: ``HOME``, on Windows ``USERPROFILE`` first, for only shells of
    other systems set ``HOME`` there. Empty where none is told.

    >>> home_of({"HOME": "/c/Users/me", "USERPROFILE": "C:\\\\Users\\\\me"}, platform="win32")
    'C:\\\\Users\\\\me'
    """
    names = ("USERPROFILE", "HOME") if platform == "win32" else ("HOME",)
    return next((environ[name] for name in names if environ.get(name)), "")
