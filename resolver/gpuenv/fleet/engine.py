"""Runs a playbook of the collection by ansible-runner and hands on what each host answered, as it comes.

Ansible runs as a process of its own; what ansible-runner keeps of a run lies in a folder that is gone afterwards.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import Literal, Protocol

from gpuenv.dataclass import dataclass
from gpuenv.errors import UsageError
from gpuenv.fleet.inventory import Inventory, ansible_environ
from gpuenv.report import visible
from gpuenv.system.files import read_text, write_atomic

_GRACE_SECONDS = 10.0
"""How long Ansible may take to end its workers before it is killed."""

_ALIVE = "-o ServerAliveInterval=15 -o ServerAliveCountMax=4"
"""A host that falls silent on its way (no power, no route) is given up after a minute, and the others go on."""

_PLAIN = "-o ControlMaster=auto -o ControlPersist=60s"
"""Ansible's own words without ``-C``: wheels and bundles are compressed already. Of a wheel of torch of 190 MB it saves
2 % and takes 5 s of CPU at the desk, for each host."""

HOSTS = "gpuenv_hosts_now"
"""The group of the hosts that a run is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAnswer:
    """What came of a task on a host. ``said`` is what the module returned."""

    host: str
    kind: Literal["ok", "failed", "unreachable"]
    role: str
    task: str
    said: Mapping[str, object]


class _Runner(Protocol):
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One run of a playbook. ``variables`` are for all hosts, ``each`` for one by its name."""

    playbook: str
    hosts: Sequence[str]
    variables: Mapping[str, object] = field(default_factory=dict)
    each: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    forks: int = 32
    check: bool = False


def collection_folder() -> Path:
    """Where the collection lies: inside the package when installed, at the project's root in a checkout."""
    inside = Path(__file__).with_name("ansible")
    return inside if inside.is_dir() else Path(__file__).parents[3] / "fleet" / "ansible"


def play(
    what: Play,
    inventory: Inventory,
    *,
    scratch: Path,
    project: Path,
    environ: Mapping[str, str],
    hear: Callable[[HostAnswer], None],
) -> str:
    """Run a playbook to its end and return Ansible's word for how that was (``successful``, ``failed``, ``canceled``).

    Ansible works in ``project``, so that an ``ansible.cfg`` there holds. ``hear`` is called in another thread, one
    answer at a time. Ctrl-C ends Ansible and what it started before it is raised again here. Raises
    :class:`UsageError` where ansible-runner is not installed.
    """
    try:
        import ansible_runner  # type: ignore[import-untyped,unused-ignore]  # ships no types
    except ImportError:
        raise UsageError(
            "ansible-runner is not installed here", hints=("Install it with Ansible: `pip install 'gpuenv[fleet]'`",)
        ) from None
    collection = scratch / "collections" / "ansible_collections" / "gpuenv" / "fleet"
    if not collection.exists():
        collection.parent.mkdir(parents=True)
        collection.symlink_to(collection_folder())
    private = scratch / "runner"
    private.mkdir(exist_ok=True)
    targets = scratch / "targets.json"
    write_atomic(targets, json.dumps(_targets(what)), what="the list of hosts")
    folders = [str(scratch / "collections"), environ.get("ANSIBLE_COLLECTIONS_PATH", "")]
    variables = {"ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(filter(None, folders))}
    variables["ANSIBLE_PIPELINING"] = environ.get("ANSIBLE_PIPELINING", "1")
    variables["ANSIBLE_SSH_EXTRA_ARGS"] = environ.get("ANSIBLE_SSH_EXTRA_ARGS", _ALIVE)
    if not sets_ssh_args(project, environ):
        variables["ANSIBLE_SSH_ARGS"] = _PLAIN
    stopped, running = threading.Event(), set[int]()
    done: list[_Runner] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            runner = ansible_runner.interface.init_runner(
                private_data_dir=str(private),
                project_dir=str(project),
                playbook=str(collection / "playbooks" / f"{what.playbook}.yml"),
                inventory=[*inventory.sources, str(targets)],
                extravars={"gpuenv_hosts": HOSTS, "gpuenv_strategy": "free", **what.variables},
                envvars={**ansible_environ(environ), **variables},
                cmdline="--check --diff" if what.check else None,
                forks=what.forks,
                quiet=True,
                settings={"pexpect_timeout": 1, "suppress_ansible_output": True, "fact_cache_type": "memory"},
                event_handler=lambda event: _event(event, hear, running),
                cancel_callback=stopped.is_set,
            )
            if "ANSIBLE_HOST_KEY_CHECKING" not in environ:  # ansible-runner says False where nobody says anything
                del runner.config.env["ANSIBLE_HOST_KEY_CHECKING"]
            runner.run()
            done.append(runner)
        except BaseException as error:
            failures.append(error)

    worker = threading.Thread(target=work, name="ansible-runner")
    worker.start()
    try:
        worker.join()
    except BaseException:
        for process in running:  # which ends its workers, each in a session of its own; killed, it would leave them
            with suppress(OSError):
                os.kill(process, signal.SIGTERM)
        worker.join(_GRACE_SECONDS)
        stopped.set()
        worker.join()
        raise
    if failures:
        raise failures[0]
    return str(done[0].status)


def sets_ssh_args(project: Path, environ: Mapping[str, str]) -> bool:
    """Whether the person says what ssh is started with: by a variable, or in the ``ansible.cfg`` that Ansible takes."""
    if environ.get("ANSIBLE_SSH_ARGS") is not None:
        return True
    home = Path(environ.get("HOME", "/"))
    named = [Path(environ["ANSIBLE_CONFIG"])] if environ.get("ANSIBLE_CONFIG") else []
    places = [*named, project / "ansible.cfg", home / ".ansible.cfg", Path("/etc/ansible/ansible.cfg")]
    found = next((path for path in places if path.is_file()), None)
    text = "" if found is None else read_text(found, what="Ansible's configuration")
    return re.search(r"(?m)^\s*ssh_args\s*[=:]", text) is not None


def _targets(what: Play) -> dict[str, object]:
    hosts = {name: dict(what.each.get(name, {})) for name in what.hosts}
    return {"all": {"children": {HOSTS: {"hosts": hosts}}}}


_KINDS: dict[str, Literal["ok", "failed", "unreachable"]] = {
    "runner_on_ok": "ok", "runner_on_failed": "failed", "runner_on_unreachable": "unreachable",
}  # fmt: skip


def _event(event: Mapping[str, object], hear: Callable[[HostAnswer], None], running: set[int]) -> bool:
    """Hand on what a host answered; nothing of it is kept in ansible-runner's own files. ``running`` learns Ansible's
    process."""
    process = event.get("pid")
    if isinstance(process, int) and process > 1:
        running.add(process)
    kind, value = _KINDS.get(str(event.get("event"))), event.get("event_data")
    if kind is None or not isinstance(value, dict) or (kind == "failed" and value.get("ignore_errors")):
        return False
    said = value.get("res")
    answer = HostAnswer(
        host=str(value.get("host")),
        kind=kind,
        role=str(value.get("role") or "").rpartition(".")[2],
        task=visible(str(value.get("task") or "")),
        said=said if isinstance(said, dict) else {},
    )
    hear(answer)
    return False
