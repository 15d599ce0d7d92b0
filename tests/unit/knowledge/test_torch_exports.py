"""The table of what each torch exports, against what its makers and companions' makers say."""

from __future__ import annotations

from gpuenv.knowledge.torch_exports import is_stable, load_exports, minor_of

EXPORTS = load_exports()


def test_the_table_holds_the_minors_without_a_gap() -> None:
    numbers = [tuple(map(int, minor.split("."))) for minor in EXPORTS.minors]
    assert numbers == [(2, minor) for minor in range(9, 9 + len(numbers))]


def test_the_stable_interface_only_grows() -> None:
    """Its makers' promise, seen kept in every wheel that was read."""
    names = [name for name in EXPORTS._ranges if is_stable(name)]
    assert len(names) > 350
    held = {minor: {name for name in names if EXPORTS.exports(name, minor)} for minor in EXPORTS.minors}
    lost = [
        (minor, name) for before, minor in zip(EXPORTS.minors, EXPORTS.minors[1:], strict=False)
        for name in sorted(held[before] - held[minor])
    ]  # fmt: skip
    assert lost == []


def test_symbols_whose_going_broke_companions() -> None:
    gone = "_ZN3c1013MessageLoggerC1EPKcii"
    assert [EXPORTS.exports(gone, torch) for torch in ("2.9.1", "2.10.0+cu128", "2.15.0")] == [True, False, False]
    assert EXPORTS.exports("torch_call_dispatcher", "2.9.0") is False
    assert EXPORTS.exports("torch_call_dispatcher", "2.10.0") is True
    check = "_ZN3c106detail14torchCheckFailEPKcS2_jRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
    assert all(EXPORTS.exports(check, minor) for minor in EXPORTS.minors)
    assert EXPORTS.exports("_ZN2at12no_such_thingEv", "2.12.0") is False


def test_the_cuda_library_is_known_where_it_was_read_and_between() -> None:
    properties = "_ZN2at4cuda26getCurrentDevicePropertiesEv"
    assert [EXPORTS.exports(properties, f"2.{minor}.0") for minor in (9, 10, 13, 15)] == [None, True, True, True]


def test_a_span_names_what_is_lacking() -> None:
    span = EXPORTS.span(("torch_call_dispatcher", "aoti_torch_empty_strided"))
    assert (span.lowest, span.highest_known) == ("2.10", EXPORTS.minors[-1])
    assert span.lacks == (("2.9", ("torch_call_dispatcher",)),)
    assert EXPORTS.span(()).loads == EXPORTS.minors


def test_a_torch_outside_of_the_table() -> None:
    assert EXPORTS.exports("aoti_torch_empty_strided", "3.4.0") is True
    assert EXPORTS.exports("torch_new_of_3_4", "3.4.0") is None
    assert EXPORTS.exports("_ZN2at4_ops3add4callERKNS_6TensorES4_RKN3c106ScalarE", "3.4.0") is None
    assert EXPORTS.exports("torch_call_dispatcher", "2.8.0") is None
    assert (minor_of("2.10.0+cu128"), minor_of("nothing")) == ("2.10", "")
