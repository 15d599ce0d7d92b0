"""A lock as a container: a Dockerfile, and what an editor needs to open it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from shlex import quote

from gpuenv.dataclass import dataclass
from gpuenv.errors import UsageError
from gpuenv.lock.codec import to_requirements
from gpuenv.lock.model import Lock
from gpuenv.lock.text import one_line
from gpuenv.model.machine import Libc

MADE_BY = "made by `gpuenv export"
"""Tells a file of ours from one of the person's."""
_TABLE = Path(__file__).with_name("images.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """An image to start from. ``source`` says where its C library was read."""

    name: str
    glibc: str
    source: str


def base_image(lock: Lock) -> BaseImage:
    """The image of the table that serves every wheel of the lock.

    Raises :class:`~gpuenv.errors.UsageError` where none does, or where the lock is for no Linux.
    """
    target = lock.inputs.target
    if target.os != "linux":
        raise UsageError(f"a container runs Linux, and this lock is for {target.os}")
    least, others = Libc.parse(target.libc), list[str]()
    for row in tomllib.loads(_TABLE.read_text("utf-8"))["image"]:
        found = Libc.parse(row["glibc"])
        serves = least is None or (found is not None and found.serves(least))
        if serves and target.arch in row["arch"]:
            if target.python in row["pythons"]:
                return BaseImage(
                    name=row["name"].format(python=target.python), glibc=row["glibc"], source=row["source"]
                )
            others += (each for each in row["pythons"] if each not in others)
    plain, profile = target.python.removesuffix("t"), quote(lock.inputs.profile)
    near = plain if plain in others else "".join(others[-1:])
    raise UsageError(
        f"there is no image with Python {target.python} for {target.arch} whose C library serves {target.libc}",
        causes=(f"there are images with Python {', '.join(others)}",) if others else (),
        hints=(f"Lock for one of those: `gpuenv lock --upgrade --profile {profile} --python {near}`",) if near else (),
    )


def refuse_local(lock: Lock, *, name: str) -> None:
    """Stop where a wheel lies in a folder of this machine, which a container does not have."""
    local = [package.filename for package in lock.packages if package.url is None]
    if local:
        raise UsageError(
            f"{len(local)} of the lock's wheels lie in folders of this machine, which a container does not have",
            causes=local[:4],
            hints=(
                f"Keep them, to be taken along: `gpuenv lock --keep --profile {quote(name)}`",
                f"Then install from the folder that this fills: `gpuenv store export carried --profile {quote(name)}`",
            ),
        )


def to_dockerfile(lock: Lock, *, name: str, cuda: str | None) -> str:
    """A Dockerfile that installs the lock by its hashes, with nothing beside it. ``cuda`` is what the lock's least
    driver knows.

    Its ``NVIDIA_REQUIRE_CUDA`` is the lock's own floor: a host that cannot run it refuses to start it, and every host
    that can does.
    """
    refuse_local(lock, name=name)
    image, decision, target = base_image(lock), lock.decision, lock.inputs.target
    file = f"/opt/gpuenv/requirements.{name}.txt"
    torch = f"torch {decision.torch}, Python {target.python}, {target.os} {target.arch}"
    lines = [
        "# syntax=docker/dockerfile:1",
        f"# {one_line(f'{torch}: {MADE_BY} --format dockerfile {name}`')}",
    ]
    if decision.accelerator == "cuda":
        lines.append("# Start it with the NVIDIA Container Toolkit: docker run --gpus all IMAGE")
    lines += [
        f"FROM {image.name}",
        *_variables(lock, cuda),
        f'COPY <<"EOF" {file}',
        to_requirements(lock).rstrip("\n"),
        "EOF",
    ]
    lines += [
        "RUN python -m pip install --no-cache-dir --root-user-action=ignore --no-deps --require-hashes \\",
        f"      -r {file} \\",
        " && python -c \"import torch; print('torch', torch.__version__)\"",
    ]
    return "\n".join(lines) + "\n"


def to_devcontainer(lock: Lock, *, name: str, title: str) -> str:
    """A ``devcontainer.json`` for the Dockerfile beside it."""
    gpu = lock.decision.accelerator == "cuda"
    entries: dict[str, object] = {"name": title, "build": {"dockerfile": "Dockerfile"}}
    if gpu:
        entries |= {"hostRequirements": {"gpu": True}, "runArgs": ["--gpus", "all"]}
    settings = {"python.defaultInterpreterPath": "/usr/local/bin/python"}
    entries["customizations"] = {"vscode": {"extensions": ["ms-python.python"], "settings": settings}}
    head = f"// {one_line(f'torch {lock.decision.torch}: {MADE_BY} --format devcontainer {name}`')}"
    return f"{head}\n{json.dumps(entries, indent=2, ensure_ascii=False)}\n"


def _variables(lock: Lock, cuda: str | None) -> list[str]:
    decision = lock.decision
    if decision.accelerator != "cuda":
        return []
    floor = [f"cuda>={cuda}"] if cuda else []
    floor += [f"driver>={decision.least_driver}"] if decision.least_driver else []
    lines = ["ENV NVIDIA_VISIBLE_DEVICES=all", "ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility"]
    return [*lines, f'ENV NVIDIA_REQUIRE_CUDA="{",".join(floor)}"'] if floor else lines
