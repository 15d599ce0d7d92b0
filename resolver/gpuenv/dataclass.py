"""Frozen dataclasses whose methods are made when they are first used.

``dataclasses`` writes and compiles seven methods for each class when its module is loaded: half a millisecond on Python
3.11, a hundred times what the class itself takes, and most commands load a hundred classes to make a few of them. Here
the standard library is asked for the methods of a class when one of them is called. ``__init__`` alone, which every
class needs that is used at all, is written here: the library makes a new class to get it, in four times as long.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
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
            own = cls.__dict__
            later = [name for name in _LATER if name not in own]
            if "__eq__" in own and own.get("__hash__") is None:  # Python itself puts None there
                later.append("__hash__")
            # One with a base that is frozen must be frozen itself: then two methods are made at once.
            inherits = dataclasses.is_dataclass(cls)
            options = {"init": False, "repr": False, "eq": False, "frozen": inherits}
            cls = dataclasses.dataclass(**options, slots=slots, kw_only=kw_only)(cls)
            cls.__dataclass_params__.frozen = True
            if not kw_only and "__init__" in later:
                _check_order(dataclasses.fields(cls))
            for name in later:
                setattr(cls, name, _Later(cls, name))
            cls.__setattr__, cls.__delattr__ = _no_change, _no_removal
            if slots:
                cls.__getstate__, cls.__setstate__ = _state, _restore
            return cls

        return made


_LATER: dict[str, dict[str, bool]] = {
    "__init__": {},
    "__repr__": {"init": False, "repr": True, "eq": False},
    "__eq__": {"init": False, "repr": False, "eq": True},
    "__hash__": {"init": False, "repr": False, "eq": False, "unsafe_hash": True},
}
"""What is made later, and what the standard library is asked for to get it."""
_NOT_GIVEN = dataclasses._HAS_DEFAULT_FACTORY  # type: ignore[attr-defined]
_CLASS_VARIABLE, _ARGUMENT_ONLY = dataclasses._FIELD_CLASSVAR, dataclasses._FIELD_INITVAR  # type: ignore[attr-defined]


class _Later:
    """A method that the standard library has not been asked for."""

    __slots__ = ("_cls", "_name")

    def __init__(self, cls: type, name: str) -> None:
        self._cls, self._name = cls, name

    def __get__(self, instance: object, owner: type | None = None) -> object:
        if self._cls.__dict__[self._name] is self:  # not in another thread meanwhile
            made = _init(self._cls) if self._name == "__init__" else _method(self._cls, self._name)
            setattr(self._cls, self._name, made)
        return self._cls.__dict__[self._name].__get__(instance, owner)


def _check_order(fields: Iterable[dataclasses.Field[object]]) -> None:
    """Raise what the standard library raises when it makes a class, not only once one of it is made."""
    before = ""
    for each in fields:
        if each.init and not each.kw_only:
            if each.default is not dataclasses.MISSING or each.default_factory is not dataclasses.MISSING:
                before = each.name
            elif before:
                raise TypeError(f"non-default argument {each.name!r} follows default argument {before!r}")


def _init(cls: type) -> object:
    """The method that sets each field to its argument, its default or what its factory makes, then calls
    ``__post_init__`` with what is of type ``InitVar``; its signature is the one of the standard library."""
    fields = [each for each in vars(cls)["__dataclass_fields__"].values() if each._field_type is not _CLASS_VARIABLE]
    this = "__self__" if any(each.name == "self" for each in fields) else "self"
    space: dict[str, object] = {"__put__": object.__setattr__, "__not_given__": _NOT_GIVEN}
    first, named, body, passed = [this], list[str](), list[str](), list[str]()
    annotations: dict[str, object] = {}
    slots = "__slots__" in cls.__dict__  # then what has a default and no argument is set too
    for each in fields:
        name, value, default = each.name, each.name, ""
        if each.default_factory is not dataclasses.MISSING:
            space[f"__make_{name}__"], default = each.default_factory, "=__not_given__"
            value = f"__make_{name}__() if {name} is __not_given__ else {name}" if each.init else f"__make_{name}__()"
        elif each.default is not dataclasses.MISSING:
            space[f"__default_{name}__"], default = each.default, f"=__default_{name}__"
            value = name if each.init else f"__default_{name}__" if slots else ""
        elif not each.init:
            value = ""
        if each.init:
            annotations[name] = each.type
            (named if each.kw_only else first).append(name + default)
        if each._field_type is _ARGUMENT_ONLY:
            passed.append(name)
        elif value:
            body.append(f" __put__({this}, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        body.append(f" {this}.__post_init__({', '.join(passed)})")
    words = ", ".join((*first, *(("*", *named) if named else ())))
    exec("\n".join((f"def __init__({words}):", *body, " return None")), space)
    made = space["__init__"]
    made.__qualname__, made.__module__ = f"{cls.__qualname__}.__init__", cls.__module__  # type: ignore[attr-defined]
    made.__annotations__ = {**annotations, "return": None}
    return made


def _method(cls: type, name: str) -> object:
    """A method of a dataclass that has the fields of ``cls``."""
    annotations: dict[str, object] = {}
    space: dict[str, object] = {"__annotations__": annotations, "__doc__": "its methods alone are used"}
    space |= {"__qualname__": cls.__qualname__, "__module__": cls.__module__}
    for each in dataclasses.fields(cls):
        annotations[each.name] = each.type
        space[each.name] = dataclasses.field(
            default=each.default, default_factory=each.default_factory, init=each.init, repr=each.repr, hash=each.hash,
            compare=each.compare, metadata=each.metadata, kw_only=each.kw_only,
        )  # fmt: skip
    return vars(dataclasses.dataclass(**_LATER[name])(type(cls.__name__, (), space)))[name]


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
