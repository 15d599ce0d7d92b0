"""One world per worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults.world import World
from support.index_server import IndexServer


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with IndexServer() as server:
        made = World.at(tmp_path_factory.mktemp("faults"), server)
        yield made
        made.heal()
