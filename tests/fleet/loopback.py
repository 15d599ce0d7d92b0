"""Eight hosts on this machine's loopback: a real sshd each, in a mount namespace with a root view of its own.

Needs root, `sshd`, `unshare`, and for the host with another C library a root folder made by `debootstrap`. Nothing of
the machine is changed: mounts live in the namespaces and end with them.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from support.detection import INIT
from support.fake_nvml import H200, FakeGpu, FakeMachine

V100 = FakeGpu(
    name="Tesla V100-SXM2-16GB",
    capability=(7, 0),
    memory_bytes=16945512448,
    uuid="GPU-cccccccc-0000-4000-8000-000000000002",
    bus="00000000:03:00.0",
)
HOPPER = FakeMachine(gpus=(H200,), driver="580.65.06", cuda=13000)
BLACKWELL = FakeMachine(driver="570.124.06")
MIXED = FakeMachine(gpus=(V100, FakeGpu()), driver="570.124.06")
BROKEN = FakeMachine(driver="570.124.06", faults={INIT: 18, "nvmlInit_v2": 18})

FIRST_PORT = 22801
MACHINES: Mapping[str, FakeMachine | None] = {
    "gpu1": HOPPER, "gpu2": HOPPER, "gpu3": BLACKWELL, "gpu4": BLACKWELL, "gpu5": MIXED, "gpu6": HOPPER,
    "gpu7": None, "gpu8": BROKEN,
}  # fmt: skip
"""``None``: the host is down. gpu6 has another C library, and no Python."""
OTHER_LIBC, DOWN, BROKEN_DRIVER = "gpu6", "gpu7", "gpu8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """The hosts, while they are up. ``config`` is an ssh_config with all eight."""

    folder: Path
    config: Path
    daemons: Mapping[str, subprocess.Popen[bytes]]

    def home(self, name: str) -> Path:
        """A host's ``/root``, as this machine sees it."""
        return self.folder / name / "root"

    def processes(self, name: str) -> list[int]:
        """What runs on a host: its sshd, and all that this started and starts."""
        parents: dict[int, list[int]] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                number, _, rest = path.read_text().rpartition(")")
                parents.setdefault(int(rest.split()[1]), []).append(int(number.split()[0]))
        found = [self.daemons[name].pid]
        for each in found:
            found += parents.get(each, [])
        return found

    def signal(self, name: str, number: int) -> None:
        """Send all of a host's processes a signal; SIGSTOP is a host that has fallen silent."""
        for each in self.processes(name):
            with suppress(OSError):
                os.kill(each, number)


@contextmanager
def eight_hosts(folder: Path, other_root: Path) -> Iterator[Hosts]:
    """Start them below ``folder``, which must not lie in ``/tmp`` or ``/root``; end them at the end."""
    folder.mkdir(parents=True)
    key = folder / "key"
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    lines, running, config = list[str](), dict[str, subprocess.Popen[bytes]](), folder / "ssh_config"
    hosts = Hosts(folder=folder, config=config, daemons=running)
    try:
        for port, (name, machine) in enumerate(MACHINES.items(), start=FIRST_PORT):
            lines += [f"Host {name}", "  HostName 127.0.0.1", f"  Port {port}", "  User root", f"  IdentityFile {key}"]
            lines += [f"  UserKnownHostsFile {folder / 'known_hosts'}", "  StrictHostKeyChecking accept-new"]
            lines += ["  IdentitiesOnly yes", "  ConnectTimeout 10"]
            if machine is not None:
                running[name] = _start(folder / name, machine, port, key, other_root if name == OTHER_LIBC else None)
        config.write_text("\n".join(lines) + "\n")
        time.sleep(1)
        yield hosts
    finally:
        for name in running:  # sessions that ssh keeps for the next command, too
            hosts.signal(name, signal.SIGTERM)
        for each in running.values():
            each.wait(timeout=30)


def _start(place: Path, machine: FakeMachine, port: int, key: Path, root: Path | None) -> subprocess.Popen[bytes]:
    home = place / "root"
    for each in (home / ".ssh", place / "tmp", place / "keys"):
        each.mkdir(parents=True)
    (place / "tmp").chmod(0o1777)
    (home / ".ssh/authorized_keys").write_text(key.with_suffix(".pub").read_text())
    for each in (home, home / ".ssh", home / ".ssh/authorized_keys"):
        each.chmod(0o700)
    world = machine.environ(home / "nvml")
    words = "".join(
        f"export {name}={shlex.quote(value.replace(str(home), '/root'))}\n"
        for name, value in world.items()
        if name != "PATH"
    )
    shell = home / ".host-shell"
    shell.write_text(f'#!/bin/sh\n{words}export PATH="$HOME/bin:$PATH"\nexec /bin/sh "$@"\n')
    shell.chmod(0o755)
    base = Path("/") if root is None else root
    passwd = (base / "etc/passwd").read_text().splitlines()
    *first, own, _ = passwd[0].split(":")
    (place / "passwd").write_text("\n".join([":".join([*first, own, f"{own}/.host-shell"]), *passwd[1:]]) + "\n")
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / "keys/host"))
    config = place / "keys/sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey /run/host-keys/host\nPidFile none\nUsePAM no\n"
        "PermitRootLogin yes\nStrictModes no\nPasswordAuthentication no\nMaxStartups 100\n"
        "Subsystem sftp internal-sftp\n"
    )
    at = "" if root is None else str(root)
    script = [
        f"mount -t tmpfs tmpfs {at}/run", f"mkdir {at}/run/sshd {at}/run/host-keys",
        f"mount --bind {place}/root {at}/root", f"mount --bind {place}/passwd {at}/etc/passwd",
        f"mount --bind {place}/keys {at}/run/host-keys",
        *([f"mount -t proc proc {at}/proc", f"mount --rbind /dev {at}/dev"] if root else []),
        f"mount --bind {place}/tmp {at}/tmp",
        f"exec {f'chroot {at} ' if root else ''}/usr/sbin/sshd -D -e -f /run/host-keys/sshd_config",
    ]  # fmt: skip
    log = (place / "sshd.log").open("wb")
    return subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(script)], stdout=log, stderr=log
    )


def _run(*words: str) -> None:
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"})
