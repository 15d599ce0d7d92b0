"""Start-up: what is loaded, counted in modules; times are for `make bench`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.cli import Person, machine_json
from support.index_server import IndexServer
from support.wheels import build_wheel, torch_wheel

HEAVY = ("requests", "rich", "pynvml", "packaging", "argparse", "cachecontrol", "gpuenv.cli.app")
UNUSED = {
    *("urllib3", "ssl", "http.client", "email", "configparser", "netrc", "difflib", "rich", "tomlkit", "pynvml"),
    *("packaging.pylock", "gpuenv.index.page", "gpuenv.index.wheelfile", "gpuenv.net.download", "gpuenv.lock.codec"),
    *("gpuenv.environment", "gpuenv.verify", "gpuenv.doctor", "gpuenv.select.alternatives", "gpuenv.select.present"),
}
"""What a decision does without where its pages are kept, the machine stands in a file and the Python is named."""
MOST_OF_OURS = 100
"""Modules of gpuenv that such a decision loads, each a tenth of a millisecond or more; 94 in November 2026."""

UNCHANGED = {
    *("urllib3", "ssl", "http", "html", "configparser", "difflib", "rich", "tomlkit", "pynvml", "statistics"),
    *("gpuenv.index", "gpuenv.companions", "gpuenv.doctor", "gpuenv.select.decide", "gpuenv.environment.build"),
    *("gpuenv.environment.uv", "gpuenv.steps.new_lock", "gpuenv.steps.plan", "gpuenv.verify.verification"),
    "gpuenv.verify.evidence",
}
"""What `create` does without where the environment that stands there is what its lock says."""
NOT_FOR_A_BUILD = UNCHANGED - {"gpuenv.index", "gpuenv.environment.build", "gpuenv.environment.uv", "configparser"}
"""What a build from a lock does without: where wheels come from is read, and nobody is asked."""
MOST_FOR_A_BUILD = 136
"""Modules of gpuenv that such a build loads; they were 130 in November 2026, and 224 before."""
MOST_WHERE_NOTHING_CHANGED = 112
"""Modules of gpuenv that it loads then; they were 107 in November 2026, and 224 before what they import was sorted."""


def loaded_after(
    *words: str, by: str = "", before: str = "", environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> set[str]:
    """The modules that are loaded when gpuenv ends."""
    lines: Sequence[str] = [
        f"import sys\n{before}\nsys.argv = {['gpuenv', *words]!r}\nfrom gpuenv.cli.main import entry",
        "try:\n    code = entry()\nexcept SystemExit:\n    pass",
        f"{by}\nprint('loaded:', *sorted(sys.modules), sep='\\n')",
    ]
    call = [sys.executable, "-I", "-c", "\n".join(lines)]
    done = subprocess.run(call, capture_output=True, text=True, check=True, env=environ, cwd=cwd)
    return set(done.stdout.partition("loaded:\n")[2].split())


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.startswith("gpuenv")}


def test_version_loads_nothing_heavy() -> None:
    modules = loaded_after("--version")
    assert not modules.intersection(HEAVY)
    assert ours(modules) == {"gpuenv", "gpuenv.cli", "gpuenv.cli.main"}


def test_help_loads_no_network_terminal_or_gpu_library() -> None:
    modules = loaded_after("--help")
    assert "gpuenv.cli.pages" in modules
    assert not modules.intersection({"requests", "rich", "pynvml", "cachecontrol", "packaging.version"})


def test_what_detects_a_machine_decides_nothing_and_opens_no_table_of_wheels() -> None:
    modules = loaded_after("detect", by="assert code in (0, 3)")
    assert "gpuenv.machine.conclusion" in modules
    unused = {"packaging", "pynvml", "urllib3", "ssl", "gpuenv.select", "gpuenv.knowledge.base"}
    assert modules & unused == set()
    assert {name for name in modules if name.startswith("gpuenv.cli.verbs.")} == {"gpuenv.cli.verbs.detect"}


def test_a_decision_with_its_pages_kept_asks_nobody_parses_nothing_and_loads_what_it_uses(tmp_path: Path) -> None:
    person = Person.at(tmp_path)
    person.write("machine.json", machine_json("12.0"))
    with IndexServer() as server:
        server.add(torch_wheel("2.10.0", "cu128"), folder="cu128")
        for name, version in (("torchvision", "0.25.0"), ("torchaudio", "2.10.0")):
            server.add(build_wheel(name, f"{version}+cu128", requires=["torch==2.10.0"]), folder="cu128")
        words = ["resolve", "--machine", "machine.json", "--torch-index", server.torch_index, "--python", "3.12"]
        cold = person.run(*words)
        assert cold.code == 0, cold.err
        asked = len(server.log)
        modules = loaded_after(*words, environ=person.world(), cwd=person.project, by="assert code == 0")
        assert len(server.log) == asked
    assert "gpuenv.select.decide" in modules
    assert modules & UNUSED == set()
    assert len(ours(modules)) <= MOST_OF_OURS


MEMBERS = 400
COUNT_ROWS = """
rows, early, late = 0, 0, 0
def heard(event, arguments):
    global early, late
    if event == 'subprocess.Popen':
        early, late = (early, late + 1) if 'gpuenv.commands.create' in sys.modules else (early + 1, late)
sys.addaudithook(heard)
def count(frame, event, argument):
    global rows
    rows += event == 'call' and frame.f_code.co_name == 'parse_record'
sys.setprofile(count)
"""
"""Counts how often the reader of RECORDs, a generator, is asked for a row, and the processes that are started before
and after the command is loaded."""

COUNT_CLASSES = """
import dataclasses, inspect
classes = {value for name, module in list(sys.modules.items()) if name.startswith('gpuenv')
           for value in vars(module).values() if isinstance(value, type) and dataclasses.is_dataclass(value)}
made = sum(inspect.isfunction(vars(each)['__init__']) for each in classes)
"""
"""Counts the dataclasses whose initializer was written and compiled."""
MOST_MADE = 60
"""Of the 108 that such a `create` loads; they were 45 in November 2026, at a third of a millisecond each."""


def counted(modules: set[str]) -> dict[str, int]:
    return {name: int(value) for name, _, value in (each.partition("=") for each in modules) if value}


def test_a_create_with_nothing_to_do_loads_and_reads_little(tmp_path: Path) -> None:
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    person = Person.at(tmp_path)
    person.write("profiles/small.toml", 'description = "s"\naccelerator = "cpu"\npackages = ["torch"]\n')
    with IndexServer() as server:
        wheel = torch_wheel("2.11.0", "cpu", tag=f"{tag}-{tag}-manylinux_2_28_x86_64", members=MEMBERS)
        server.add(wheel, folder="cpu")
        words = ["create", "--profile", "small", "--no-verify", "--torch-index", server.torch_index]
        words += ["--index", server.default_index]
        built = person.run(*words)
        assert built.code == 0, built.err
        asked = len(server.log)
        said = f"sys.setprofile(None)\nassert code == 0\n{COUNT_CLASSES}"
        said += "print('loaded:', f'rows={rows}', f'made={made}', f'early={early}', f'late={late}', sep='\\n')"
        modules = loaded_after(*words, by=said, before=COUNT_ROWS, environ=person.world(), cwd=person.project)
        again = loaded_after(
            *words, "--rebuild", by=said, before=COUNT_ROWS, environ=person.world(), cwd=person.project
        )
        assert len(server.log) == asked
    counts, rebuilt = counted(modules), counted(again)
    assert (counts["early"], counts["late"]) == (1, 0)  # NVML is asked while the command is loaded
    assert (rebuilt["early"], rebuilt["late"]) == (1, 3)  # uv venv, uv pip sync, the import of torch
    assert MEMBERS < rebuilt["rows"] < MEMBERS + 30
    assert again & NOT_FOR_A_BUILD == set()
    assert len(ours(again)) <= MOST_FOR_A_BUILD
    assert MEMBERS < counts["rows"] < MEMBERS + 30
    assert 20 < counts["made"] <= MOST_MADE
    assert "gpuenv.steps.reuse" in modules
    assert modules & UNCHANGED == set()
    assert len(ours(modules)) <= MOST_WHERE_NOTHING_CHANGED
