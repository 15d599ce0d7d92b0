"""Laws of the readers of libraries: what was put in comes out, and damage is the project's own error."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gpuenv.companions.elf import read_elf
from gpuenv.companions.library import make_facts, read_raw
from gpuenv.installed.fatbin import FatbinError
from gpuenv.installed.pe import read_pe
from support.fatbins import image
from support.libraries import elf_library, pe_library

NAMES = st.lists(st.text("abcXYZ_019.", min_size=1, max_size=12), max_size=5, unique=True)


@given(NAMES, NAMES, NAMES, st.dictionaries(st.text("abc.", min_size=1, max_size=6), NAMES.filter(bool), max_size=3))
@settings(max_examples=60)
def test_what_an_elf_library_was_made_of_is_read(
    needed: list[str], undefined: list[str], defined: list[str], versions: dict[str, list[str]]
) -> None:
    found = read_elf(elf_library(needed=needed, undefined=undefined, defined=defined, versions=versions))
    assert found.needed == tuple(needed)
    assert (found.undefined, found.defined) == (frozenset(undefined), frozenset(defined))
    assert found.versions == tuple(sorted({name for names in versions.values() for name in names}))


@given(st.dictionaries(st.text("abc", min_size=1, max_size=6), NAMES, max_size=4))
@settings(max_examples=60)
def test_what_a_windows_library_was_made_of_is_read(imports: dict[str, list[str]]) -> None:
    found = read_pe(pe_library(imports))
    assert {each.library: list(each.symbols) for each in found} == imports


WHOLE = (
    elf_library(
        needed=["libcudart.so.12", "libc.so.6"],
        undefined=["_ZN2at4callEv", "torch_call"],
        defined=["PyInit__C"],
        versions={"libc.so.6": ["GLIBC_2.34", "GLIBC_2.2.5"], "libm.so.6": ["GLIBC_2.29"]},
        code=[image("sass", 80), image("ptx", 90, isa=(8, 7))],
        relocatable=[image("sass", 80)],
    ),
    pe_library({"c10.dll": ["a", "b"], "python312.dll": ["Py_X"]}, code=[image("sass", 80)]),
)


@given(st.data())
@settings(max_examples=200)
def test_damage_is_the_projects_error_or_an_answer(data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from(WHOLE)))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for damaged in (bytes(whole), bytes(whole[:cut])):
        try:
            raw = read_raw("p/_C.so", damaged)
        except FatbinError:
            continue
        assert len(make_facts([raw])) == 1
