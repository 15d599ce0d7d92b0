"""How a program ended, in words."""

from __future__ import annotations

import signal

import pytest

from gpuenv.system.ending import how_ended, is_system_status


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "ended with status 0"),
        (3, "ended with status 3"),
        (-int(signal.SIGTERM), "was ended by SIGTERM"),
        (-99, "was ended by signal 99"),
        (0xC0000135, "ended with status 0xC0000135: a library that it needs was not found"),
        (3221225477, "ended with status 0xC0000005: it crashed inside a compiled library (access violation)"),
        (2147483904, "ended with status 0x80000100: it called a function that Wine does not have"),
        (0xC0001234, "ended with status 0xC0001234"),
    ],
)
def test_in_words(status: int, words: str) -> None:
    assert how_ended(status) == words


def test_a_programs_own_status_is_not_the_systems() -> None:
    assert not is_system_status(255)
    assert is_system_status(0xC0000135)
