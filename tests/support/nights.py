"""Small nightlies on a loopback index, for the interpreter that runs the tests, and a profile that wants them."""

from __future__ import annotations

import sys
from pathlib import Path

from support.cli import Person
from support.index_server import IndexServer
from support.wheels import build_wheel, torch_wheel

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PLATFORM = "win_amd64" if sys.platform == "win32" else "manylinux_2_28_x86_64"
TAG = "cp{0}{1}-cp{0}{1}-{2}".format(*sys.version_info[:2], PLATFORM)
TORCH, VISION, AUDIO = "2.11.0.dev{}", "0.25.0.dev{}", "2.10.0.dev{}"

TEAM = """\
description = "The team's CPU nightlies"
accelerator = "cpu"
channel = "nightly"
packages = ["torch", "torchvision", "torchaudio"]
"""

SMALL_DEPENDENCIES = {
    "filelock": "3.19.0",
    "fsspec": "2025.9.0",
    "jinja2": "3.1.6",
    "networkx": "3.5",
    "numpy": "2.3.0",
    "pillow": "12.0.0",
    "setuptools": "80.9.0",
    "sympy": "1.14.0",
    "typing-extensions": "4.15.0",
}
"""What the recorded torch wheels ask of the package index."""


def add_night(
    server: IndexServer,
    day: str,
    *,
    without: str = "",
    pins: str = "",
    variant: str = "cpu",
    requires: tuple[str, ...] = ("filelock",),
) -> None:
    """Put the nightlies of a day (``20260101``) on the index.

    ``without`` leaves one project out; ``pins`` is the day of the torch that the companions ask for."""
    folder = f"nightly/{variant}"
    torch = torch_wheel(TORCH.format(day), variant, tag=TAG, requires=requires, git=day.ljust(40, "a"))
    pin = f"torch=={TORCH.format(pins or day)}"
    vision = build_wheel("torchvision", f"{VISION.format(day)}+{variant}", tag=TAG, requires=[pin])
    audio = build_wheel("torchaudio", f"{AUDIO.format(day)}+{variant}", tag=TAG, requires=[pin])
    for wheel in (torch, vision, audio):
        if wheel.project != without:
            server.add(wheel, folder=folder)


def add_dependencies(server: IndexServer) -> None:
    """Put what the recorded wheels ask for on the package index."""
    for name, version in SMALL_DEPENDENCIES.items():
        server.add_package(build_wheel(name, version))


def team(folder: Path) -> Person:
    """Somebody with the profile ``team``."""
    person = Person.at(folder)
    person.write("profiles/team.toml", TEAM)
    return person


def where(server: IndexServer, profile: str = "team") -> tuple[str, ...]:
    """The options that lead to the server."""
    return ("--profile", profile, "--torch-index", server.torch_index, "--index", server.default_index)
