"""What a full disk leaves is told as that."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.environment.space import written
from gpuenv.errors import NoSpaceError


def test_an_empty_pyvenv_cfg_is_a_full_disk(tmp_path: Path) -> None:
    settings = tmp_path / "pyvenv.cfg"
    assert written(tmp_path) == tmp_path
    settings.write_text("version_info = 3.12.3\n")
    assert written(tmp_path) == tmp_path
    settings.write_text("")
    with pytest.raises(NoSpaceError, match="no space left for"):
        written(tmp_path)
