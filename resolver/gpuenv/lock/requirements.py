"""A lock as a hashed requirements file, for tools that read nothing newer."""

from __future__ import annotations

from urllib.parse import quote

from gpuenv.lock.model import Lock, LockedPackage
from gpuenv.lock.text import one_line

_OF_A_URL = "/%:@!$&'()*+,;=~-._?#[]"
"""Characters that an address keeps; a blank or a line's end would begin another word of the file."""


def to_requirements(lock: Lock) -> str:
    """Write one line per package: its exact file and its sha256.

    Files, not versions: a version would be looked for on whatever index the reader uses, and torch's is not there.
    Install with ``--no-deps --require-hashes``, as the second line says.
    """
    lines = [
        f"# {one_line(lock.command)} --format requirements",
        "# pip install --no-deps --require-hashes -r this-file",
        f"# Python {one_line(lock.inputs.target.python)}, {lock.inputs.target.os} {lock.inputs.target.arch}",
    ]
    lines += [f"{_place(package)} --hash=sha256:{package.sha256}" for package in lock.packages]
    return "\n".join(lines) + "\n"


def _place(package: LockedPackage) -> str:
    if package.url is not None:
        return f"{package.name} @ {quote(package.url, safe=_OF_A_URL)}"
    path = one_line(str(package.path))
    if path.startswith("/"):
        return f"{package.name} @ file://{quote(path)}"
    # A relative path is no URL; both uv and pip read it from where they are started.
    return path if "/" in path else f"./{path}"
