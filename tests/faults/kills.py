"""Kills: SIGKILL, SIGTERM and SIGINT at named points of each command, and the end of uv under its hands."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator

from faults.case import CREATE, KEEP, LOCK, Case
from faults.world import World
from gpuenv.environment.uv import find_uv
from gpuenv.installed.marker import PREVIOUS_NOTE
from support.cli import Run
from support.index_server import Fault

KEEP_PREVIOUS = (*CREATE, "--keep-previous")
VERIFY = ("verify", ".venv-gpu")
ROLL_BACK = ("create", "--rollback")
LEFT = "left-by-a-killed-run"
STAGE = "*.gpuenv-stage-*"

#: Point of a build that has everything cached: pattern over what is about to be done, and its number.
BUILD = {
    "before the target's lock is taken": ("open *locks/*.lock", 1),
    "before staging": (f"os.mkdir {STAGE}", 1),
    "before `uv venv`": ("subprocess.Popen *uv venv *", 1),
    "before the run's own lock is written": (f"os.rename {STAGE}pylock*", 1),
    "before `uv pip sync`": ("subprocess.Popen *uv pip sync *", 1),
    "before the stage loses its other name": ("os.remove *state/gpuenv/stages/*", 1),
    "before the constraints are written": (f"os.rename {STAGE}gpuenv-constraints.txt", 1),
    "before the activation script is written": (f"os.rename {STAGE}bin/activate", 1),
    "before the marker is written": (f"os.rename {STAGE}gpuenv.json", 1),
    "before the import check": (f"subprocess.Popen {STAGE}bin/python*", 1),
    "before the disk is synced": ("ctypes.dlsym syncfs", 1),
    "before the exchange": ("ctypes.dlsym renameat2", 1),
    "after the exchange, before the old one is removed": ("os.remove *", 2),
    "while the old one is removed": ("os.remove RECORD", 2),
    "before the stage is removed": (f"os.rmdir {STAGE}", 1),
}

#: Where the signals are tried that a process can answer.
SOFTER = {
    "before staging": ("SIGTERM",),
    "before `uv pip sync`": ("SIGTERM", "SIGINT"),
    "before the marker is written": ("SIGINT",),
    "before the import check": ("SIGTERM",),
    "before the exchange": ("SIGTERM", "SIGINT"),
    "after the exchange, before the old one is removed": ("SIGTERM", "SIGINT"),
}

#: Of a build that has nothing: the pages, the lock, the downloads before it.
COLD = {
    "before the first page is kept": ("os.rename *cache/gpuenv/http/*", 1),
    "while the third page is written": ("open *cache/gpuenv/http/*", 3),
    "before facts of a wheel are kept": ("os.rename *cache/gpuenv/wheels/*", 1),
    "before a download begins": ("open *partial/*/body", 1),
    "before a download enters the store": ("os.rename *partial/*/body *", 1),
    "before uv resolves": ("subprocess.Popen *uv pip compile*", 1),
    "before the lock is written": ("open *lockfiles/.pylock*", 1),
    "before the lock takes its name": ("os.rename *lockfiles/.pylock*", 1),
    "before a RECORD is remembered": ("os.rename *state/gpuenv/records/*", 1),
    "before the lock is registered": ("os.rename *store/roots/*", 1),
}

#: Of a build that keeps what it replaces, and of the roll-back to that.
KEPT = {
    "before the note is written": ("os.rename *NOTE", 1),
    "before the exchange": ("ctypes.dlsym renameat2", 1),
    "before the old one takes its place": ("os.rename *.venv-gpu *.previous", 1),
}
BACK = {
    "before the note is written": ("os.rename *NOTE", 1),
    "before the exchange": ("ctypes.dlsym renameat2", 1),
    "before the note is removed": ("os.remove *NOTE", 2),
}

#: Of a build that is proved, and of a proof alone. The small torch cannot train: without the kill it ends 1.
PROOF = {
    "before the proof begins": ("subprocess.Popen *verify/payload/*", 1),
    "between two parts of the proof": ("subprocess.Popen *verify/payload/*", 2),
    "before evidence is written": ("open *evidence/*", 1),
    "while evidence is written": ("os.rename *evidence/*", 4),
}

STORE = {
    "before the registration is written": ("os.rename *store/roots/*", 1),
    "before a download begins": ("open *partial/*/body", 1),
    "before the validator is written": ("os.rename *partial/*/validator.json", 1),
    "before a wheel enters the store": ("os.rename *partial/*/body *", 2),
    "before the download is cleared": ("os.remove *partial/*", 1),
}


def cases() -> Iterator[Case]:
    for stage, (point, number) in BUILD.items():
        for name in ("SIGKILL", *SOFTER.get(stage, ())):
            strike = (name, point, number)
            ci = (name, stage) in {("SIGKILL", "before the exchange"), ("SIGTERM", "before `uv pip sync`")}
            yield Case(group="kills", fault=name, stage=f"create, {stage}", strike=strike, ci=ci)
    for stage, (point, number) in COLD.items():
        yield Case(
            group="kills", fault="SIGKILL", stage=f"create without a lock, {stage}", start="new", lock="",
            strike=("SIGKILL", point, number), ci="takes its name" in stage,
        )  # fmt: skip
    for stage, (point, number) in COLD.items():
        if "RECORD" not in stage and "registered" not in stage:
            name = "SIGTERM" if "before uv" in stage or "begins" in stage else "SIGKILL"
            strike = (name, point, number)
            yield Case(
                group="kills", fault=name, stage=f"lock --upgrade, {stage}", start="cold", lock="one", words=LOCK,
                strike=strike,
            )  # fmt: skip
    for words, points, arrange in ((KEEP_PREVIOUS, KEPT, None), (ROLL_BACK, BACK, kept_before)):
        for stage, (point, number) in points.items():
            for name in ("SIGKILL", "SIGTERM") if "exchange" in stage else ("SIGKILL",):
                strike = (name, point.replace("NOTE", PREVIOUS_NOTE), number)
                yield Case(
                    group="kills", fault=name, stage=f"{' '.join(words)}, {stage}", words=words, arrange=arrange,
                    strike=strike, ci=(words, stage) == (ROLL_BACK, "before the exchange"),
                )  # fmt: skip
    yield Case(
        group="kills", fault="none", stage="create --rollback", words=ROLL_BACK, arrange=kept_before, wants="one"
    )
    for stage, (point, number) in STORE.items():
        yield Case(
            group="kills", fault="SIGKILL", stage=f"lock --keep, {stage}", words=KEEP, start="cold",
            strike=("SIGKILL", point, number),
        )  # fmt: skip
    yield from proofs()
    for part, first in {"pages": "*cache/gpuenv/http/*", "facts": "*cache/gpuenv/wheels/*", "leftovers": LEFT}.items():
        yield Case(
            group="kills", fault="SIGKILL", stage=f"cache clean {part}, before the first file is removed",
            words=("cache", "clean", part), where=lambda _: (), arrange=leave_something,
            strike=("SIGKILL", f"os.remove {first}", 1),
        )  # fmt: skip
    for name in ("SIGKILL", "SIGINT"):
        yield Case(
            group="kills", fault=name, stage="store prune, before a wheel is removed", lock="one",
            words=("store", "prune", "--forget"), where=lambda _: (), strike=(name, "os.remove *.whl", 1),
        )  # fmt: skip
        yield Case(
            group="kills", fault=name, stage="create, while uv downloads", start="cold",
            drive=held("/whl/nightly/cpu/torch-", name), ci=name == "SIGINT",
        )  # fmt: skip
        yield Case(
            group="kills", fault=name, stage="lock, while a wheel is downloaded", start="cold", lock="one", words=LOCK,
            drive=held("/whl/nightly/cpu/torch-", name, words=LOCK),
        )  # fmt: skip
        yield Case(
            group="kills", fault=name, stage="lock, while a page is asked for", start="cold", lock="one", words=LOCK,
            drive=held("/whl/nightly/torch/", name, words=LOCK),
        )  # fmt: skip
    for what, script in ENDS_OF_UV.items():
        for verb in ("venv", "sync"):
            yield Case(
                group="kills", fault=f"uv {what}", stage=f"create, `uv {'pip ' * (verb == 'sync')}{verb}`",
                drive=broken_uv(verb, script), code=6,
            )  # fmt: skip
    yield Case(
        group="kills", fault="uv killed", stage="lock --upgrade, `uv pip compile`", start="cold", lock="one",
        words=LOCK, drive=broken_uv("compile", "kill -9 $$", LOCK), code=6,
    )  # fmt: skip


def proofs() -> Iterator[Case]:
    """Kills of `create` and `verify` while the environment is proved."""
    for stage, (point, number) in PROOF.items():
        for name in ("SIGKILL", "SIGTERM", "SIGINT") if stage == "before the proof begins" else ("SIGKILL",):
            strike = (name, point, number)
            yield Case(group="kills", fault=name, stage=f"create, {stage}", words=("create",), strike=strike)
            yield Case(
                group="kills", fault=name, stage=f"verify, {stage}", words=VERIFY, where=lambda _: (), strike=strike
            )
    for name in ("SIGKILL", "SIGTERM", "SIGINT"):
        yield Case(
            group="kills", fault=name, stage="verify, while torch is imported", drive=proving(name), words=VERIFY,
            arrange=slow_to_import, ci=name == "SIGKILL",
        )  # fmt: skip


def slow_to_import(world: World) -> None:
    """A torch that says that it is being imported, and waits."""
    (torch,) = world.target.glob("lib/python*/site-packages/torch/__init__.py")
    torch.unlink()  # a hard link into uv's cache
    seen = world.folder / "tmp/gpuenv-imported"
    torch.write_text(f"import time\nopen({str(seen)!r}, 'w').close()\ntime.sleep(600)\n", encoding="utf-8")


def proving(name: str) -> Callable[[World], Run]:
    """Send a signal while the process in the environment imports torch."""

    def drive(world: World) -> Run:
        imported = world.folder / "tmp/gpuenv-imported"
        running = world.start(*VERIFY)
        for _ in range(6000):
            if imported.exists() or running.process.poll() is not None:
                break
            time.sleep(0.01)
        assert imported.exists(), "torch was not imported"
        running.send(name)
        return running.wait()

    return drive


def leave_something(world: World) -> None:
    """What a killed run leaves, two days ago."""
    folder = world.folder / "tmp/gpuenv-dependencies-abcdefgh"
    folder.mkdir(mode=0o700)
    (folder / LEFT).touch()
    past = time.time() - 2 * 86400
    os.utime(folder, (past, past))


def kept_before(world: World) -> None:
    """The environment of the second lock stands, and that of the first is kept beside it."""
    world.must(*KEEP_PREVIOUS)


def held(path: str, name: str, words: tuple[str, ...] = CREATE) -> Callable[[World], Run]:
    """Send a signal while the server holds back an answer."""

    def drive(world: World) -> Run:
        fault = Fault(stall=60, times=1)
        world.server.fault(path, fault)
        running = world.start(*words, *world.where)
        for _ in range(6000):
            if fault.times == 0 or running.process.poll() is not None:
                break
            time.sleep(0.01)
        assert fault.times == 0, "the server was not asked"
        time.sleep(0.2)
        running.send(name)
        return running.wait()

    return drive


ENDS_OF_UV = {
    "killed": "kill -9 $$",
    "that writes half and fails": "rm -rf .venv-gpu/lib/*/site-packages/torch*; exit 3",
}


def broken_uv(verb: str, script: str, words: tuple[str, ...] = CREATE) -> Callable[[World], Run]:
    """A uv that is the real one until it is to do ``verb``: then it does it, and ends as the script says."""

    def drive(world: World) -> Run:
        real = find_uv(os.environ).path
        world.notes.append("brought uv")
        path = world.folder / "uv"
        match = f'case " $* " in *" {verb} "*) "{real}" "$@" >/dev/null 2>&1; {script};; esac'
        path.write_text(f'#!/bin/sh\n{match}\nexec "{real}" "$@"\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return world.run(*words, *world.where, "--uv", str(path))

    return drive
