"""Where several hosts meet: by a list, by a number and a place, and what is refused."""

from __future__ import annotations

import pytest

from gpuenv.errors import UsageError
from gpuenv.steps.nodes import endpoint, expand, meeting


def test_the_first_of_a_list_serves() -> None:
    environ = {"SLURMD_NODENAME": "gpu2"}
    found = meeting(environ, nodes="gpu1,gpu2,gpu1", rendezvous=None, wait=5.0)
    assert (found.nodes, found.names, found.endpoint) == (2, ("gpu1", "gpu2"), "gpu1:29400")
    assert (found.node, found.serves, found.run) == ("gpu2", False, "gpuenv")
    assert meeting({"SLURMD_NODENAME": "gpu1"}, nodes="gpu1,gpu2", rendezvous=None, wait=5.0).serves is True


def test_a_number_needs_a_place() -> None:
    with pytest.raises(UsageError, match="it is not known where the nodes meet"):
        meeting({}, nodes="2", rendezvous=None, wait=5.0)
    found = meeting({"SLURM_JOB_ID": "77", "SLURM_RESTART_COUNT": "2"}, nodes="2", rendezvous="gpu1:40", wait=5.0)
    assert (found.endpoint, found.serves, found.names, found.run) == ("gpu1:40", None, (), "slurm-77.2")


@pytest.mark.parametrize("nodes", ["1", "0", "gpu1", "gpu1,gpu1", ""])
def test_one_host_is_not_several(nodes: str) -> None:
    with pytest.raises(UsageError, match="two nodes or more"):
        meeting({}, nodes=nodes, rendezvous="gpu1", wait=5.0)


@pytest.mark.parametrize("text", ["gpu1 gpu2,b", "-o,b", "a;b,c", "gpu1/x"])
def test_what_is_no_list_of_hosts_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a list of hosts"):
        expand(text, {})


def test_brackets_are_read_by_slurm_alone() -> None:
    with pytest.raises(UsageError, match="needs scontrol to be read, and there is none here"):
        expand("gpu[1-2]", {"PATH": "/nowhere"})


@pytest.mark.parametrize("text", ["gpu1:", ":29400", "gpu1:x", "gpu1:0", "gpu1:70000"])
def test_a_place_is_a_host_and_a_port(text: str) -> None:
    with pytest.raises(UsageError, match="HOST or HOST:PORT"):
        endpoint(text)
