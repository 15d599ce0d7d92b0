"""The command that activates an environment, in the shell that is in use."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.steps.activation import entrance

POWERSHELL = {"PSModulePath": "C:\\Modules"}
CMD = {"PROMPT": "$P$G", "PSMODULEPATH": "C:\\Modules"}


@pytest.mark.parametrize(
    ("shown", "environ", "command"),
    [
        (".venv-gpu", POWERSHELL, ".venv-gpu\\Scripts\\activate.ps1"),
        (".venv-gpu", CMD, ".venv-gpu\\Scripts\\activate.bat"),
        ("C:\\my env", POWERSHELL, '& "C:\\my env\\Scripts\\activate.ps1"'),
        ("C:\\my env", {"PSMODULEPATH": "C:\\Modules"}, '& "C:\\my env\\Scripts\\activate.ps1"'),
        ("C:\\my env", CMD, '"C:\\my env\\Scripts\\activate.bat"'),
        ("C:\\my env", {**CMD, "MSYSTEM": "MINGW64"}, "source 'C:/my env/Scripts/activate'"),
    ],
)
def test_on_windows(tmp_path: Path, shown: str, environ: dict[str, str], command: str) -> None:
    (tmp_path / "Scripts").mkdir()

    assert entrance(tmp_path, shown=shown, environ=environ).activate == command


def test_elsewhere_with_a_blank(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()

    assert entrance(tmp_path, shown="my env", environ={"SHELL": "/bin/bash"}).activate == "source 'my env/bin/activate'"
