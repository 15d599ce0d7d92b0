"""Addresses for tests, written as a person writes them."""

from __future__ import annotations

from pathlib import Path

from gpuenv.net.location import Location


def at(text: str) -> Location:
    """The location of an address or an absolute path."""
    return Location.parse(text, origin="a test", folder=Path("/"))
