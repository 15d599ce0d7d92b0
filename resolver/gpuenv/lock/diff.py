"""What is different between two locks."""

from __future__ import annotations

from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.documents import parts
from gpuenv.lock.model import Lock, LockedPackage
from gpuenv.metadata import parse_version

Kind = Literal["added", "removed", "changed", "replaced"]
"""``replaced``: the same version, another file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockChange:
    """One package that differs. ``before`` and ``after`` are versions, ``None`` where it is absent."""

    name: str
    kind: Kind
    before: str | None
    after: str | None
    family: bool = False
    detail: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The change as uv prints it: ``-`` before ``+``, ``~`` for another file of the same version."""
        note = f" ({self.detail})" if self.detail else ""
        if self.kind == "replaced":
            return (f" ~ {self.name}=={self.after}{note}",)
        gone = () if self.before is None else (f" - {self.name}=={self.before}",)
        come = () if self.after is None else (f" + {self.name}=={self.after}",)
        lines = [*gone, *come]
        return (*lines[:-1], lines[-1] + note)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """Every difference: packages by name, and what else of the locks differs (``variant: cu128 -> cu130``)."""

    changes: tuple[LockChange, ...]
    circumstances: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def lines(self) -> tuple[str, ...]:
        """Package changes, one line each side."""
        return tuple(line for change in self.changes for line in change.lines)


def diff(before: Lock, after: Lock) -> Diff:
    """What ``after`` changes. A diff is false where both lock the same files."""
    olds, news = before.by_name, after.by_name
    changes = [_change(olds.get(name), news.get(name)) for name in sorted(olds.keys() | news.keys())]
    return Diff(
        changes=tuple(change for change in changes if change is not None), circumstances=_circumstances(before, after)
    )


def same_version(one: str, other: str) -> bool:
    """Whether two versions are equal (PEP 440), local part included."""
    first, second = parse_version(one), parse_version(other)
    return one == other if first is None or second is None else first == second


def _change(old: LockedPackage | None, new: LockedPackage | None) -> LockChange | None:
    kind: Kind = "changed"
    detail = ""
    if old is None or new is None:
        kind = "added" if old is None else "removed"
    elif not same_version(old.version, new.version):
        detail = _commits(old, new)
    elif old.sha256 == new.sha256:
        return None
    else:
        kind, other = "replaced", old.filename != new.filename
        detail = f"{old.filename} -> {new.filename}" if other else "the file has other contents"
    sides = [each for each in (new, old) if each is not None]
    return LockChange(
        name=sides[0].name,
        kind=kind,
        before=None if old is None else old.version,
        after=None if new is None else new.version,
        family=any(each.family for each in sides),
        detail=detail,
    )


def _commits(old: LockedPackage, new: LockedPackage) -> str:
    if old.git is None or new.git is None or old.git == new.git:
        return ""
    return f"commits {old.git[:10]}..{new.git[:10]}"


def _circumstances(before: Lock, after: Lock) -> tuple[str, ...]:
    old, new = _told(before), _told(after)
    return tuple(f"{what}: {old[what] or 'none'} -> {new[what] or 'none'}" for what in old if old[what] != new[what])


def _told(lock: Lock) -> dict[str, object]:
    inputs, target = lock.inputs, lock.inputs.target
    machine = {"driver": target.driver, "machine": f"{target.os} {target.arch}", "python": target.python}
    told = parts(lock.decision, "accelerator", "channel", "source", "variant") | parts(inputs, "knowledge", "profile")
    return dict(sorted((told | machine).items()))
