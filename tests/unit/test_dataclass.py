"""Dataclasses whose methods are made later: in use they are the standard library's."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, InitVar, field, replace
from typing import ClassVar

import pytest

from gpuenv.dataclass import dataclass

Decorator = Callable[[type], type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What others have too."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Late(Base):
    """One with all kinds of fields."""

    kinds: ClassVar[int] = 5
    size: int = 0
    words: tuple[str, ...] = ()
    seen: dict[str, int] = field(default_factory=dict, compare=False, repr=False)
    length: int = field(init=False, default=7)

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("less than nothing")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AtOnce(Base):
    """The same, as the standard library makes it, below a class of ours."""

    kinds: ClassVar[int] = 5
    size: int = 0
    words: tuple[str, ...] = ()
    seen: dict[str, int] = field(default_factory=dict, compare=False, repr=False)
    length: int = field(init=False, default=7)

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("less than nothing")


@dataclass(frozen=True)
class Place:
    """Positional, without slots."""

    line: int
    column: int = 1

    def __repr__(self) -> str:
        return f"{self.line}:{self.column}"


def test_values_are_shown_compared_hashed_and_replaced_as_the_standard_library_does() -> None:
    late, once = Late(name="a", size=3, seen={"x": 1}), AtOnce(name="a", size=3, seen={"x": 1})
    assert repr(late) == repr(once).replace("AtOnce", "Late") == "Late(name='a', size=3, words=(), length=7)"
    assert hash(late) == hash(once)
    assert late == Late(name="a", size=3) != Late(name="b", size=3)
    assert late != once
    assert late != "a"
    assert replace(late, size=4) == Late(name="a", size=4)
    assert dataclasses.asdict(late) == dataclasses.asdict(once)
    assert str(inspect.signature(Late)) == str(inspect.signature(AtOnce))
    assert Late.__match_args__ == AtOnce.__match_args__  # type: ignore[attr-defined]  # both have it
    assert [each.name for each in dataclasses.fields(Late)] == [each.name for each in dataclasses.fields(AtOnce)]


def test_values_do_not_change_whichever_method_was_used_first() -> None:
    late = Late(name="a")
    for name in ("size", "another"):
        with pytest.raises(FrozenInstanceError, match=f"'{name}'"):
            setattr(late, name, 1)
    with pytest.raises(FrozenInstanceError, match="'size'"):
        del late.size
    with pytest.raises(AttributeError):
        late.__dict__  # noqa: B018 # it has slots


def test_what_the_standard_library_refuses_is_refused_in_its_words() -> None:
    for wrong in ({}, {"name": "a", "other": 1}, {"name": "a", "length": 1}):
        with pytest.raises(TypeError) as late:
            Late(**wrong)
        with pytest.raises(TypeError) as once:
            AtOnce(**wrong)
        assert str(late.value).replace("Late", "AtOnce") == str(once.value)
    with pytest.raises(ValueError, match="less than nothing"):
        Late(name="a", size=-1)


def test_values_are_copied_and_carried_between_processes() -> None:
    late = Late(name="a", words=("b",), seen={"x": 1})
    for twin in (copy.copy(late), copy.deepcopy(late), pickle.loads(pickle.dumps(late))):
        assert twin == late
        assert twin.seen == late.seen


def test_methods_of_its_own_stay_and_the_others_are_made_one_by_one() -> None:
    made = [name for name in ("__init__", "__eq__", "__hash__") if inspect.isfunction(vars(Place)[name])]
    assert made == []
    place = Place(3)
    made = [name for name in ("__init__", "__eq__", "__hash__") if inspect.isfunction(vars(Place)[name])]
    assert made == ["__init__"]
    assert repr(place) == "3:1"
    assert place == Place(3, 1)
    assert {place, Place(3)} == {place}
    match place:
        case Place(line, column):
            assert (line, column) == (3, 1)


def test_one_that_may_change_is_made_at_once() -> None:
    @dataclass(slots=True, kw_only=True)
    class Open:
        count: int = 0

    value = Open()
    value.count += 1
    assert value == Open(count=1)
    assert inspect.isfunction(vars(Open)["__init__"])


@dataclass(frozen=True, slots=True)
class Named:
    """Fields named as the arguments of what makes it."""

    self_: int
    put: int
    default_put: int = 3
    make_seen: int = 4
    seen: list[int] = field(default_factory=list)
    unset: int = field(init=False, default=5)


def test_no_name_of_a_field_is_in_the_way_and_each_value_has_its_own_default() -> None:
    one, other = Named(1, 2), Named(1, 2, seen=[7])
    one.seen.append(6)
    assert (one.put, one.default_put, one.make_seen, one.unset) == (2, 3, 4, 5)
    assert (one.seen, other.seen, Named(1, 2).seen) == ([6], [7], [])


def test_what_is_missing_is_named_as_the_standard_library_names_it() -> None:
    with pytest.raises(TypeError, match=r"Late\.__init__\(\) missing 1 required keyword-only argument: 'name'"):
        Late()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'more'"):
        Late(name="a", more=1)  # type: ignore[call-arg]
    assert Late.__init__.__annotations__ == AtOnce.__init__.__annotations__


@pytest.mark.parametrize("slots", [True, False])
def test_a_class_that_the_standard_library_refuses_is_refused_when_it_is_made(slots: bool) -> None:
    with pytest.raises(TypeError, match="non-default argument 'last' follows default argument 'first'"):

        @dataclass(frozen=True, slots=slots)
        class Order:
            first: int = 0
            last: int  # type: ignore[misc]  # what is refused

    with pytest.raises(ValueError, match="mutable default"):

        @dataclass(frozen=True, slots=slots, kw_only=True)
        class Shared:
            seen: list[int] = []  # noqa: RUF012  # what is refused


@dataclass(frozen=True, slots=True)
class Given:
    """An argument that is no field, and a field named as the object itself."""

    self: int
    times: InitVar[int] = 2
    total: int = field(init=False, default=0)

    def __post_init__(this, times: int) -> None:  # `self` is a field
        object.__setattr__(this, "total", this.self * times)


def test_an_argument_that_is_no_field_is_passed_on_and_self_may_be_a_field() -> None:
    assert Given(3, times=4).total == 12
    assert replace(Given(3), self=5, times=2).total == 10
    assert list(inspect.signature(Given).parameters) == ["self", "times"]


@dataclass(frozen=True, slots=True)
class Unhashed:
    """One that shall not be hashed."""

    seen: int
    __hash__ = None  # type: ignore[assignment]  # as Python writes it


def test_a_class_that_says_it_has_no_hash_gets_none() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Unhashed(1))
