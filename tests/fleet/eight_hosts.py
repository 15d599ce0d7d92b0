"""Eight hosts on loopback, from an inventory to a report by one command; killed in the middle, and run again.

By hand, as root, with `sshd` here:

    debootstrap --variant=minbase --include=openssh-server trixie /var/tmp/other-root
    tests/fleet/carried_python.sh PYTHON FOLDER/cpython.tar.gz
    PYTHONPATH=tests .venv/bin/python -m fleet.eight_hosts /var/tmp/eight --other-root /var/tmp/other-root \\
        --carry FOLDER --find-links FOLDER-WITH-A-CPU-TORCH

``--carry`` holds an archive of Python for the host that has none. Afterwards three hosts are in trouble: one falls
silent in the middle, one's `dcgmi` (a stand-in with the words of a real one) finds a broken card, one has another key
than it had. Ends with 0 where all was as it has to be.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
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
DCGM = """Successfully ran diagnostic for group.
{"DCGM Diagnostic": {"test_categories": [{"category": "Deployment", "tests": [{"name": "software", "results": [
{"entity_group": "GPU", "entity_group_id": 1, "entity_id": 0, "status": "STATUS", "warnings": [
{"error_category": 10, "error_id": 3, "error_severity": 2, "warning": "GPU 0 has uncorrectable memory errors"}]}],
"test_summary": {"status": "STATUS"}}]}]}, "metadata": {"version": "4.2.3"}}"""
NVBANDWIDTH = """{"nvbandwidth": {"version": "0.8", "testcases": [
{"name": "host_to_device_memcpy_ce", "status": "Passed", "bandwidth_matrix": [["55.20"]], "sum": 55.2},
{"name": "device_to_device_memcpy_read_ce", "status": "Waived"}]}}"""
SHORT: dict[str, str] = {}
"""Paths of this machine, and what is printed for each."""
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
    SHORT.update({str(asked.folder): "/eight", asked.find_links: "/wheels", "/root": "~"})
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
        in_trouble([*command[:2], "verify", *command[3:9], "--limit"], desk, hosts)
    print(f"all as it has to be; {len(first)} hosts were done before the kill, the rest in {seconds:.0f} s")
    return 0


def timed(what: str, command: Sequence[str], desk: Path) -> tuple[float, str]:
    """Run to the end and say how long it took."""
    started = time.monotonic()
    done = subprocess.run(command, cwd=desk, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    say(f"{what}: exit {done.returncode}, {seconds:.1f} s", done.stdout + done.stderr)
    assert done.returncode == 1, "two hosts fail"
    return seconds, done.stdout + done.stderr


def say(what: str, said: str) -> None:
    """Print what a command said, with no path of this machine in it."""
    for path, short in SHORT.items():
        said = said.replace(path, short)
    load, _, _ = os.getloadavg()
    print(f"--- {what} (load {load:.0f})\n{said}", flush=True)


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
    say(f"killed when done were: {', '.join(done)}", log.read_text())
    assert 2 <= len(done) < len(GOOD)
    return done


def in_trouble(command: Sequence[str], desk: Path, hosts: Hosts) -> None:
    """A host that falls silent, one whose card is broken, one with another key: each is named, and the rest is done."""
    programs(hosts.home("gpu1"), dcgmi=DCGM.replace("STATUS", "Pass"), nvbandwidth=NVBANDWIDTH)
    programs(hosts.home("gpu3"), dcgmi=DCGM.replace("STATUS", "Fail"))
    watch = threading.Thread(target=fall_silent, args=(hosts, "gpu2", "gpuenv verify"))
    watch.start()
    try:
        _, said = timed("gpu2 falls silent, gpu3 has a broken card", [*command, "gpu1,gpu2,gpu3"], desk)
    finally:
        watch.join()
        hosts.signal("gpu2", signal.SIGCONT)
    found = {host["name"]: host for host in json.loads((desk / "fleet/report.json").read_text())["hosts"]}
    assert found["gpu1"]["verdict"] == "passed", said
    assert [each["value"] for each in found["gpu1"]["figures"] if "nvbandwidth" in each["what"]] == [55.2]
    assert (found["gpu2"]["verdict"], found["gpu2"]["problem"]["kind"]) == ("failed", "unreachable"), said
    assert (found["gpu3"]["verdict"], "GPU 0" in found["gpu3"]["why"]) == ("failed", True), said
    (hosts.home("gpu3") / "bin/dcgmi").unlink()
    known = hosts.folder / "known_hosts"
    other = (hosts.folder / "gpu1/keys/host.pub").read_text().split()[1]
    old = (hosts.folder / "gpu5/keys/host.pub").read_text().split()[1]
    known.write_text(known.read_text().replace(old, other))
    _, said = timed("both again, gpu5 with another key", [*command, "gpu2,gpu3,gpu5"], desk)
    found = {host["name"]: host for host in json.loads((desk / "fleet/report.json").read_text())["hosts"]}
    assert [found[name]["verdict"] for name in ("gpu2", "gpu3", "gpu5")] == ["passed", "passed", "failed"], said
    assert found["gpu5"]["problem"]["kind"] == "unreachable"
    assert "HOST IDENTIFICATION HAS CHANGED" in json.dumps(found["gpu5"]["problem"])


def programs(home: Path, **said: str) -> None:
    """Put stand-ins of health programs into a host's own folder of programs."""
    (home / "bin").mkdir(exist_ok=True)
    for name, text in said.items():
        path = home / "bin" / name
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        path.chmod(0o755)


def fall_silent(hosts: Hosts, name: str, while_running: str) -> None:
    """Stop everything on a host in the middle of a step, as a host without power looks from the desk."""
    for _ in range(3000):
        time.sleep(0.1)
        if any(while_running in words(process) for process in hosts.processes(name)):
            time.sleep(3)
            hosts.signal(name, signal.SIGSTOP)
            return


def words(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


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
