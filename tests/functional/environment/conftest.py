from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.locked import FileServer
from support.workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    with FileServer() as server:
        yield Workshop(folder=tmp_path, server=server)
