"""Start-up: what is loaded, counted in modules; times are for `make bench`."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("requests", "rich", "pynvml", "packaging", "argparse", "cachecontrol", "gpuenv.cli.app")


def loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sorted(sys.modules), sep='\\n')"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_version_loads_nothing_heavy() -> None:
    code = "sys.argv = ['gpuenv', '--version']\nfrom gpuenv.cli.main import entry\nentry()"
    modules = loaded_after(code)
    assert not modules.intersection(HEAVY)
    own = {name for name in modules if name.startswith("gpuenv")}
    assert own == {"gpuenv", "gpuenv.cli", "gpuenv.cli.main"}


def test_help_loads_no_network_terminal_or_gpu_library() -> None:
    code = (
        "sys.argv = ['gpuenv', '--help']\nfrom gpuenv.cli.main import entry\n"
        "try:\n    entry()\nexcept SystemExit:\n    pass"
    )
    modules = loaded_after(code)
    assert not modules.intersection({"requests", "rich", "pynvml", "cachecontrol", "packaging.version"})
