"""Becoming another program: what Windows is given for a batch file."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from typing import cast

import pytest

from gpuenv.system.become import for_cmd

BATCH = PureWindowsPath("C:/my tools/x.bat")


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("plain", '"plain"'),
        ("a b", '"a b"'),
        ("c&d", '"c&d"'),
        ("%PATH%", '"%%cd:~,%PATH%%cd:~,%"'),
        ('say "hi"', '"say ""hi"""'),
        ("C:\\x\\", '"C:\\x\\\\"'),
        ("", '""'),
    ],
)
def test_a_batch_file_gets_its_words_whole(word: str, written: str) -> None:
    line = for_cmd(cast(Path, BATCH), [word])  # a path of the other system

    assert line == f'cmd.exe /d /e:on /v:off /s /c ""C:\\my tools\\x.bat" {written}"'


def test_a_line_break_is_refused() -> None:
    with pytest.raises(OSError, match="line break"):
        for_cmd(cast(Path, BATCH), ["a\nb"])
