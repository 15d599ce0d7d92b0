"""Windows job objects: a child and everything that it starts, ended together, at the latest when we end.

A child that is started suspended cannot start anything before the job holds it. For Windows alone, and loaded there
alone: ctypes takes 4 ms.
"""

from __future__ import annotations

import ctypes
from ctypes import wintypes
from functools import cache

SUSPENDED = 0x00000004
"""CREATE_SUSPENDED of processthreadsapi.h: :func:`hold` lets the child run."""

_PROCESS_TERMINATE, _PROCESS_SET_QUOTA, _PROCESS_SUSPEND_RESUME = 0x0001, 0x0100, 0x0800
_EXTENDED_LIMITS, _KILL_ON_JOB_CLOSE = 9, 0x2000


class _Basic(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION of winnt.h."""

    _fields_ = (
        ("process_time", ctypes.c_int64),
        ("job_time", ctypes.c_int64),
        ("flags", wintypes.DWORD),
        ("least_memory", ctypes.c_size_t),
        ("most_memory", ctypes.c_size_t),
        ("processes", wintypes.DWORD),
        ("affinity", ctypes.c_size_t),
        ("priority", wintypes.DWORD),
        ("scheduling", wintypes.DWORD),
    )


class _Extended(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION of winnt.h."""

    _fields_ = (("basic", _Basic), ("counted", ctypes.c_uint64 * 6), ("memory", ctypes.c_size_t * 4))


class JobObject:
    """The job object around one child."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def end(self) -> None:
        """End every process of the job."""
        if self._handle:
            _kernel().TerminateJobObject(self._handle, 1)

    def close(self) -> None:
        """Let the job go; what still runs in it ends."""
        if self._handle:
            _kernel().CloseHandle(self._handle)
        self._handle = 0


def hold(pid: int) -> JobObject | None:
    """Put a child that was started suspended into a job of its own, and let it run; ``None`` without such a job."""
    kernel, limits = _kernel(), _Extended()
    limits.basic.flags = _KILL_ON_JOB_CLOSE
    process = kernel.OpenProcess(_PROCESS_TERMINATE | _PROCESS_SET_QUOTA | _PROCESS_SUSPEND_RESUME, 0, pid)
    job = JobObject(kernel.CreateJobObjectW(None, None) or 0)
    told = kernel.SetInformationJobObject(job._handle, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits))
    held = told and kernel.AssignProcessToJobObject(job._handle, process)
    ctypes.CDLL("ntdll").NtResumeProcess(wintypes.HANDLE(process))
    kernel.CloseHandle(process)
    if held:
        return job
    job.close()
    return None


@cache
def _kernel() -> ctypes.CDLL:
    kernel = ctypes.CDLL("kernel32")
    handle = wintypes.HANDLE
    kernel.OpenProcess.restype = kernel.CreateJobObjectW.restype = handle
    kernel.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
    kernel.CreateJobObjectW.argtypes = (ctypes.c_void_p, wintypes.LPCWSTR)
    kernel.SetInformationJobObject.argtypes = (handle, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD)
    kernel.AssignProcessToJobObject.argtypes = (handle, handle)
    kernel.TerminateJobObject.argtypes = (handle, wintypes.UINT)
    kernel.CloseHandle.argtypes = (handle,)
    return kernel
