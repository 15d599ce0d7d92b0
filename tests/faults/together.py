"""Several at once: on one target, one home, one store, one cache, and in two PID namespaces."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache

from faults.case import CREATE, KEEP, LOCK, Case
from faults.world import Running, World
from support.cli import Person, Run
from support.index_server import Fault

NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc")
"""Two of these know nothing of each other's process ids, and have the same ones."""

PRUNE = ("store", "prune")


@lru_cache(maxsize=1)
def can_unshare() -> bool:
    """Whether this process may make PID namespaces."""
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


def cases() -> Iterator[Case]:
    for start in ("warm", "cold"):
        yield case(f"create and create, {start}", "one target", both(CREATE, CREATE), start=start, ci=start == "cold")
        yield case(f"create and store prune, {start}", "one store", both(CREATE, PRUNE), start=start)
        yield case(f"create and lock --upgrade, {start}", "one project", both(CREATE, LOCK), start=start)
        yield case(f"lock --keep and store prune, {start}", "one store", both(KEEP, PRUNE), start=start)
        yield case(f"lock --keep and lock --keep, {start}", "one store", both(KEEP, KEEP), start=start)
        yield case(f"two projects with two locks, {start}", "one home", projects(2), start=start, ci=start == "cold")
    yield case("lock --upgrade and lock --upgrade", "one project", both(LOCK, LOCK), start="cold", lock="one")
    yield case("eight projects with two locks", "one home", projects(8), start="cold")
    yield case("SIGKILL of one of two", "one target", killed_of_two(CREATE), start="cold")
    yield case("SIGKILL of one of two", "one store", killed_of_two(KEEP), start="cold", words=KEEP)
    yield case("create and `uv cache clean`", "one uv cache", cleaned, start="warm")
    yield case("the lock is changed under a build", "one project", changed_lock, start="cold")
    yield case("a stage of another boot lies there", "one target", with_stage("-1-00000000"), start="warm")
    yield case("a stage with the pid of a living process", "one target", with_stage("-1-{boot}"), start="warm")
    for start in ("warm", "cold"):
        prefix = NAMESPACE
        yield case(f"create in two PID namespaces, {start}", "one target", both(CREATE, CREATE, prefix), start=start,
                   ci=start == "cold")  # fmt: skip
        yield case(f"lock --keep in two PID namespaces, {start}", "one store", both(KEEP, KEEP, prefix), start=start)
        yield case(f"six projects in PID namespaces of their own, {start}", "one store and cache", projects(6, prefix),
                   start=start)  # fmt: skip


def case(
    fault: str,
    stage: str,
    drive: Callable[[World], Run],
    *,
    start: str,
    lock: str = "two",
    words: tuple[str, ...] = (),
    ci: bool = False,
) -> Case:
    return Case(
        group="together", fault=fault, stage=stage, drive=drive, start=start, lock=lock, ci=ci,
        words=words or (LOCK if fault.startswith("lock") else CREATE),
        code=None if "KILL" in fault or "changed" in fault else 0,
    )  # fmt: skip


def both(one: tuple[str, ...], two: tuple[str, ...], prefix: tuple[str, ...] = ()) -> Callable[[World], Run]:
    """Start two commands at once; what the worse of them said counts. `store prune` may refuse, for it cannot know."""

    def drive(world: World) -> Run:
        running = [start(world, words, prefix) for words in (one, two)]
        if two != PRUNE:
            return worst(running)
        done, pruned = (each.wait(240.0) for each in running)
        return pruned if pruned.code not in (0, 2) else done

    return drive


def start(world: World, words: tuple[str, ...], prefix: tuple[str, ...] = (), person: Person | None = None) -> Running:
    where = () if words[0] == "store" else world.where
    return world.start(*words, *where, prefix=prefix, home=person)


def worst(running: list[Running]) -> Run:
    return max((each.wait(240.0) for each in running), key=lambda run: abs(run.code))


def projects(count: int, prefix: tuple[str, ...] = ()) -> Callable[[World], Run]:
    """As many projects at once with one home; each has its own lock's bytes afterwards."""

    def drive(world: World) -> Run:
        people = [world.person]
        for number in range(1, count):
            folder = world.folder / f"project-{number}"
            world.notes.append(f"brought {folder.name}")
            shutil.copytree(world.person.project, folder, symlinks=True)
            people.append(replace(world.person, project=folder))
            lock = folder / world.lock.relative_to(world.person.project)
            lock.write_text(world.texts["one" if number % 2 else "two"], encoding="utf-8")
        done = worst([start(world, CREATE, prefix, person) for person in people])
        for person in people:
            unlike = world.unlike_lock(project=person.project)
            if unlike:
                world.notes.append(f"WRONG: {person.project.name}: {unlike[0]}")
        return done

    return drive


def killed_of_two(words: tuple[str, ...]) -> Callable[[World], Run]:
    """The first is killed while it downloads; the second waits for it, and ends well."""

    def drive(world: World) -> Run:
        fault = Fault(stall=60, times=1)
        world.server.fault("/simple/numpy/numpy-", fault)
        first = start(world, words)
        wait_until(lambda: fault.times == 0)
        second = start(world, words)
        time.sleep(0.5)
        first.send("SIGKILL")
        first.wait()
        done = second.wait()
        if done.code != 0:
            world.notes.append(f"WRONG: the second ended {done.code}")
        return done

    return drive


def cleaned(world: World) -> Run:
    from gpuenv.environment.uv import find_uv

    running = start(world, CREATE)
    time.sleep(0.4)
    clean = [str(find_uv(world.person.world() | {"PATH": sys.exec_prefix}).path), "cache", "clean", "torch"]
    subprocess.run(clean, env=world.person.world(), capture_output=True, check=False)
    return running.wait()


def changed_lock(world: World) -> Run:
    """Somebody checks out another branch between the audit and the installation: the audited lock is what counts."""
    fault = Fault(stall=2, times=1)
    world.server.fault("/simple/numpy/numpy-", fault)
    running = start(world, CREATE)
    wait_until(lambda: fault.times == 0 or running.process.poll() is not None)
    world.put_lock("one")
    done = running.wait()
    if world.unlike_lock("two"):
        world.notes.append("WRONG: not what was audited")
    world.put_lock("two")
    return done


def with_stage(name: str) -> Callable[[World], Run]:
    """What a killed build of another boot or container left, whose pid somebody else has now."""

    def drive(world: World) -> Run:
        from gpuenv.environment.target import STAGE_PREFIX, boot_id, check_target

        stage = world.person.project / f"{STAGE_PREFIX}{check_target(world.target).key}{name.format(boot=boot_id())}"
        (stage / ".venv-gpu").mkdir(parents=True)
        done = start(world, CREATE).wait()
        if stage.exists():
            world.notes.append("WRONG: what a dead build left is there still")
        return done

    return drive


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(6000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to that")
