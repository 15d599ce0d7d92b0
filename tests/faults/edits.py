"""Edited locks: every class of field of a lock, changed by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from faults.case import CREATE, Case
from faults.world import World
from support.lock_edits import EDITS, Edit, block, edited


def sub(pattern: str, new: str) -> Edit:
    """Change the first place that fits."""

    def edit(text: str, index: str) -> str:
        changed = re.sub(pattern, new, text, count=1)
        assert changed != text, pattern
        return changed

    return edit


MANY = "".join(f'\n[[packages]]\nname = "p{n}"\nversion = "1"\n' for n in range(10_000))

#: Beside the edits that `lock` names by row: what else stands in a lock. The exit code is that of `create`.
MORE: dict[str, tuple[Edit, int | None]] = {
    "another hash of torch": (edited("torch", r'sha256 = "\w+"', f'sha256 = "{"3" * 64}"'), 5),
    "another hash of filelock": (edited("filelock", r'sha256 = "\w+"', f'sha256 = "{"3" * 64}"'), 5),
    "a short hash": (edited("torch", r'sha256 = "\w+"', 'sha256 = "abc"'), None),
    "no hash": (edited("torch", r", hashes = \{[^}]*\}", ""), None),
    "another size": (edited("torch", r"size = \d+", "size = 5"), None),
    "a negative size": (edited("torch", r"size = \d+", "size = -5"), None),
    "a marker on torch": (edited("torch", "dependencies", "marker = \"os_name == 'x'\"\\ndependencies"), None),
    "another requires-python": (sub(r'requires-python = "==3\.\d+\.\*"', 'requires-python = "==2.7.*"'), None),
    "other environments": (sub("sys_platform == 'linux'", "sys_platform == 'win32'"), None),
    "another lock version": (sub('lock-version = "1.0"', 'lock-version = "2.0"'), None),
    "another format": (sub("format = 1", "format = 99"), None),
    "another profile": (sub('profile = "team"', 'profile = "other"'), None),
    "another profile digest": (sub('profile-digest = "', 'profile-digest = "ffff'), None),
    "other hosts of the family": (sub(r'family-hosts = \["[^"]*"\]', 'family-hosts = ["localhost:1"]'), 5),
    "other hosts of packages": (sub(r'package-hosts = \["[^"]*"\]', 'package-hosts = ["localhost:1"]'), 5),
    "another list of sources": (sub(r'(?m)^sources = \["[^"]*"\]', 'sources = ["http://localhost:1/whl"]'), None),
    "another system": (sub('os = "linux"', 'os = "windows"'), None),
    "another architecture": (sub('arch = "x86_64"', 'arch = "aarch64"'), None),
    "another Python": (sub(r'(?m)^python = "3\.\d+"', 'python = "3.8"'), None),
    "a channel": (sub('channel = "nightly"', 'channel = "stable"'), None),
    "the family without torchvision": (sub(r'  "torchvision==[^\n]*\n', ""), 5),
    "a package twice": (lambda text, index: text + "\n" + block(text, "filelock"), None),
    "a path that leaves the project": (edited("filelock", r'url = "[^"]*/', 'path = "../../../../../../etc/'), None),
    "a file of another scheme": (edited("filelock", "http://", "ftp://"), None),
    "control characters in a name": (edited("filelock", 'name = "filelock"', r'name = "file\\u001b[31mlock"'), None),
    "ten thousand packages": (lambda text, index: text + MANY, None),
}  # fmt: skip

#: The lock still says what is to be installed, and exit 0 with that is right.
HARMLESS = {"another size", "another list of sources", "another profile digest"}


def cases() -> Iterator[Case]:
    for name, (edit, _) in EDITS.items():
        yield Case(
            group="edits", fault=name, stage="create", lock="one", arrange=changed(edit), repair=back, code=5,
            refuse=True, ci=name in ("torch from another host", "no torch"),
        )  # fmt: skip
    for name, (edit, code) in MORE.items():
        yield Case(
            group="edits", fault=name, stage="create", start="cold", lock="one", arrange=changed(edit), repair=back,
            code=code, refuse=name not in HARMLESS, relocks=True, words=CREATE,
        )  # fmt: skip


def changed(edit: Edit) -> Callable[[World], None]:
    def arrange(world: World) -> None:
        text = edit(world.texts["one"], world.server.default_index)
        assert text != world.texts["one"]
        world.lock.write_text(text, encoding="utf-8")

    return arrange


def back(world: World) -> None:
    """As after `git checkout`."""
    world.put_lock("one")
