"""Inventories: an ssh_config is told from what Ansible reads, and no secret of one is repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.errors import UsageError
from gpuenv.fleet.desk import host_key, require_distinct
from gpuenv.fleet.inventory import Inventory, _secrets, hosts_of_ssh_config, is_ssh_config
from support.systems import POSIX


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("Host gpu1\n  HostName 10.0.0.1\n", True),
        ("# mine\n\nInclude more\n", True),
        ("ServerAliveInterval 60\nHost *\n", True),
        ("[gpus]\ngpu1 ansible_host=10.0.0.1\n", False),
        ("gpu1\ngpu2\n", False),
        ("all:\n  hosts:\n    gpu1:\n", False),
        ("hosts:\n", False),
        ("", False),
    ],
)
def test_an_ssh_config_is_told(tmp_path: Path, text: str, is_one: bool) -> None:
    path = tmp_path / "inventory"
    path.write_text(text)
    assert is_ssh_config(path) is is_one


@POSIX
def test_a_program_is_an_inventory_of_ansible_s(tmp_path: Path) -> None:
    path = tmp_path / "inventory"
    path.write_text("Host gpu1\n")
    path.chmod(0o755)
    assert not is_ssh_config(path)


def test_the_hosts_of_an_ssh_config() -> None:
    text = 'Host gpu1 "gpu2"\nHOST=gpu3\nMatch host gpu9\nHost *.org !gpu4 gpu?\n  HostName 10.0.0.1\nHost gpu1\n'
    assert hosts_of_ssh_config(text) == ("gpu1", "gpu2", "gpu3")


def test_secrets_are_found_by_their_names_and_not_repeated() -> None:
    variables = {
        "gpu1": {"ansible_password": "hush-1", "ansible_port": 22, "vault": {"api_token": ["hush-2", "hush-3"]}},
        "gpu2": {"ansible_become_pass": "hush-4", "ansible_ssh_private_key_file": "/home/me/.ssh/id"},
    }
    found = Inventory(hosts=("gpu1",), sources=(), secrets=_secrets(variables))
    assert set(found.secrets) == {"hush-1", "hush-2", "hush-3", "hush-4"}
    assert found.clean("sshpass: hush-4 at /home/me/.ssh/id") == "sshpass: **** at /home/me/.ssh/id"
    assert "hush" not in repr(found)


def test_two_hosts_do_not_share_a_folder() -> None:
    assert host_key("../x") == "__x"
    require_distinct(("gpu1", "gpu2"))
    with pytest.raises(UsageError, match="one folder"):
        require_distinct(("gpu:1", "gpu 1"))
