"""Eight hosts on loopback, from an inventory to a report by one command; killed in the middle, and run again.

By hand, as root, with `sshd` here:

    debootstrap --variant=minbase --include=openssh-server trixie /var/tmp/other-root
    PYTHONPATH=tests .venv/bin/python -m fleet.eight_hosts /var/tmp/eight --other-root /var/tmp/other-root \\
        --carry FOLDER --find-links FOLDER-WITH-A-CPU-TORCH

``--carry`` holds an archive of Python for the host that has none. Ends with 0 where all was as it has to be.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleet.loopback import BROKEN_DRIVER, DOWN, MACHINES, OTHER_LIBC, Hosts, eight_hosts

PROFILE = """description = "A CPU build of torch, proved in short"
accelerator = "cpu"
packages = ["torch"]
[verification]
model = "gpt2-tiny"
precision = "fp32"
"""
GOOD = sorted(set(MACHINES) - {DOWN, BROKEN_DRIVER})


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--other-root", type=Path, required=True)
    parser.add_argument("--carry", type=Path, required=True)
    parser.add_argument("--find-links", required=True)
    parser.add_argument("--batch", default="3")
    asked = parser.parse_args(argv)
    desk = asked.folder / "desk"
    (desk / "profiles").mkdir(parents=True)
    (desk / "profiles/short.toml").write_text(PROFILE)
    command = [
        str(Path(sys.executable).with_name("gpuenv")), "fleet", "create", "--profile", "short",
        "-i", str(asked.folder / "hosts/ssh_config"), "--carry", str(asked.carry.absolute()),
        "--find-links", asked.find_links, "--batch", asked.batch,
    ]  # fmt: skip
    with eight_hosts(asked.folder / "hosts", asked.other_root) as hosts:
        timed("facts only", [*command[:2], "detect", *command[5:9]], desk)
        timed("facts again", [*command[:2], "detect", *command[5:9]], desk)
        first = kill_in_the_middle(command, desk)
        seconds, said = timed("run again, to the end", command, desk)
        check_the_end(desk, first, said, hosts)
        timed("everything done: nothing to do", command, desk)
    print(f"all as it has to be; {len(first)} hosts were done before the kill, the rest in {seconds:.0f} s")
    return 0


def timed(what: str, command: Sequence[str], desk: Path) -> tuple[float, str]:
    """Run to the end and say how long it took."""
    started = time.monotonic()
    done = subprocess.run(command, cwd=desk, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    print(f"--- {what}: exit {done.returncode}, {seconds:.1f} s\n{done.stdout}{done.stderr}", flush=True)
    assert done.returncode == 1, "two hosts fail"
    return seconds, done.stdout + done.stderr


def kill_in_the_middle(command: Sequence[str], desk: Path) -> list[str]:
    """End the run with SIGKILL, all its processes with it, when two hosts are done; returns which were."""
    log = desk.parent / "killed.log"
    with log.open("w") as file:
        run = subprocess.Popen(command, cwd=desk, stdout=file, stderr=file, start_new_session=True)
        while len(done := built(desk)) < 2 and run.poll() is None:
            time.sleep(0.2)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    done = built(desk)
    print(f"--- killed when done were: {', '.join(done)}\n{log.read_text()}", flush=True)
    assert 2 <= len(done) < len(GOOD)
    return done


def built(desk: Path) -> list[str]:
    return sorted(path.parent.name for path in (desk / "fleet/hosts").glob("*/built.json"))


def check_the_end(desk: Path, first: Sequence[str], said: str, hosts: Hosts) -> None:
    """Classes, locks and verdicts; those that were done are not done again."""
    report: Any = json.loads((desk / "fleet/report.json").read_text())
    verdicts = {host["name"]: host["verdict"] for host in report["hosts"]}
    assert [host["name"] for host in report["hosts"][:2]] == sorted((DOWN, BROKEN_DRIVER)), "failed first"
    assert {verdicts[name] for name in (DOWN, BROKEN_DRIVER)} == {"failed"}
    assert {name for name in GOOD if verdicts[name] in ("passed", "unusual")} == set(GOOD), verdicts
    assert sorted(group["hosts"] for group in report["classes"]) == [
        ["gpu1", "gpu2"], ["gpu3", "gpu4"], ["gpu5"], [OTHER_LIBC],
    ]  # fmt: skip
    for group in report["classes"]:
        lock = (desk / group["lock"]["path"]).read_bytes()
        for name in group["hosts"]:
            assert (hosts.home(name) / "gpuenv/lockfiles/pylock.short.toml").read_bytes() == lock
    for name in first:
        assert f"] {name}: built" not in said, f"{name} was done before"
    for name in set(GOOD) - set(first):
        assert f"] {name}: " in said


if __name__ == "__main__":
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    sys.exit(main(sys.argv[1:]))
