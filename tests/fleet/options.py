"""The options of a roll-out, and plain Ansible, through the real engine: hosts are folders here, torch is small.

By hand, minutes: ``PYTHONPATH=tests .venv/bin/python -m fleet.options``. Ends with 0 where all was as it has
to be. Real hosts by sshd, and a real torch: :mod:`fleet.eight_hosts`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.cli import Person, Run, know_interpreters
from support.fake_nvml import H200, FakeMachine
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

HOPPER = FakeMachine(gpus=(H200,), driver="580.65.06", cuda=13000)
MACHINES = {"gpu1": HOPPER, "gpu2": HOPPER, "gpu3": HOPPER, "gpu4": FakeMachine(driver="570.124.06")}
BLOCKED = ".venv-gpu"
"""A file in the place of the environment is nobody's environment: gpuenv replaces none."""
ROOT = Path(__file__).parents[2]
LONGEST = 240
"""Characters of a line that is printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """Folders that are hosts, and the person at the desk."""

    person: Person
    folder: Path

    def home(self, name: str) -> Path:
        return self.folder / name / "gpuenv"

    def create(self, *more: str) -> Run:
        return self.run("create", "-i", "hosts.ini", "--no-verify", *more)

    def run(self, action: str, *more: str) -> Run:
        started = time.monotonic()
        run = self.person.run("fleet", action, "--profile", "team", *more, timeout=1200)
        self.say(f"gpuenv fleet {action} {' '.join(more)}: exit {run.code}", started, run.out + run.err)
        return run

    def say(self, what: str, started: float, said: str) -> None:
        """Print what was said, with no path of this machine in it and no line of a whole document."""
        text = f"--- {what}, {time.monotonic() - started:.1f} s\n{said}".replace(str(self.folder), "/hosts")
        lines = (line if len(line) <= LONGEST else f"{line[:LONGEST]} …" for line in text.splitlines())
        print("\n".join(lines).replace(str(ROOT), "/gpuenv"), flush=True)

    def verdicts(self) -> dict[str, str]:
        report: Any = json.loads((self.person.project / "fleet/report.json").read_text("utf-8"))
        return {host["name"]: host["verdict"] for host in report["hosts"]}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder, IndexServer() as index:
        hosts = lay_out(Path(folder), index)
        canary(hosts)
        batches(hosts)
        most_that_may_fail(hosts)
        repaired(hosts)
        one_store(hosts)
        proved_again(hosts)
        one_folder(hosts)
        plain_ansible(hosts)
    print("all as it has to be")


def lay_out(folder: Path, index: IndexServer) -> Hosts:
    lines = ["[all]"]
    for name, machine in MACHINES.items():
        shell = folder / name / "shell"
        world = machine.environ(folder / name / "lib")
        shell.write_text(
            "#!/bin/sh\n"
            + "".join(f"export {key}={shlex.quote(value)}\n" for key, value in world.items() if key != "PATH")
            + 'exec /bin/sh "$@"\n'
        )
        shell.chmod(0o755)
        know_interpreters(folder / name / "gpuenv/cache/uv")
        lines.append(
            f"{name} ansible_connection=local ansible_shell_executable={shell} gpuenv_home={folder / name}/gpuenv"
        )
    for variant in ("cu128", "cu130"):
        index.add(torch_wheel("2.10.0", variant, tag=TAG), folder=variant)
    index.add_package(build_wheel("six", "1.0"))
    person = Person.at(
        folder / "desk",
        GPUENV_TORCH_INDEX=index.torch_index,
        GPUENV_INDEX=index.default_index,
        GPUENV_PYTHON=PYTHON,
        ANSIBLE_LOCAL_TEMP=str(folder / "tmp"),
    )
    person.write("profiles/team.toml", 'description = "t"\npackages = ["torch", "six"]\n')
    person.write("hosts.ini", "\n".join(lines) + "\n")
    return Hosts(person=person, folder=folder)


def told(run: Run) -> list[str]:
    """Hosts in the order in which a build ended on them."""
    return re.findall(r"\] (gpu\d): (?:built|up to date|create failed)", run.err)


def canary(hosts: Hosts) -> None:
    (hosts.home("gpu1") / BLOCKED).write_text("something else\n")
    run = hosts.create("--canary", "1")
    assert run.code == 1
    assert sorted(told(run)) == ["gpu1", "gpu4"], told(run)
    assert "gpu1 was tried first of class" in run.err
    assert hosts.verdicts() == {"gpu1": "failed", "gpu2": "waiting", "gpu3": "waiting", "gpu4": "built"}
    assert (hosts.home("gpu1") / BLOCKED).read_text() == "something else\n"


def batches(hosts: Hosts) -> None:
    run = hosts.create("--limit", "gpu2,gpu3", "--batch", "1")
    assert told(run) == ["gpu2", "gpu3"]
    assert run.err.count("[1/1] gpu") == 2, "one at a time"
    assert hosts.verdicts() == {"gpu1": "failed", "gpu2": "built", "gpu3": "built", "gpu4": "built"}


def most_that_may_fail(hosts: Hosts) -> None:
    run = hosts.create("--again", "--batch", "1", "--max-fail", "0", "--limit", "gpu1,gpu2,gpu3")
    assert (run.code, told(run)) == (1, ["gpu1"]), "no other was begun"
    assert "1 of 1 hosts failed, more than 0 %" in run.err
    run = hosts.create("--again", "--batch", "1", "--max-fail", "100", "--limit", "gpu1,gpu2,gpu3")
    assert told(run) == ["gpu1", "gpu2", "gpu3"]


def repaired(hosts: Hosts) -> None:
    (hosts.home("gpu1") / BLOCKED).unlink()
    run = hosts.create("--json")
    assert (run.code, set(hosts.verdicts().values())) == (0, {"built"}), run.err
    assert told(run) == ["gpu1"], "the others are done"
    assert [each["verdict"] for each in run.json["data"]["report"]["hosts"]] == ["built"] * 4
    assert told(hosts.create()) == [], "nothing to do"


def one_store(hosts: Hosts) -> None:
    store = hosts.folder / "shared store"
    for name in MACHINES:
        shutil.rmtree(hosts.home(name) / "store")
    run = hosts.create("--again", "--shared", str(store))
    assert run.code == 0, run.err
    assert len(list(store.rglob("*.whl"))) == 3, "each wheel once"
    assert not any((hosts.home(name) / "store").exists() for name in MACHINES)


def proved_again(hosts: Hosts) -> None:
    run = hosts.run("verify", "-i", "hosts.ini", "--limit", "gpu4", "--no-health")
    assert run.code == 1, "there is no torch in a wheel of the tests"
    assert hosts.verdicts() == {"gpu1": "built", "gpu2": "built", "gpu3": "built", "gpu4": "failed"}
    assert (hosts.person.project / "fleet/hosts/gpu4/evidence/evidence.json").is_file()


def one_folder(hosts: Hosts) -> None:
    """A home that hosts share: the second would build where the first does."""
    home = hosts.folder / "home of all"
    run = hosts.run("detect", "-i", "hosts.ini", "--limit", "gpu2,gpu4", "--home", str(home / "gpuenv"))
    assert (run.code, "gpuenv's folder there is that of gpu2 too" in run.err) == (1, True)
    assert hosts.verdicts()["gpu4"] == "failed"
    own = str(home / "{{ inventory_hostname }}")
    assert "hosts failed" not in hosts.run("detect", "-i", "hosts.ini", "--limit", "gpu2,gpu4", "--home", own).err
    assert sorted(path.name for path in home.glob("gpu[0-9]")) == ["gpu2", "gpu4"]
    hosts.run("detect", "-i", "hosts.ini")


def plain_ansible(hosts: Hosts) -> None:
    """The collection as its README has it: built, installed, and run by `ansible-playbook`, which knows no gpuenv."""
    person = hosts.person
    assert person.run("fleet", "bundle", "bundle.run").code == 0
    lock = next((person.project / "lockfiles").glob("pylock.team-*sm90.toml"))
    (person.project / "lockfiles/pylock.team.toml").write_bytes(lock.read_bytes())
    exported = person.run("store", "export", "carried", "--profile", "team")
    assert exported.code == 0, exported.err
    for name in ("gpu1", "gpu2"):
        shutil.rmtree(hosts.home(name))
        know_interpreters(hosts.home(name) / "cache/uv")
    galaxy(hosts, "build", str(ROOT / "fleet/ansible"), "--output-path", "built")
    (archive,) = (person.project / "built").glob("*.tar.gz")
    galaxy(hosts, "install", str(archive), "-p", "collections", "--offline")
    recap = playbook(hosts, "site", "--check", "--diff")
    assert not (hosts.home("gpu1") / "tool").exists(), "check mode"
    assert recap["gpu1"]["changed"] == 1, "it says what would be installed"
    recap = playbook(hosts, "site")
    assert {name: row["failed"] for name, row in recap.items()} == {"gpu1": 0, "gpu2": 0}
    assert all(row["changed"] for row in recap.values())
    assert (hosts.home("gpu1") / ".venv-gpu/gpuenv.json").is_file()
    recap = playbook(hosts, "site")
    assert all(row["changed"] == 0 for row in recap.values()), "nothing to do"
    lockfile = person.project / "carried/lockfiles/pylock.team.toml"
    lockfile.write_text("# a comment\n" + lockfile.read_text())
    recap = playbook(hosts, "create", "--check", "--diff", shows="+# a comment")
    assert all(row["changed"] for row in recap.values())
    assert not (hosts.home("gpu1") / "lockfiles/pylock.team.toml").read_text().startswith("# a comment")
    assert all(row["failed"] == 0 for row in playbook(hosts, "detect").values())
    assert all(row["failed"] == 0 for row in playbook(hosts, "check").values())
    recap = playbook(hosts, "verify", shows="gpuenv")
    assert all(row["failed"] == 1 for row in recap.values()), "there is no torch in a wheel of the tests"
    evidence = person.project / "by-ansible"
    person.write("evidence.yml", EVIDENCE)
    playbook(hosts, "evidence.yml", "-e", f"evidence_folder={evidence}")
    assert sorted(path.parent.name for path in evidence.glob("*/evidence.json")) == ["gpu1", "gpu2"]


EVIDENCE = """- hosts: all
  gather_facts: false
  roles: [gpuenv.fleet.bootstrap, gpuenv.fleet.evidence]
"""


def galaxy(hosts: Hosts, *words: str) -> None:
    ansible(hosts, "ansible-galaxy", "collection", *words)


def playbook(hosts: Hosts, name: str, *more: str, shows: str = "") -> dict[str, dict[str, int]]:
    """Run a playbook of the collection on two hosts; returns Ansible's own counts."""
    what = name if name.endswith(".yml") else f"gpuenv.fleet.{name}"
    project = hosts.person.project
    said = ansible(
        hosts, "ansible-playbook", what, "-i", "hosts.ini", "--limit", "gpu1,gpu2", "-e", "gpuenv_profile=team",
        "-e", f"gpuenv_bundle={project}/bundle.run", "-e", f"gpuenv_carried={project}/carried",
        "-e", '{"gpuenv_create": ["--no-verify"]}', *more,
    )  # fmt: skip
    assert shows in said, said
    found = re.findall(r"(?m)^(gpu\d)\s+: ok=\d+ +changed=(\d+) +unreachable=\d+ +failed=(\d+)", said)
    assert len(found) == 2, said
    return {host: {"changed": int(changed), "failed": int(failed)} for host, changed, failed in found}


def ansible(hosts: Hosts, program: str, *words: str) -> str:
    started = time.monotonic()
    world = hosts.person.world(ANSIBLE_COLLECTIONS_PATH="collections", ANSIBLE_NOCOLOR="1")
    command: Sequence[str] = [str(Path(sys.executable).with_name(program)), *words]
    done = subprocess.run(command, cwd=hosts.person.project, env=world, capture_output=True, text=True, check=False)
    hosts.say(f"{program} {' '.join(words[:1])}: exit {done.returncode}", started, done.stdout + done.stderr)
    return done.stdout + done.stderr


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    main()
