"""The evening that started it, on its own system: RTX 5090, driver 576.88, the index of 3 January 2026, under Wine.

    python tests/platforms/windows_evening.py FOLDER [PAGE]      FOLDER is what windows.sh made

The recorded index is served on loopback with small wheels of the real names, versions and requirements; gpuenv, uv and
Python are those for Windows, and so is the nvml.dll, which lies in Wine's System32 meanwhile: WINDIR is Wine's own,
whatever is given. Prints what each command shows, as PAGE keeps it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "resolver"))

from support.fake_nvml import FakeGpu, FakeMachine
from support.index_server import IndexServer
from support.nights import add_dependencies

DAY = "2026-01-03"
MACHINE = FakeMachine(gpus=(FakeGpu(),), driver="576.88", cuda=12090)


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The surrounding, with a project of its own for this run."""

    folder: Path
    name: str
    environ: dict[str, str]

    @property
    def inside(self) -> Path:
        return self.folder / "root/w/work" / self.name

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``gpuenv WORDS``, both streams as a terminal would show them."""
        given = [word for name, value in self.environ.items() for word in ("-e", f"{name}={value}")]
        command = [str(self.folder / "run"), "-d", f"/w/work/{self.name}/project", *given, "gpuenv", *words]
        return subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", check=False
        )


def main(folder: Path) -> int:
    """Run the evening; the number of commands that did not end as they have to."""
    here = Windows(folder=folder, name="evening", environ={})
    shutil.rmtree(here.inside, ignore_errors=True)
    (here.inside / "project").mkdir(parents=True)
    driver = folder / "root/w/prefix/drive_c/windows/system32/nvml.dll"
    shutil.copyfile(folder / "root/w/standins/nvml.dll", driver)
    try:
        return evening(here)
    finally:
        driver.unlink()


def evening(here: Windows) -> int:
    """The commands, and how many of them did not end as they have to."""
    with IndexServer(real_hashes=False) as server:
        count = server.serve_day(DAY)
        add_dependencies(server)
        here.environ.update(
            MACHINE.told(),
            GPUENV_TORCH_INDEX=server.torch_index,
            GPUENV_INDEX=server.default_index,
            GPUENV_NO_PROGRESS="1",
        )
        print(f"# {count} wheels of {DAY}; {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
        wrong = 0
        for words, code in (
            (("detect",), 0),
            (("create", "--profile", "m40", "--no-verify"), 0),
            (("create", "--profile", "m40", "--no-verify"), 0),
            (("doctor",), 0),
            (("resolve", "--profile", "blackwell", "-v"), 0),
        ):
            done = here.run(*words)
            print(f"\n> gpuenv {' '.join(words)}\n{done.stdout.rstrip()}", flush=True)
            if done.returncode != code:
                print(f"(exit code {done.returncode}, not {code})")
                wrong += 1
    return wrong


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]).resolve()))
