"""Real locks on machines: what becomes of each package, as ``tests/data/locks/verdicts.toml`` says."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gpuenv.commands import check
from gpuenv.report import Silent
from gpuenv.steps.context import Context, Options

LOCKS = Path(__file__).parents[2] / "data" / "locks"
CASES = tomllib.loads((LOCKS / "verdicts.toml").read_text())["case"]
_KEYS = {"why", "lock", "machine", "exit", "default"}


def machine_file(
    folder: Path, *, capabilities: list[str], driver: str = "", os: str = "linux", arch: str = "x86_64"
) -> Path:
    path = folder / "machine.json"
    gpus = [
        {
            "index": index,
            "uuid": f"GPU-{index:08d}-0000-0000-0000-000000000000",
            "name": f"Card {each}",
            "compute_capability": each,
            "memory_bytes": None,
            "mig": False,
        }
        for index, each in enumerate(capabilities)
    ]
    value = {"os": os, "arch": arch, "libc": "glibc 2.39" if os == "linux" else None, "wsl": False, "container": False}
    told = {"version": driver, "cuda": None, "source": "nvml"} if driver else None
    path.write_text(json.dumps({**value, "driver": told, "gpus": gpus}))
    return path


def context(folder: Path, **options: Any) -> Context:
    places = {name: folder / name for name in ("cache", "state", "config")}
    return Context(environ={}, project=LOCKS, reporter=Silent(), options=Options(**options), offline=True, **places)


def verdicts(outcome: check.CheckOutcome) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {"default": {}}
    for row in outcome.rows:
        verdict = row.package.verdict
        said = f"{verdict.word} {verdict.by}".rstrip() if verdict.word in ("native", "ptx") else verdict.word
        found.setdefault(row.set or "default", {})[row.package.name] = said
    return found


@pytest.mark.parametrize("case", CASES, ids=[f"{case['lock']}: {case['why']}" for case in CASES])
def test_what_becomes_of_a_lock_on_a_machine(tmp_path: Path, case: dict[str, Any]) -> None:
    machine = machine_file(tmp_path, **case["machine"])
    outcome = check.run(context(tmp_path), files=[Path(case["lock"])], machines=[machine])
    expected = {"default": case["default"], **{key: value for key, value in case.items() if key not in _KEYS}}
    assert (verdicts(outcome), outcome.exit_code) == (expected, case["exit"])
    for row in outcome.rows:
        assert row.package.verdict.detail
        assert (LOCKS / row.package.place.file).read_text().splitlines()[row.package.place.line - 1].strip()


def test_the_line_of_a_package_is_that_of_its_table(tmp_path: Path) -> None:
    machine = machine_file(tmp_path, capabilities=["12.0"], driver="576.88")
    names = ("uv/uv.lock", "poetry/poetry.lock", "pdm/pdm.lock", "pylock/pylock.toml")
    outcome = check.run(context(tmp_path), files=[Path(each) for each in names], machines=[machine])
    for row in outcome.rows:
        if row.package.name == "torch":
            lines = (LOCKS / row.file).read_text().splitlines()[row.package.place.line - 1 :]
            assert lines[0] in ("[[package]]", "[[packages]]")
            assert lines[1] == 'name = "torch"'


def test_an_extra_can_be_chosen(tmp_path: Path) -> None:
    machine = machine_file(tmp_path, capabilities=["12.0"], driver="576.88")
    only = check.run(context(tmp_path, extras=("cpu",)), files=[Path("uv-extras/uv.lock")], machines=[machine])
    assert set(verdicts(only)) == {"default", "extra cpu"}
    assert only.exit_code == 1


def test_strict_takes_what_is_not_known_for_wrong(tmp_path: Path) -> None:
    machine = machine_file(tmp_path, capabilities=["8.0"], driver="535.104.05")
    found = [
        check.run(context(tmp_path), files=[Path("pixi/pixi.lock")], machines=[machine], strict=strict).exit_code
        for strict in (False, True)
    ]
    assert found == [0, 1]
