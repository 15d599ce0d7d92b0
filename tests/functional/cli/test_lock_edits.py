"""A lock that was edited by hand is refused with its row before anything is fetched, and what stands is left alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from support.cli import Person
from support.index_server import IndexServer
from support.nights import TORCH, add_night, team, where
from support.wheels import build_wheel

LOCK = "lockfiles/pylock.team.toml"
DAY = "20260101"
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


def edited(name: str, old: str, new: str) -> Callable[[str, str], str]:
    """Change ``old`` to ``new`` in the block of a package, each of them a pattern."""

    def edit(text: str, index: str) -> str:
        before = block(text, name)
        after = re.sub(old, new, before)
        assert after != before
        return text.replace(before, after)

    return edit


def without(name: str) -> Callable[[str, str], str]:
    return lambda text, index: text.replace(block(text, name), "")


def another_host(text: str, index: str) -> str:
    """Another host, and the hash of the wheel that lies there."""
    moved = edited("torch", "127.0.0.1", "localhost")(text, index)
    return edited("torch", r'sha256 = "\w+"', f'sha256 = "{"1" * 64}"')(moved, index)


def one_more(text: str, index: str) -> str:
    wheel = build_wheel("startup", "1.0", files={"startup.pth": "import os\n"})
    return text + EXTRA.replace("URL", f"{index}/{wheel.filename}").replace("HASH", wheel.sha256)


EDITS: dict[str, tuple[Callable[[str, str], str], str]] = {
    "torch from another host": (another_host, r"packages\[2\]\.wheels\[0\]\.url: torch would come from localhost"),
    "one more package": (one_more, r"packages\[5\]\.name: neither the profile nor a package of the lock asks for star"),
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


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Person, IndexServer, str]]:
    """Somebody whose environment stands, the index, and the lock as it was written."""
    person = team(tmp_path_factory.mktemp("edits"))
    with IndexServer() as index:
        index.add_package(build_wheel("filelock", "3.19.0", requires=("numpy>=2",)))
        index.add_package(build_wheel("numpy", "2.3.0"))
        add_night(index, DAY)
        run = person.run("create", "--no-verify", *where(index))
        assert run.code == 0, run.err
        yield person, index, (person.project / LOCK).read_text(encoding="utf-8")


def environment(person: Person) -> dict[str, float]:
    paths = sorted((person.project / ".venv-gpu").rglob("*"))
    return {path.as_posix(): path.lstat().st_mtime for path in paths if "__pycache__" not in path.parts}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_refused_with_its_row(name: str, standing: tuple[Person, IndexServer, str]) -> None:
    person, index, text = standing
    edit, row = EDITS[name]
    changed = edit(text, index.default_index)
    assert changed != text
    path = person.write(LOCK, changed)
    before, asked = environment(person), len(index.log)
    runs = [("create", "--no-verify"), ("lock", "--check"), ("lock",)]
    if name in ("no torch", "one more package"):
        runs += [("verify",), ("doctor", ".venv-gpu")]
    for words in runs:
        here = ("--profile", "team") if words[0] in ("verify", "doctor") else where(index)
        run = person.run(*words, *here)
        assert run.code == 5, (words, run.err)
        assert re.search(row, run.err), run.err
        assert re.search(r"`gpuenv lock (--profile team )?--upgrade`", run.err)
    assert len(index.log) == asked
    assert environment(person) == before
    assert path.read_text(encoding="utf-8") == changed


def test_what_the_hint_says_makes_it_right(standing: tuple[Person, IndexServer, str]) -> None:
    person, index, text = standing
    for edit, _ in EDITS.values():
        person.write(LOCK, edit(text, index.default_index))
        run = person.run("lock", "--upgrade", *where(index))
        assert run.code == 0, run.err
        assert (person.project / LOCK).read_text(encoding="utf-8") == text


def test_a_lock_without_hosts_and_dependencies_is_used_and_that_is_said(
    standing: tuple[Person, IndexServer, str],
) -> None:
    person, index, text = standing
    person.write(LOCK, re.sub(r"(?m)^(dependencies|family-hosts|package-hosts) = .*\n", "", text))
    run = person.run("create", "--no-verify", "-v", *where(index))
    assert run.code == 0, run.err
    assert "records no hosts and no dependencies" in run.err
