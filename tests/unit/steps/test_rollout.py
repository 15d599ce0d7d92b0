"""A roll-out: who is tried first, and why a host failed, in its own words and without a secret."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gpuenv.fleet.engine import HostAnswer
from gpuenv.steps.rollout import in_waves, problem_of, waves

HOSTS = [f"gpu{number}" for number in range(7)]
CLASSES = {name: "a" if number < 4 else "b" for number, name in enumerate(HOSTS)}


@pytest.mark.parametrize(
    ("canary", "batch", "expected"),
    [
        (0, 0, [[0, 1, 2, 3, 4, 5, 6]]),
        (1, 0, [[0, 4], [1, 2, 3, 5, 6]]),
        (2, 2, [[0, 1, 4, 5], [2, 3], [6]]),
        (9, 1, [[0, 1, 2, 3, 4, 5, 6]]),
        (0, 3, [[0, 1, 2], [3, 4, 5], [6]]),
    ],
)
def test_each_host_has_its_turn_once(canary: int, batch: int, expected: list[list[int]]) -> None:
    found = [[int(name[3:]) for name in wave] for wave in waves(HOSTS, CLASSES, canary=canary, batch=batch)]
    assert found == expected


@pytest.mark.parametrize(
    ("canary", "batch", "max_fail", "bad", "tried", "codes"),
    [
        (0, 0, 100, {0, 1, 2, 3, 4, 5, 6}, [[0, 1, 2, 3, 4, 5, 6]], []),
        (1, 0, 100, {0}, [[0, 4], [5, 6]], ["canary-failed"]),
        (1, 0, 100, {1}, [[0, 4], [1, 2, 3, 5, 6]], []),
        (1, 0, 100, {0, 4}, [[0, 4]], ["canary-failed", "canary-failed"]),
        (1, 0, 40, {0}, [[0, 4]], ["canary-failed", "too-many-failed"]),
        (0, 2, 50, {0, 2, 3}, [[0, 1], [2, 3]], ["too-many-failed"]),
        (0, 2, 0, {0}, [[0, 1]], ["too-many-failed"]),
        (0, 2, 100, {0, 1, 2}, [[0, 1], [2, 3], [4, 5], [6]], []),
    ],
)
def test_what_fails_stops_what_it_has_to(
    canary: int, batch: int, max_fail: int, bad: set[int], tried: list[list[int]], codes: list[str]
) -> None:
    seen: list[list[int]] = []

    def build(now: Sequence[str]) -> Sequence[str]:
        seen.append([int(name[3:]) for name in now])
        return [name for name in now if int(name[3:]) in bad]

    problems = in_waves(HOSTS, CLASSES, canary=canary, batch=batch, max_fail=max_fail, build=build)
    assert (seen, [each.code for each in problems]) == (tried, codes)


def failed(kind: str = "failed", **said: object) -> HostAnswer:
    return HostAnswer(host="gpu1", kind=kind, role="create", task="Build", said=said)  # type: ignore[arg-type]  # a word of it


def clean(text: str) -> str:
    return text.replace("hush", "****")


def test_gpuenv_s_own_error_is_the_problem() -> None:
    error = {"code": "driver-broken", "message": "no driver (hush)", "causes": ["NVML 9"], "hints": ["Load it: `x`"]}
    found = problem_of(failed(envelope={"errors": [error]}, msg="longer"), step="detect", clean=clean)
    assert (found.step, found.kind, found.message) == ("detect", "driver-broken", "no driver (****)")
    assert (found.causes, found.hints) == (("NVML 9",), ("Load it: `x`",))


def test_the_line_of_our_script_comes_before_ansible_s_words() -> None:
    said = {"msg": "non-zero return code", "stdout": "x\r\ngpuenv: this host has no Python\r\n", "stderr": "closed"}
    assert problem_of(failed(**said), step="bootstrap", clean=clean).message == "this host has no Python"


def test_a_host_that_does_not_answer() -> None:
    said = {"msg": "Task failed: Failed to connect to the host via ssh: hush: Connection refused", "unreachable": True}
    found = problem_of(failed("unreachable", **said), step="bootstrap", clean=clean)
    assert (found.kind, found.message) == (
        "unreachable", "Failed to connect to the host via ssh: ****: Connection refused",
    )  # fmt: skip


CHANGED = f"""Task failed: Failed to connect to the host via ssh: {"@" * 59}\r
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r
{"@" * 59}\r
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!"""


def test_a_host_with_another_key() -> None:
    found = problem_of(failed("unreachable", msg=CHANGED), step="bootstrap", clean=clean)
    message = "Failed to connect to the host via ssh: WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!"
    assert (found.message, found.causes) == (message, ("IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!",))


def test_a_host_that_fell_silent() -> None:
    said = {"msg": 'Data could not be sent to remote host "gpu2". Make sure this host can be reached over ssh: '}
    found = problem_of(failed("unreachable", **said), step="verify", clean=clean)
    expected = 'Data could not be sent to remote host "gpu2". Make sure this host can be reached over ssh'
    assert (found.message, found.causes) == (expected, ())


def test_of_a_loop_the_item_that_failed_speaks() -> None:
    said = {"msg": "One or more items failed", "results": [{"changed": True}, {"failed": True, "msg": "disk full"}]}
    assert problem_of(failed(**said), step="create", clean=clean).message == "disk full"


def test_a_task_that_says_nothing_is_named() -> None:
    assert problem_of(failed(), step="create", clean=clean).message == "the task 'Build' failed"
