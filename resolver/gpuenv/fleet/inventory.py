"""Reads inventories: whatever Ansible reads, by Ansible itself, and the hosts of an ssh_config.

An inventory may hold passwords. They stay in this process: nothing of it is written but the names of the hosts, and
what the hosts' errors say is cleaned of every secret that is known.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.documents import DocumentError, parse_json
from gpuenv.errors import UsageError
from gpuenv.fleet.desk import require_distinct
from gpuenv.system.files import read_text, write_atomic
from gpuenv.system.process import Ended, Limits, run

_SECRET = re.compile(r"pass|secret|token|private_key|credential", re.IGNORECASE)
_SECONDS = 120.0
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The hosts by name, and what none of our files and messages may hold."""

    hosts: tuple[str, ...]
    sources: tuple[str, ...]
    """What Ansible is given by ``-i``."""
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def clean(self, text: str) -> str:
        """A text without the inventory's secrets."""
        for secret in self.secrets:
            text = text.replace(secret, "****")
        return text


def is_ssh_config(path: Path) -> bool:
    """Whether a file is an ssh_config: its first line that says something is one of its keywords."""
    if not path.is_file() or path.stat().st_size > _LARGEST:
        return False
    if os.name == "posix" and os.access(path, os.X_OK):  # Windows has no such mode, and calls every file executable
        return False
    lines = (line.strip() for line in read_text(path, what="the inventory").splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return (
        re.match(r"(Host|Match|Include|User|IdentityFile|ServerAlive\w+|StrictHostKey\w+)[ \t=]", first, re.I)
        is not None
    )


def hosts_of_ssh_config(text: str) -> tuple[str, ...]:
    """The names behind ``Host`` that are no patterns, in the order of the file.

    >>> hosts_of_ssh_config("Host gpu1 gpu2 !x\\n  User me\\nHost *\\n  Port 22\\n")
    ('gpu1', 'gpu2')
    """
    found: dict[str, None] = {}
    for line in text.splitlines():
        words = re.split(r"[ \t=]+", line.strip())
        if words[0].lower() == "host":
            found |= {word.strip('"'): None for word in words[1:] if word and not set(word) & set("*?!")}
    return tuple(found)


def ansible_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The person's environment with the Ansible beside this Python first, quiet and without colours.

    Their own ``ansible.cfg``, keys, agents and ``ssh_config`` hold; host keys are checked as they say.
    """
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join((beside, environ.get("PATH", os.defpath)))
    fixed = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_RETRY_FILES_ENABLED": "0", "ANSIBLE_DEPRECATION_WARNINGS": "0"}
    return {**environ, "PATH": path, **fixed}


def read_inventory(
    sources: Sequence[str], *, limit: str | None, scratch: Path, project: Path, environ: Mapping[str, str]
) -> Inventory:
    """Ask Ansible for the hosts. ``scratch`` takes what an ssh_config becomes; it holds names and a path only.

    Raises :class:`UsageError` where there is no inventory, where Ansible cannot read it, or where it holds no host.
    """
    if not sources:
        raise UsageError(
            "no inventory was named", hints=("Name one: `gpuenv fleet detect -i INVENTORY`, or hosts: -i gpu1,gpu2",)
        )
    given = [_source(text, number, scratch, project) for number, text in enumerate(sources)]
    command = ["ansible-inventory", "--list", *(word for each in given for word in ("-i", each))]
    command += ["--limit", limit] if limit else []
    done = run(command, environ=ansible_environ(environ), limits=Limits(deadline=_SECONDS), cwd=project)
    if not isinstance(done, Ended) or done.returncode != 0:
        raise _unreadable(done, sources)
    try:
        value = parse_json(done.stdout)
    except DocumentError as error:
        raise UsageError(f"Ansible's inventory is not JSON: {error}") from error
    assert isinstance(value, dict)
    groups = [group for name, group in value.items() if name != "_meta" and isinstance(group, dict)]
    names = sorted({str(host) for group in groups for host in group.get("hosts") or ()})
    if not names:
        raise UsageError(f"there is no host in {', '.join(sources)}" + (f" that {limit} names" if limit else ""))
    require_distinct(names)
    variables = value.get("_meta", {}).get("hostvars", {})
    return Inventory(hosts=tuple(names), sources=tuple(given), secrets=_secrets(variables))


def _source(text: str, number: int, scratch: Path, project: Path) -> str:
    """An inventory as Ansible takes it: a path, or names with commas; an ssh_config becomes a list of its hosts."""
    if "," in text:
        return text
    path = project / text
    if not path.exists():
        raise UsageError(f"there is no inventory {text}", hints=(f"A single host is written with a comma: -i {text},",))
    if not is_ssh_config(path):
        return str(path)
    names = hosts_of_ssh_config(read_text(path, what="the ssh configuration"))
    own = path.resolve() != (Path.home() / ".ssh/config").resolve()
    variables = {"ansible_ssh_common_args": f"-F {path}"} if own else {}
    target = scratch / f"ssh-config-{number}.json"
    write_atomic(target, json.dumps({"all": {"hosts": dict.fromkeys(names, variables)}}), what="the list of hosts")
    return str(target)


def _unreadable(done: object, sources: Sequence[str]) -> UsageError:
    said = getattr(done, "stderr", "") or getattr(done, "reason", "")
    lines = [line for line in str(said).splitlines() if line.strip()]
    hints = () if lines else ("Install what it needs: `pip install 'gpuenv[fleet]'`",)
    return UsageError(f"Ansible cannot read {', '.join(sources)}", causes=lines[-3:], hints=hints)


def _secrets(value: object, *, told: bool = False) -> tuple[str, ...]:
    """Every text below a name that sounds like a secret."""
    if isinstance(value, dict):
        return tuple(
            dict.fromkeys(
                each
                for name, one in value.items()
                for each in _secrets(one, told=told or bool(_SECRET.search(str(name))))
            )
        )
    if isinstance(value, list):
        return tuple(each for one in value for each in _secrets(one, told=told))
    return (str(value),) if told and value not in (None, "", True, False) and not str(value).startswith("/") else ()
