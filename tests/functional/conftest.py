"""The environment with a real CPU build of torch, one a worker."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.torch_env import NoTorchError, find_or_build


@pytest.fixture(scope="session")
def torch_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return find_or_build(tmp_path_factory.mktemp("torch") / "env", os.environ)
    except NoTorchError as reason:
        pytest.skip(str(reason))
