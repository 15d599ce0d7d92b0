"""Many creates at once on one cache and one store: each project gets the bytes of its own lock."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace

from faults.case import CREATE
from faults.world import World

MANY = int(os.environ.get("GPUENV_TEST_MANY", "8"))
"""How many projects; all of them are started before the first is waited for."""


def test_many_creates_at_once_end_right(world: World) -> None:
    world.begin("new", "")
    people = []
    for number in range(MANY):
        folder = world.folder / f"project-{number}"
        shutil.copytree(world.person.project, folder)
        (folder / "lockfiles").mkdir(exist_ok=True)
        lock = folder / world.lock.relative_to(world.person.project)
        lock.write_text(world.texts["one" if number % 2 else "two"], encoding="utf-8")
        people.append(replace(world.person, project=folder))
    started = time.monotonic()
    running = [world.start(*CREATE, *world.where, home=person) for person in people]
    runs = [each.wait(1200.0) for each in running]
    print(f"{MANY} creates at once: {time.monotonic() - started:.1f} s")
    assert [run.err for run in runs if run.code != 0] == []
    for person in people:
        assert world.unlike_lock(project=person.project) == [], person.project
        assert sorted(path.name for path in person.project.iterdir()) == [".venv-gpu", "lockfiles", "profiles"]
    assert world.processes() == []
