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


@pytest.mark.parametrize(
    ("name", "text", "verdict", "python"),
    [
        # of a version without files the tables say the Pythons: torch 2.0.1 has none for 3.12
        ("r.txt", "torch==2.0.1\n--index-url https://download.pytorch.org/whl/cu118\n", "native sm_86", "3.11"),
        ("r.txt", "torch==2.9.1\n--extra-index-url https://download.pytorch.org/whl/cu130\n", "native sm_86", "3.12"),
        ("e.yml", "dependencies:\n- pytorch=2.0.1\n- pytorch-cuda=11.8\n", "unknown", "3.12"),
        ("e.yml", "dependencies:\n- pytorch=2.0.1\n- cpuonly\n", "cpu-build", "3.12"),
        ("e.yml", "dependencies:\n- pytorch=2.0.1\n", "unknown", "3.12"),
        (
            "pylock.toml",  # an address that does not end in the name, as of a signed one
            'lock-version = "1.0"\n[[packages]]\nname = "torch"\nversion = "2.9.1"\n[[packages.wheels]]\n'
            'name = "torch-2.9.1-cp313-cp313-manylinux_2_28_x86_64.whl"\nurl = "https://files.example/1?token=x"\n',
            "native sm_86", "3.13",
        ),
        (
            "uv.lock",  # a workspace: an extra that a member asks of another is installed by default
            'version = 1\nrequires-python = ">=3.11"\n[[package]]\nname = "app"\nversion = "1"\n'
            'source = { editable = "app" }\ndependencies = [{ name = "lib", extra = ["gpu"] }]\n'
            '[[package]]\nname = "lib"\nversion = "1"\nsource = { editable = "lib" }\n'
            '[package.optional-dependencies]\ngpu = [{ name = "torch" }]\n'
            '[[package]]\nname = "torch"\nversion = "2.9.1+cu128"\nsource = { registry = "https://x.example/whl" }\n'
            'wheels = [{ url = "https://x.example/torch-2.9.1%2Bcu128-cp312-cp312-manylinux_2_28_x86_64.whl" }]\n',
            "native sm_86", "3.12",
        ),
        (
            "poetry.lock",  # of Poetry 1, which names no groups
            '[[package]]\nname = "torch"\nversion = "2.9.1"\noptional = false\nfiles = []\n'
            '[metadata]\nlock-version = "2.0"\npython-versions = "^3.11"\n',
            "native sm_86", "3.12",
        ),
    ],
)  # fmt: skip
def test_what_is_written_by_hand(tmp_path: Path, name: str, text: str, verdict: str, python: str) -> None:
    (tmp_path / name).write_text(text)
    machine = machine_file(tmp_path, capabilities=["8.6"], driver="580.95.05")
    outcome = check.run(context(tmp_path), files=[tmp_path / name], machines=[machine])
    assert (verdicts(outcome)["default"]["torch"], outcome.files[0].pythons) == (verdict, (python,))
