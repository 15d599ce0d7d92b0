"""Laws of reading a RECORD."""

from __future__ import annotations

import csv
import io
import posixpath

from hypothesis import given, settings
from hypothesis import strategies as st

from gpuenv.installed.files import parse_record

NAMES = st.text(
    st.characters(exclude_characters="/\\\0\r\n", exclude_categories=("Cs", "Zl", "Zp", "Cc")), min_size=1, max_size=8
)
PATHS = st.lists(NAMES | st.just(".."), min_size=1, max_size=4).map("/".join)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(PATHS, st.none() | st.text("abcXYZ_-09", min_size=1, max_size=43), st.none() | st.integers(0, 10**12))
    )
)
def test_a_record_comes_back_as_it_was_written(rows: list[tuple[str, str | None, int | None]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for path, digest, size in rows:
        writer.writerow([path, f"sha256={digest}" if digest else "", "" if size is None else size])

    found = [(row.path, row.sha256, row.size) for row in parse_record(text.getvalue(), prefix="lib/site")]

    assert found == [(posixpath.normpath(f"lib/site/{path}"), digest, size) for path, digest, size in rows]
