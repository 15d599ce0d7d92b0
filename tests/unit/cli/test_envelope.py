"""The envelope: one object of version 1, whatever happened."""

from __future__ import annotations

import json

import pytest

from gpuenv.cli.envelope import envelope
from gpuenv.errors import DriverError
from gpuenv.steps.context import Failure


@pytest.mark.parametrize(("exit_code", "status"), [(0, "ok"), (1, "error"), (70, "error")])
def test_status_follows_the_exit_code(exit_code: int, status: str) -> None:
    text = envelope(command="resolve", exit_code=exit_code, data={"torch": "2.10.0"}, problems=())
    assert text.endswith("}\n")
    assert json.loads(text) == {
        "schema": {"name": "gpuenv", "version": "1"},
        "command": "resolve",
        "status": status,
        "exit_code": exit_code,
        "data": {"torch": "2.10.0"},
        "errors": [],
    }


def test_an_error_keeps_everything_it_says() -> None:
    error = DriverError("the driver does not answer", causes=["code 999"], hints=["sudo reboot"])
    text = envelope(command="detect", exit_code=error.exit_code, data={}, problems=[Failure.of(error)])
    assert json.loads(text)["errors"] == [
        {
            "code": "driver-broken",
            "message": "the driver does not answer",
            "causes": ["code 999"],
            "hints": ["sudo reboot"],
        }
    ]


def test_other_scripts_stay_readable() -> None:
    assert "Größe → 3 ×" in envelope(command="inspect", exit_code=0, data={"what": "Größe → 3 ×"}, problems=())
