"""Writes the table of symbols that torch exports, and adds a release to it."""

from __future__ import annotations

import base64
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpuenv.companions.elf import read_elf
from gpuenv.companions.library import is_torch_symbol
from gpuenv.index.wheelfile import WheelFile
from gpuenv.installed.fatbin import mapped
from gpuenv.knowledge.torch_exports import digest, is_stable
from gpuenv.system.files import scratch

COMMON = ("libc10.so", "libc10_cuda.so", "libtorch.so", "libtorch_cpu.so", "libtorch_python.so")
CUDA = ("libtorch_cuda.so",)
HEADER = """\
# Symbols that torch's libraries export (.dynsym: defined, global or weak; namespaces at, c10, torch, caffe2, THP…, and
# the stable C interface), by minor release. Made by tools/update_tables.py --exports VERSION; do not edit.
# symbols: the whole stable interface, and the C++ names that not every minor has: "FIRST-LAST name", an open end for
# all before or after; #… is a digest, of a name that is not known. everywhere: digests (blake2b, four bytes, sorted,
# base 64) of the others. [cuda]: libtorch_cuda.so alone, of the minors that were read, by which of them have a symbol.
"""


@dataclass(kw_only=True)
class ExportTable:
    """The table while it is made. Keys are names, or ``#`` and a digest's hexadecimal."""

    torches: list[dict[str, str]] = field(default_factory=list)
    stable: set[str] = field(default_factory=set)
    """Names of the stable interface, listed even where every minor has them."""
    ranges: dict[str, list[list[str]]] = field(default_factory=dict)
    everywhere: set[bytes] = field(default_factory=set)
    cuda_read: list[str] = field(default_factory=list)
    cuda: dict[bytes, set[str]] = field(default_factory=dict)
    """The minors that export a symbol, by its digest."""

    @classmethod
    def read(cls, text: str) -> ExportTable:
        table: dict[str, Any] = tomllib.loads(text)  # Any: decoded TOML
        made = cls(torches=table["torch"], everywhere=set(_split(table["everywhere"])))
        for line in table["symbols"].splitlines():
            span, _, name = line.partition(" ")
            if is_stable(name):
                made.stable.add(name)
            if span != "-":
                made.ranges.setdefault(name, []).append(span.split("-"))
        made.cuda_read = table["cuda"]["read"]
        for row in table["cuda"]["exported"]:
            for key in _split(row["digests"]):
                made.cuda[key] = set(row["minors"])
        return made

    def add(self, row: Mapping[str, str], names: Iterable[str], *, known: Mapping[bytes, str] | None = None) -> None:
        """Add the newest minor. ``known`` gives names of digests that go, as far as somebody has them."""
        known = {digest(name): name for name in self.stable} | dict(known or {})
        minor, before = row["minor"], self.torches[-1]["minor"] if self.torches else ""
        found = {digest(name): name for name in names}
        self.stable |= {name for name in found.values() if is_stable(name)}
        if not self.torches:
            self.everywhere = set(found)
        for key in [each for each in self.everywhere if each not in found]:
            self.everywhere.remove(key)
            self.ranges[known.get(key, f"#{key.hex()}")] = [["", before]]
        listed = {digest(name) if name[0] != "#" else bytes.fromhex(name[1:]): name for name in self.ranges}
        for key, name in listed.items():
            last = self.ranges[name][-1]
            if last[1] == "" and key not in found:
                last[1] = before
            elif last[1] != "" and key in found:
                self.ranges[name].append([minor, ""])
        for key, name in found.items():
            if self.torches and key not in listed and key not in self.everywhere:
                self.ranges[name] = [[minor, ""]]
        self.torches.append(dict(row))

    def add_cuda(self, minor: str, names: Iterable[str]) -> None:
        """Add what libtorch_cuda.so of a minor exports."""
        for name in names:
            self.cuda.setdefault(digest(name), set()).add(minor)
        self.cuda_read = sorted({*self.cuda_read, minor}, key=_numbers)

    def text(self, *, date: str) -> str:
        """The whole file."""
        lines = [(name, f"{first}-{last} {name}") for name, spans in self.ranges.items() for first, last in spans]
        lines += [(name, f"- {name}") for name in self.stable if digest(name) in self.everywhere]
        rows = "".join(
            "\n[[torch]]\n" + "".join(f'{key} = "{value}"\n' for key, value in row.items()) for row in self.torches
        )
        groups: dict[tuple[str, ...], list[bytes]] = {}
        for key, minors in self.cuda.items():
            groups.setdefault(tuple(sorted(minors, key=_numbers)), []).append(key)
        cuda = "".join(
            f"\n[[cuda.exported]]\nminors = {_array(minors)}\ndigests = '''\n{_joined(digests)}'''\n"
            for minors, digests in sorted(groups.items())
        )
        return (
            f'{HEADER}date = "{date}"\n'
            f"everywhere = '''\n{_joined(self.everywhere)}'''\n"
            f"symbols = '''\n{''.join(line + chr(10) for _, line in sorted(lines))}'''\n{rows}\n"
            f"[cuda]\nread = {_array(self.cuda_read)}\n{cuda}"
        )


def read_exports(wheel: WheelFile, libraries: Iterable[str]) -> set[str]:
    """Torch's own symbols that the named libraries of a torch wheel define; each is unpacked to a file and removed."""
    names: set[str] = set()
    wanted = {f"torch/lib/{name}" for name in libraries}
    for member in wheel.members():
        if member.name in wanted:
            with scratch("library") as folder:
                path = Path(folder) / "library"
                with path.open("wb") as file:
                    file.writelines(wheel.pieces(member))
                with mapped(path) as data:
                    names |= kept(read_elf(data).defined)
    return names


def kept(names: Iterable[str]) -> set[str]:
    return {name for name in names if is_torch_symbol(name)}


def _array(values: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{each}"' for each in values) + "]"


def _joined(digests: Iterable[bytes]) -> str:
    text = base64.b64encode(b"".join(sorted(digests))).decode()
    return "".join(line + "\n" for line in textwrap.wrap(text, 116, break_on_hyphens=False))


def _split(text: str) -> list[bytes]:
    body = base64.b64decode("".join(text.split()))
    return [body[at : at + 4] for at in range(0, len(body), 4)]


def _numbers(minor: str) -> tuple[int, ...]:
    return tuple(map(int, minor.split(".")))
