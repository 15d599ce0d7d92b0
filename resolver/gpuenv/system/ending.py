"""How a program ended, in words: a signal, an exit status, or what Windows says with one."""

from __future__ import annotations

from contextlib import suppress

_SEVERE = 0x80000000
"""A status of Windows itself (NTSTATUS) has its first bit set; an exit status of a program seldom."""


def how_ended(returncode: int) -> str:
    """Say how, for a sentence that begins with the program.

    >>> how_ended(-9), how_ended(3)
    ('was ended by SIGKILL', 'ended with status 3')
    >>> how_ended(0xC0000135)
    'ended with status 0xC0000135: a library that it needs was not found'
    """
    if returncode < 0:
        import signal

        with suppress(ValueError):
            return f"was ended by {signal.Signals(-returncode).name}"
        return f"was ended by signal {-returncode}"
    meaning = meaning_of(returncode)
    number = f"0x{returncode:08X}" if is_system_status(returncode) else str(returncode)
    return f"ended with status {number}" + (f": {meaning}" if meaning else "")


def is_system_status(returncode: int) -> bool:
    """Whether Windows, not the program, chose the status: the program crashed or never ran."""
    return returncode >= _SEVERE


def meaning_of(returncode: int) -> str:
    """What Windows means by a status, by table (``statuses.toml``); empty for one that it does not have."""
    if not is_system_status(returncode):
        return ""
    from gpuenv.documents import shipped

    rows = shipped(__file__, "statuses")["status"]
    return next((row["meaning"] for row in rows if row["number"] == returncode), "")
