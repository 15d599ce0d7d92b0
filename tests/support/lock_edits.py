"""Edits of a lock, each with the row of it that has to be named when it is refused."""

from __future__ import annotations

import re
from collections.abc import Callable

from support.nights import TORCH
from support.wheels import build_wheel

DAY = "20260101"
Edit = Callable[[str, str], str]
"""From the text of a lock, and the address of the package index, to the text edited."""

VERSION = TORCH.format(DAY) + "+cpu"
EXTRA = """
[[packages]]
name = "startup"
version = "1.0"
dependencies = []
wheels = [{ name = "startup-1.0-py3-none-any.whl", url = "URL", size = 1, hashes = { sha256 = "HASH" } }]

[packages.tool.gpuenv]
source = "package-index"
hash-origin = "index"
"""


def block(text: str, name: str) -> str:
    """What a lock says of a package."""
    (found,) = re.findall(rf'\[\[packages\]\]\nname = "{name}"\n.*?(?=\n\[\[packages\]\]|\Z)', text, re.DOTALL)
    return str(found)


def edited(name: str, old: str, new: str) -> Edit:
    """Change ``old`` to ``new`` in the block of a package, each of them a pattern."""

    def edit(text: str, index: str) -> str:
        before = block(text, name)
        after = re.sub(old, new, before)
        assert after != before
        return text.replace(before, after)

    return edit


def without(name: str) -> Edit:
    return lambda text, index: text.replace(block(text, name), "")


def another_host(text: str, index: str) -> str:
    """Another host, and the hash of the wheel that lies there."""
    moved = edited("torch", "127.0.0.1", "localhost")(text, index)
    return edited("torch", r'sha256 = "\w+"', f'sha256 = "{"1" * 64}"')(moved, index)


def one_more(text: str, index: str) -> str:
    wheel = build_wheel("startup", "1.0", files={"startup.pth": "import os\n"})
    return text + EXTRA.replace("URL", f"{index}/{wheel.filename}").replace("HASH", wheel.sha256)


EDITS: dict[str, tuple[Edit, str]] = {
    "torch from another host": (another_host, r"packages\[2\]\.wheels\[0\]\.url: torch would come from localhost"),
    "one more package": (one_more, r"packages\[5\]\.name: neither profile, project nor a package"),
    "no torch": (without("torch"), rf"packages: torch {re.escape(VERSION)} was decided, and no package has that name"),
    "no torchvision": (without("torchvision"), r"packages: torchvision .* was decided, and no package"),
    "no filelock": (without("filelock"), r"needs filelock, which is not locked"),
    "no numpy": (without("numpy"), r"packages\[0\]\.dependencies: filelock 3.19.0 needs numpy, which is not locked"),
    "another decision": (
        lambda text, index: text.replace(f'torch = "{VERSION}"', 'torch = "2.9.0+cpu"'),
        r"decision\.torch: is 2\.9\.0\+cpu",
    ),
    "another variant": (
        lambda text, index: text.replace('variant = "cpu"', 'variant = "cu128"'),
        r"decision\.variant: is cu128, and the accelerator is cpu",
    ),
    "no family mark": (
        edited("torch", "family = true\n", ""),
        r"packages\[2\]\.tool\.gpuenv\.family: torch may come from torch's source only",
    ),
    "a family mark too many": (edited("filelock", "hash-origin", "family = true\nhash-origin"), r"filelock is marked"),
    "another version": (
        edited("filelock", '"3.19.0"', '"3.18.0"'),
        r"packages\[0\].*not consistent with package version",
    ),
    "another file name": (
        edited("filelock", "name = .filelock-3", 'name = "filelook-3'),
        r"packages\[0\].*not consistent with package name",
    ),
    "another file": (edited("filelock", r"/filelock-3\.19", "/filelock-3.18"), r"leads to filelock-3\.18"),
    "a path": (edited("torch", 'url = "http://[^/"]*', 'path = "'), r"packages\[2\].*path: torch would come from file"),
    "a dependency from elsewhere": (edited("filelock", "127.0.0.1", "localhost"), r"packages\[0\].*from localhost"),
    "another source": (edited("torch", "source = .mirror", 'source = "pytorch'), r"source: is pytorch, and torch's"),
    "no word of what it needs": (
        edited("filelock", "dependencies = .*\n", ""),
        r"packages\[0\]\.dependencies: is miss",
    ),
}
