"""What gpuenv's folder on a host holds, and how gpuenv is called there."""

from __future__ import annotations

import json
import os
import subprocess

MINORS = range(11, 30)
"""Of Python 3: what gpuenv runs on, and what an environment can have."""


def environment(home):
    """The variables of a call: everything that gpuenv writes stays in its own folder on the host."""
    tool = os.path.join(home, "tool", "bin")
    path = os.pathsep.join((os.path.join(home, "python", "bin"), os.environ.get("PATH", os.defpath)))
    return dict(
        os.environ,
        PATH=path,
        GPUENV_UV=os.path.join(tool, "uv"),
        GPUENV_CACHE_DIR=os.path.join(home, "cache"),
        GPUENV_STATE_DIR=os.path.join(home, "state"),
        GPUENV_CONFIG_DIR=os.path.join(home, "config"),
        UV_CACHE_DIR=os.path.join(home, "cache", "uv"),
    )


def identity(home):
    """What tells gpuenv's folder there from those of other hosts; empty where it has none yet."""
    try:
        with open(os.path.join(home, "id"), encoding="ascii", errors="replace") as file:
            return file.read(64).strip()
    except OSError:
        return ""


def pythons(home):
    """Minor versions of Python that are found there, oldest first."""
    folders = environment(home)["PATH"].split(os.pathsep)
    return [
        f"3.{minor}"
        for minor in MINORS
        if any(os.access(os.path.join(folder, f"python3.{minor}"), os.X_OK) for folder in folders)
    ]


def call(home, words):
    """Run gpuenv in its folder there; returns the object it printed, and its exit code."""
    command = [os.path.join(home, "tool", "bin", "gpuenv"), *words, "--json", "--no-progress"]
    try:
        done = subprocess.run(
            command,
            cwd=home,
            env=environment(home),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        return _failure("not-installed", f"gpuenv is not installed in {home}: {error.strerror}"), 2
    try:
        return json.loads(done.stdout), done.returncode
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return _failure("no-answer", f"gpuenv ended with {done.returncode} and no answer: {last}"), done.returncode


def _failure(code, message):
    return {"status": "error", "data": {}, "errors": [{"code": code, "message": message, "causes": [], "hints": []}]}


def message(envelope):
    """The first error in one text, for a person who reads Ansible's output."""
    errors = envelope.get("errors") or [{"message": "gpuenv gave no reason", "causes": [], "hints": []}]
    first = errors[0]
    lines = [first["message"], *("cause: " + each for each in first.get("causes", ()))]
    return "\n".join([*lines, *("hint: " + each for each in first.get("hints", ()))])
