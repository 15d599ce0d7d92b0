"""The cards that only an aarch64 machine has, by the stand-in for NVML: detect, create, create again, doctor.

    FOLDER/run -d /gpuenv python tests/platforms/cards.py OUT      in the surrounding that aarch64.sh makes

Wheels are small, their names, versions and requirements those of PyTorch's index on a recorded day; they are served
on loopback. Nothing is trained: a stand-in computes nothing. OUT gets a page for each card; ends with 1 where a command
did not end as it must.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from packaging.requirements import Requirement

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.cli import command
from support.fake_nvml import FakeGpu, FakeMachine
from support.index_server import IndexServer
from support.recorded import recording
from support.wheels import build_wheel

DAY = "2026-05-19"
VARIANTS = ("cpu", "cu126", "cu128", "cu129", "cu130", "cu132")
OTHERS = {
    "filelock": "3.20.3", "fsspec": "2026.4.0", "jinja2": "3.1.6", "markupsafe": "3.0.3", "mpmath": "1.3.0",
    "networkx": "3.6.1", "numpy": "2.3.5", "pillow": "12.0.0", "setuptools": "80.9.0", "sympy": "1.14.0",
    "typing-extensions": "4.15.0", "einops": "0.8.1",
}  # fmt: skip
"""What the family asks for without a pin, at versions of those days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card on a machine, and the sentence that has to stand in the decision."""

    page: str
    title: str
    machine: FakeMachine
    code: str
    """The machine code that serves it."""


CARDS = (
    Card(
        page="gb10",
        title="GB10 (DGX Spark), driver 580.95.05",
        machine=FakeMachine(
            gpus=(FakeGpu(name="NVIDIA GB10", capability=(12, 1), bus="0000000F:01:00.0"),),
            driver="580.95.05",
            cuda=13000,
            faults={"nvmlDeviceGetMemoryInfo": 3},  # its memory is the machine's: NVML says "not supported"
            libcuda="580.95.05",
        ),
        code="sm_120",
    ),
    Card(
        page="thor",
        title="Jetson AGX Thor, driver 580.00 of Jetson Linux",
        machine=FakeMachine(
            gpus=(FakeGpu(name="NVIDIA Thor", capability=(11, 0), bus="00000000:01:00.0"),),
            driver="580.00",
            cuda=13000,
            faults={"nvmlDeviceGetMemoryInfo": 3},
            libcuda="1.1",
        ),
        code="sm_110",
    ),
)


def serve(server: IndexServer) -> None:
    """Add the day's wheels, and a stand-in for everything that they ask for."""
    family = {"torch", "torchvision", "torchaudio", "triton", "pytorch-triton"}
    server.serve_day(DAY, variants=VARIANTS)
    known = recording()
    asked = {
        line
        for row in known.on(DAY, projects=family, variants=VARIANTS)
        if row.platform == "linux_aarch64"
        for line in known.requirements(row).requires
    }
    for requirement in map(Requirement, sorted(asked)):
        pins = [each.version for each in requirement.specifier if each.operator == "=="]
        if requirement.name not in family and pins:
            server.add_package(build_wheel(requirement.name, pins[0]))
    for name, version in OTHERS.items():
        server.add_package(build_wheel(name, version))


class Session:
    """A terminal in a project of its own, whose commands and answers become a page."""

    def __init__(self, folder: Path, card: Card, server: IndexServer) -> None:
        self.project = folder / "project"
        self.project.mkdir()
        self.wrong: list[str] = []
        self.lines: list[str] = []
        driver = card.machine.environ(folder / "driver")
        self.environ = {
            **driver,
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "GPUENV_TORCH_INDEX": server.torch_index,
            "GPUENV_INDEX": server.default_index,
            "GPUENV_NO_PROGRESS": "1",
            "PIP_CONFIG_FILE": os.devnull,
        }
        self._hidden = ((server.url, "http://127.0.0.1:PORT"), (str(folder / "driver"), "DRIVER"), (f"{folder}/", ""))

    def type(self, *words: str, says: tuple[str, ...] = (), code: int = 0) -> None:
        """Run ``gpuenv WORDS`` and note what it shows; ``says`` has to be part of it."""
        done = subprocess.run(
            command(*words), cwd=self.project, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
        )  # fmt: skip
        shown = done.stdout
        for place, name in self._hidden:
            shown = shown.replace(place, name)
        typed = " ".join(("gpuenv", *words))
        lines = [f"$ {typed}", *shown.rstrip("\n").split("\n")]
        lines += [f"(exit code {done.returncode})"] if done.returncode else []
        print("\n".join(lines), flush=True)
        self.lines += lines
        if done.returncode != code:
            self.wrong.append(f"`{typed}` ended with {done.returncode}")
        self.wrong += [f"`{typed}` does not say {each!r}" for each in says if not re.search(each, shown)]


def page(card: Card, session: Session) -> str:
    """What was typed on the card, as a page."""
    where = f"{platform.machine()}, Python {platform.python_version()}, {' '.join(platform.libc_ver())}"
    text = f"""\
# {card.title}, by the stand-in for NVML

{datetime.now(UTC):%Y-%m-%d}, {where}, under qemu's user mode, by `tests/platforms/cards.py`. Wheels are small
stand-ins with the names, versions and requirements of PyTorch's index on {DAY}; what is proved is the way from
the card to the environment, not a computation.

"""
    return text + "```console\n" + "\n".join(session.lines) + "\n```\n"


def main(out: Path) -> int:
    out.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    with IndexServer(real_hashes=False) as server:
        serve(server)
        for card in CARDS:
            with tempfile.TemporaryDirectory() as folder:
                session = Session(Path(folder), card, server)
                session.type("detect", says=(re.escape(card.machine.gpus[0].name), re.escape(card.machine.driver)))
                session.type("resolve", says=(card.code,))
                session.type("create", "--no-verify", says=(card.code, "torch"))
                session.type("create", "--no-verify", says=("up to date",))
                session.type("doctor", says=("ok +torch", "ok +family"))
                (out / f"{card.page}.md").write_text(page(card, session), encoding="utf-8")
                wrong += [f"{card.page}: {each}" for each in session.wrong]
    print("\n".join(wrong) or "every command ended as it must")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
