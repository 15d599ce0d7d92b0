"""Damage: what a power cut, a bit flip or somebody's hand does to every file that gpuenv writes or relies on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from faults.case import CREATE, KEEP, LOCK, Case
from faults.world import World

PRUNE, VERIFY = ("store", "prune"), ("store", "verify")
Find = Callable[[World], list[Path]]
Harm = Callable[[Path], None]


def empty(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    body = path.read_bytes()
    _replace(path, body[: len(body) // 2])


def garbage(path: Path) -> None:
    _replace(path, b"\x00\xff\xfe garbage \x1b[31m" * 40)


def flip(path: Path) -> None:
    """One bit, in the middle."""
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    _replace(path, bytes(body))


def silently(path: Path) -> None:
    """One bit, and the file looks untouched."""
    facts = path.stat()
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    with path.open("r+b") as file:
        file.write(bytes(body))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def gone(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link(path: Path) -> None:
    """A link to nowhere."""
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _replace(path: Path, body: bytes) -> None:
    """In place: other names of the file are damaged too, as by a disk."""
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(body)


def below(place: Callable[[World], Path], pattern: str, *, most: int = 1000) -> Find:
    def find(world: World) -> list[Path]:
        found = [path for path in sorted(place(world).glob(pattern)) if path.is_file()][:most]
        assert found, f"there is no {pattern}"
        return found

    return find


FILES: dict[str, tuple[Find, tuple[str, ...], str]] = {
    "kept pages": (below(lambda w: w.cache, "http/*/*"), LOCK, "one"),
    "kept facts of wheels": (below(lambda w: w.cache, "wheels/*/*.json"), LOCK, "one"),
    "remembered RECORDs": (below(lambda w: w.state, "records/*"), CREATE, "two"),
    "a wheel in the store": (below(lambda w: w.store, "sha256/*/*/torch-2.11.0.dev20260102*.whl"), CREATE, "two"),
    "a wheel in the store, kept": (below(lambda w: w.store, "sha256/*/*/numpy*.whl"), KEEP, "two"),
    "registrations of locks": (below(lambda w: w.store, "roots/*.json"), CREATE, "two"),
    "locks of targets": (below(lambda w: w.state, "locks/*.lock"), CREATE, "two"),
    "uv's pointers": (below(lambda w: w.uv_cache, "wheels-v*/**/*.rev"), CREATE, "two"),
    "uv's kept answers": (below(lambda w: w.uv_cache, "**/*.msgpack"), CREATE, "two"),
    "uv's pages": (below(lambda w: w.uv_cache, "simple-v*/**/*.rkyv"), LOCK, "one"),
    "uv's unpacked RECORD": (below(lambda w: w.uv_cache, "archive-v*/*/torch-*.dist-info/RECORD"), CREATE, "two"),
    "uv's unpacked METADATA": (below(lambda w: w.uv_cache, "archive-v*/*/torch-*.dist-info/METADATA"), CREATE, "two"),
    "a module in uv's cache": (below(lambda w: w.uv_cache, "archive-v*/*/torch/__init__.py"), CREATE, "two"),
    "the constraints of the environment": (below(lambda w: w.target, "gpuenv-constraints.txt"), CREATE, "two"),
    "the activation script of the environment": (below(lambda w: w.target, "bin/activate"), CREATE, "two"),
    "pip's configuration in the environment": (below(lambda w: w.target, "pip.conf"), CREATE, "two"),
    "a module of the environment": (below(lambda w: w.target, "lib/*/*/torch/version.py"), CREATE, "two"),
}  # fmt: skip
POWER_CUT: dict[str, Harm] = {"zero length": empty, "half": half, "garbage": garbage}

OTHERS: list[tuple[str, Harm, str]] = [
    ("one bit flipped", flip, "kept pages"),
    ("one bit flipped", flip, "kept facts of wheels"),
    ("one bit flipped", flip, "remembered RECORDs"),
    ("one bit flipped", flip, "a wheel in the store"),
    ("one bit flipped", flip, "a wheel in the store, kept"),
    ("one bit flipped", flip, "a module in uv's cache"),
    ("one bit flipped", flip, "uv's unpacked RECORD"),
    ("removed", gone, "a wheel in the store"),
    ("removed", gone, "a module in uv's cache"),
    ("removed", gone, "uv's unpacked RECORD"),
    ("removed", gone, "remembered RECORDs"),
    ("a folder instead", folder, "kept pages"),
    ("a folder instead", folder, "kept facts of wheels"),
    ("a folder instead", folder, "remembered RECORDs"),
    ("a folder instead", folder, "a wheel in the store"),
    ("a folder instead", folder, "registrations of locks"),
    ("a link to nowhere instead", link, "a wheel in the store"),
    ("a link to nowhere instead", link, "kept pages"),
    ("a link to nowhere instead", link, "locks of targets"),
    ("a device instead", device, "kept pages"),
    ("a device instead", device, "remembered RECORDs"),
    ("a pipe instead", pipe, "kept facts of wheels"),
    ("a pipe instead", pipe, "remembered RECORDs"),
]


def cases() -> Iterator[Case]:
    for name in FILES:
        for harm, do in POWER_CUT.items():
            if harm == "half" or not (name.startswith("uv's") or "environment" in name):
                yield damaged(name, harm, do, ci=harm == "half" and name in ("remembered RECORDs", "uv's pointers"))
    for harm, do, name in OTHERS:
        yield damaged(name, harm, do, ci=(harm, name) == ("one bit flipped", "a wheel in the store"))
    for harm, do in {**POWER_CUT, "a folder instead": folder, "a link to nowhere instead": link}.items():
        yield Case(
            group="damage", fault=harm, stage="create, the lock", refuse=True, repair=relocked,
            arrange=lambda world, do=do: do(world.lock), relocks=True,
        )  # fmt: skip
        yield Case(
            group="damage", fault=harm, stage="create, the marker of the environment", refuse=True, repair=moved_away,
            arrange=lambda world, do=do: do(world.target / "gpuenv.json"), code=2,
        )  # fmt: skip
        yield Case(
            group="damage", fault=harm, stage="store prune, registrations of locks", words=PRUNE, where=lambda _: (),
            arrange=each(FILES["registrations of locks"][0], do), code=2,
        )  # fmt: skip
    yield Case(
        group="damage", fault="one bit flipped", stage="store verify, a wheel in the store", words=VERIFY, code=5,
        where=lambda _: (), arrange=each(FILES["a wheel in the store"][0], flip),
    )  # fmt: skip
    yield Case(
        group="damage", fault="one bit flipped, date kept", stage="create --deep, a module in uv's cache",
        words=(*CREATE, "--deep"), arrange=each(FILES["a module in uv's cache"][0], silently),
    )  # fmt: skip
    for name, place in {
        "state": lambda w: w.state,
        "cache": lambda w: w.cache,
        "uv's cache": lambda w: w.uv_cache,
    }.items():
        yield Case(
            group="damage", fault="removed with all in it", stage=f"create, {name}",
            arrange=lambda world, place=place: shutil.rmtree(place(world)),
        )  # fmt: skip


def damaged(name: str, harm: str, do: Harm, *, ci: bool) -> Case:
    find, words, lock = FILES[name]
    return Case(
        group="damage", fault=harm, stage=f"{' '.join(words)}, {name}", words=words, lock=lock, arrange=each(find, do),
        ci=ci,
    )  # fmt: skip


def each(find: Find, do: Harm) -> Callable[[World], None]:
    def arrange(world: World) -> None:
        for path in find(world):
            do(path)

    return arrange


def relocked(world: World) -> None:
    """What the hint says, or a checkout."""
    if world.lock.is_dir():
        world.lock.rmdir()
    world.lock.unlink(missing_ok=True)
    world.put_lock("two")


def moved_away(world: World) -> None:
    """What the hint says: `mv`."""
    shutil.rmtree(world.target)
