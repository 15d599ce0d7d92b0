"""Which folder is the user's own, and what of Windows' variables reaches a child."""

from __future__ import annotations

import pytest

from gpuenv.environment.uv import PASSED
from gpuenv.system.home import home_of
from gpuenv.verify.runner import KEPT


@pytest.mark.parametrize(
    ("environ", "posix", "windows"),
    [
        ({"HOME": "/home/me"}, "/home/me", "/home/me"),
        ({"HOME": "/c/Users/me", "USERPROFILE": r"C:\Users\me"}, "/c/Users/me", r"C:\Users\me"),
        ({"USERPROFILE": r"C:\Users\me"}, "", r"C:\Users\me"),
        ({"HOME": ""}, "", ""),
    ],
)
def test_each_system_has_its_home(environ: dict[str, str], posix: str, windows: str) -> None:
    assert (home_of(environ, platform="linux"), home_of(environ, platform="win32")) == (posix, windows)


@pytest.mark.parametrize("names", [PASSED, KEPT], ids=["uv", "verification"])
def test_a_child_on_windows_gets_what_the_system_needs(names: frozenset[str]) -> None:
    """os.environ there has names in capitals only: ``SystemRoot`` passed nothing on, and without it no socket opens."""
    assert {
        "SYSTEMROOT",
        "USERPROFILE",
        "APPDATA",
        "LOCALAPPDATA",
        "COMSPEC",
        "PATHEXT",
        "PROCESSOR_ARCHITECTURE",
    } <= set(names)
    assert [name for name in names if name != name.upper() and not name.endswith("_proxy")] == []
