"""Laws of the reader of device code, on libraries and on damaged ones."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from gpuenv.installed.fatbin import FatbinError, read_code
from support.fatbins import image, library, portable_library

KINDS = st.tuples(st.sampled_from(["sass", "ptx"]), st.sampled_from([75, 80, 86, 90, 100, 120]), st.integers(0, 80))


@given(st.lists(st.lists(KINDS, min_size=1, max_size=4), max_size=5))
@settings(max_examples=60)
def test_what_is_put_in_is_what_is_counted(fatbins: list[list[tuple[str, int, int]]]) -> None:
    data = library([[image(kind, arch, size=size) for kind, arch, size in images] for images in fatbins])
    code = read_code(data)
    wanted = Counter((kind, arch) for images in fatbins for kind, arch, _ in images)
    assert dict(code.sass) == {f"sm_{arch}": n for (kind, arch), n in wanted.items() if kind == "sass"}
    assert dict(code.ptx) == {f"compute_{arch}": n for (kind, arch), n in wanted.items() if kind == "ptx"}


@given(st.data())
@settings(max_examples=150)
def test_damage_is_an_error_or_an_answer_never_a_crash(data: st.DataObject) -> None:
    build = data.draw(st.sampled_from([library, portable_library]))
    whole = bytearray(build([[image("sass", 80), image("ptx", 90)], [image("sass", 90, size=60)]]))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for damaged in (bytes(whole), bytes(whole[:cut])):
        try:
            code = read_code(damaged)
        except FatbinError:
            continue
        assert code.fatbins >= 0
