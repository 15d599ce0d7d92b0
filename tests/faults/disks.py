"""Full and read-only disks under every place that gpuenv writes to.

A small file system is mounted under the place, with what stood there. Where mounting is refused (no root, a container)
those rows are skipped, and a limit on the size of files (RLIMIT_FSIZE) and errors at named points remain.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from faults.case import CREATE, KEEP, LOCK, Case
from faults.world import World, unmount
from support.cli import Run

PLACES: dict[str, Callable[[World], Path]] = {
    "project": lambda world: world.person.project,
    "lockfiles": lambda world: world.lock.parent,
    "evidence": lambda world: world.person.project / "evidence",
    "cache": lambda world: world.cache,
    "uv's cache": lambda world: world.uv_cache,
    "state": lambda world: world.state,
    "store": lambda world: world.store,
    "temp": lambda world: world.folder / "tmp",
}
PROVED = ("create",)

#: Place, command, bytes left.
FULL = [
    ("project", CREATE, 0),
    ("project", CREATE, 24_000),
    ("project", CREATE, 60_000),
    ("project", LOCK, 0),
    ("lockfiles", LOCK, 0),
    ("evidence", PROVED, 0),
    ("cache", LOCK, 0),
    ("cache", CREATE, 0),
    ("uv's cache", CREATE, 0),
    ("uv's cache", LOCK, 0),
    ("state", CREATE, 0),
    ("state", KEEP, 0),
    ("store", KEEP, 0),
    ("store", LOCK, 0),
    ("temp", LOCK, 0),
    ("temp", CREATE, 0),
]
READ_ONLY = [
    ("project", CREATE),
    ("project", LOCK),
    ("lockfiles", LOCK),
    ("evidence", PROVED),
    ("cache", LOCK),
    ("cache", CREATE),
    ("uv's cache", CREATE),
    ("uv's cache", LOCK),
    ("state", CREATE),
    ("store", KEEP),
    ("store", CREATE),
    ("temp", LOCK),
    ("temp", CREATE),
]
LIMITS = [(CREATE, 2048), (CREATE, 3072), (LOCK, 2048), (LOCK, 3072), (KEEP, 2048)]


def cases() -> Iterator[Case]:
    for place, words, room in FULL:
        stage = f"{' '.join(words)}, {place}" + (f" with {room // 1000} KB left" if room else "")
        yield Case(
            group="disks", fault="full disk", stage=stage, words=words, start="cold",
            lock="one" if words == LOCK else "two", arrange=full(PLACES[place], room), mounts=True,
        )  # fmt: skip
    for place, words in READ_ONLY:
        yield Case(
            group="disks", fault="read-only", stage=f"{' '.join(words)}, {place}", words=words, start="warm",
            lock="one" if words == LOCK else "two", arrange=read_only(PLACES[place]), mounts=True,
        )  # fmt: skip
    for words, size in LIMITS:
        yield Case(
            group="disks", fault=f"no file over {size} bytes (RLIMIT_FSIZE)", stage=" ".join(words), words=words,
            start="cold", lock="one" if words == LOCK else "two", drive=limited(words, size), ci=size == 3072,
        )  # fmt: skip
    for point, (pattern, number) in POINTS.items():
        for error in ("ENOSPC", "EIO"):
            words = LOCK if "lock" in point else CREATE
            yield Case(
                group="disks", fault=error, stage=f"{' '.join(words)}, {point}", words=words,
                refuse="cache" not in point, lock="one" if words == LOCK else "two",
                start="cold" if words == LOCK else "warm", strike=(error, pattern, number),
                ci=error == "EIO" and "exchange" in point,
            )  # fmt: skip


#: Where the system refuses one operation, by what is about to be done.
POINTS = {
    "making the stage": ("os.mkdir *.gpuenv-stage-*", 1),
    "writing the run's own copy": ("open *.gpuenv-stage-*.pylock*", 1),
    "writing the marker": ("open *.gpuenv-stage-*/.gpuenv.json*", 1),
    "before the exchange": ("ctypes.dlsym renameat2", 1),
    "renaming the lock": ("os.rename *lockfiles/*", 1),
    "keeping a page in the cache, of a lock": ("open *cache/gpuenv/http/*", 2),
}


def full(place: Callable[[World], Path], room: int) -> Callable[[World], None]:
    """Put a file system under a place that has ``room`` bytes left."""

    def arrange(world: World) -> None:
        folder = place(world)
        with_content(world, folder, "size=64m")
        stuffing = folder / ".stuffing"
        world.notes.append(f"brought {stuffing.name}")
        with stuffing.open("wb") as file:
            free = os.statvfs(folder)
            os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - room))
        world.healing.append(lambda: stuffing.unlink(missing_ok=True))

    return arrange


def with_content(world: World, folder: Path, options: str) -> None:
    """Mount a file system of its own at ``folder``, with what stands there in it; given back at the end of the case."""
    aside = folder.with_name(f"{folder.name}.aside")
    folder.mkdir(parents=True, exist_ok=True)
    folder.rename(aside)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=0755,{options}", "tmpfs", str(folder)], check=True)
    shutil.copytree(aside, folder, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(aside)

    def give_back() -> None:
        shutil.copytree(folder, aside, symlinks=True)
        unmount(folder)
        folder.rmdir()
        aside.rename(folder)

    world.healing.append(give_back)


def read_only(place: Callable[[World], Path]) -> Callable[[World], None]:
    def arrange(world: World) -> None:
        folder = place(world)
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
        world.healing.append(lambda: unmount(folder))
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)

    return arrange


def limited(words: tuple[str, ...], size: int) -> Callable[[World], Run]:
    """No file may grow beyond ``size``: the way of a quota, which needs no right to mount."""

    def drive(world: World) -> Run:
        shell = f'ulimit -f {max(1, size // 512)} && exec "$@"'  # sh counts in blocks of 512 bytes
        return world.start(*words, *world.where, prefix=("sh", "-c", shell, "sh")).wait()

    return drive


def can_mount(folder: Path) -> bool:
    """Whether this process may mount file systems."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode == 0:
        unmount(folder)
    folder.rmdir()
    return done.returncode == 0
