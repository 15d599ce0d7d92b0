"""Frozen dataclasses whose methods are made when they are first used.

``dataclasses`` writes and compiles seven methods for each class when its module is loaded: half a millisecond on Python
3.11, a hundred times what the class itself takes, and most commands load a hundred classes to make a few of them. Here
the standard library is asked for the methods of a class when one of them is called; what it makes is what stays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool = False, slots: bool = False, kw_only: bool = False) -> Callable[[type], type]:
        """``dataclasses.dataclass``; a class that is frozen gets its methods when they are used."""

        def made(cls: type) -> type:
            if not frozen:
                return dataclasses.dataclass(slots=slots, kw_only=kw_only)(cls)
            cls.__doc__ = cls.__doc__ or cls.__name__  # else it is made of the signature, which takes longest of all
            later = [name for name in _LATER if cls.__dict__.get(name) is None]
            # One with a base that is frozen must be frozen itself: then two methods are made at once.
            inherits = dataclasses.is_dataclass(cls)
            options = {"init": False, "repr": False, "eq": False, "frozen": inherits}
            cls = dataclasses.dataclass(**options, slots=slots, kw_only=kw_only)(cls)
            cls.__dataclass_params__.frozen = True
            for name in later:
                setattr(cls, name, _Later(cls, name))
            cls.__setattr__, cls.__delattr__ = _no_change, _no_removal
            if slots:
                cls.__getstate__, cls.__setstate__ = _state, _restore
            return cls

        return made


_LATER = {
    "__init__": {"init": True, "repr": False, "eq": False, "frozen": True},
    "__repr__": {"init": False, "repr": True, "eq": False},
    "__eq__": {"init": False, "repr": False, "eq": True},
    "__hash__": {"init": False, "repr": False, "eq": False, "unsafe_hash": True},
}
"""What the standard library is asked for to get one method."""


class _Later:
    """A method that the standard library has not been asked for."""

    __slots__ = ("_cls", "_name")

    def __init__(self, cls: type, name: str) -> None:
        self._cls, self._name = cls, name

    def __get__(self, instance: object, owner: type | None = None) -> object:
        if self._cls.__dict__[self._name] is self:  # not in another thread meanwhile
            setattr(self._cls, self._name, _method(self._cls, self._name))
        return self._cls.__dict__[self._name].__get__(instance, owner)


def _method(cls: type, name: str) -> object:
    """A method of a dataclass that has the fields of ``cls``."""
    annotations: dict[str, object] = {}
    space: dict[str, object] = {"__annotations__": annotations, "__doc__": "its methods alone are used"}
    space |= {"__qualname__": cls.__qualname__, "__module__": cls.__module__}
    if hasattr(cls, "__post_init__"):
        space["__post_init__"] = cls.__post_init__
    for each in dataclasses.fields(cls):
        annotations[each.name] = each.type
        space[each.name] = dataclasses.field(
            default=each.default, default_factory=each.default_factory, init=each.init, repr=each.repr, hash=each.hash,
            compare=each.compare, metadata=each.metadata, kw_only=each.kw_only,
        )  # fmt: skip
    slots = "__slots__" in cls.__dict__  # then what has a default and no argument is set too
    return vars(dataclasses.dataclass(**_LATER[name], slots=slots)(type(cls.__name__, (), space)))[name]


def _no_change(self: object, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _no_removal(self: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: object) -> list[object]:
    return [getattr(self, name) for name in _names(self)]


def _restore(self: object, state: list[object]) -> None:
    for name, value in zip(_names(self), state, strict=True):
        object.__setattr__(self, name, value)


def _names(value: object) -> list[str]:
    return [each.name for each in dataclasses.fields(value)]  # type: ignore[arg-type]  # it is one
