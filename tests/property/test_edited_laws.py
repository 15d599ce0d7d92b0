"""A file of a person's is written as it was but for what changed: encoding, mark, the end of each line that stays."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gpuenv.system.files import read_text, write_edited

LINES = st.lists(
    st.tuples(st.sampled_from(["", "a", "a\r", "b = 1", "ü"]), st.sampled_from(["\n", "\r\n"])), max_size=8
)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])


@settings(deadline=None)
@given(lines=LINES, tail=st.sampled_from(["", "end"]), encoding=ENCODINGS, more=LINES)
def test_nothing_but_the_edit_changes(
    lines: list[tuple[str, str]], tail: str, encoding: str, more: list[tuple[str, str]]
) -> None:
    before = ("".join(map("".join, lines)) + tail).encode(encoding)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pyproject.toml")
        path.write_bytes(before)
        text = read_text(path, what="it")
        write_edited(path, text, what="it")
        assert path.read_bytes() == before
        ours = "".join(
            f"ours {line.rstrip()}\n" for line, _ in more
        )  # as `export --format uv` adds lines, and --undo takes them out
        whole = text if text.endswith("\n") or not text else f"{text}\n"
        write_edited(path, whole + ours, what="it")
        assert read_text(path, what="it") == whole + ours
        write_edited(path, text, what="it")
        assert path.read_bytes() == before
