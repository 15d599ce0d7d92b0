"""What ssh is asked for on the way to a host: an unknown key is refused, and the person's own settings hold."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from support.cli import Person

pytest.importorskip("ansible_runner", reason="the extra gpuenv[fleet] is not installed")

REFUSED = "Host key verification failed."
CONFIG = "[ssh_connection]\nssh_args = -o UserKnownHostsFile=team_hosts\n"


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """A person whose ssh writes down its words and refuses the host."""
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>"{tmp_path}/asked"\necho "{REFUSED}" >&2\nexit 255\n')
    program.chmod(0o755)
    person = Person.at(tmp_path, PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    person.write("ansible.cfg", CONFIG)
    return person


def asked(person: Person, **more: str) -> str:
    """The words of ssh when a host's facts are asked for."""
    path = person.home.parent / "asked"
    path.unlink(missing_ok=True)
    run = person.run("fleet", "detect", "-i", "gpu1,", ANSIBLE_LOCAL_TEMP=str(person.home / "tmp"), **more)
    assert run.code == 1, run.out + run.err
    assert REFUSED in run.err
    report = json.loads((person.project / "fleet/report.json").read_text("utf-8"))
    assert report["hosts"][0]["problem"]["kind"] == "unreachable"
    return path.read_text("utf-8")


def test_a_host_s_key_is_checked_as_ssh_does(person: Person) -> None:
    said = asked(person)
    assert "StrictHostKeyChecking" not in said
    assert "UserKnownHostsFile=team_hosts" in said, "the project's ansible.cfg"
    assert "ServerAliveInterval" in said, "a host that falls silent"


def test_who_wants_no_check_says_so(person: Person) -> None:
    person.write("ansible.cfg", "[defaults]\nhost_key_checking = False\n")
    said = asked(person, ANSIBLE_SSH_EXTRA_ARGS="-o ServerAliveInterval=99")
    assert "StrictHostKeyChecking=no" in said
    assert "ServerAliveInterval=99" in said
    assert "ServerAliveInterval=15" not in said
    assert "-C" not in said.split(), "wheels are compressed already"
    assert "ControlMaster=auto" in said
