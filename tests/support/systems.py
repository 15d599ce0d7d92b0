"""What the system that tests run on can do, for tests that need it of it: each mark says why it skips."""

from __future__ import annotations

import os
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest


@cache
def links_work() -> bool:
    """Whether a symbolic link can be made here and is one."""
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "link")
        try:
            link.symlink_to("target")
        except OSError:
            return False
        return link.is_symlink()


POSIX = pytest.mark.skipif(os.name != "posix", reason="modes, owners, pipes and signals are of POSIX")
LINKS = pytest.mark.skipif(
    not links_work(), reason="no symbolic links: Windows makes them in developer mode only, Wine 10 not at all"
)
LINUX_PATHS = pytest.mark.skipif(
    os.name == "nt", reason="about paths and variables of Linux, which begin with no drive"
)
WINDOWS = pytest.mark.skipif(sys.platform != "win32", reason="about Windows")
