"""`--about`: the candidates of one package, and a sentence where there are none."""

from __future__ import annotations

import pytest

from gpuenv.errors import UsageError
from gpuenv.model.decision import NoDecision, Rejected
from gpuenv.select.present import about

ROWS = tuple(
    Rejected(candidate=f"{name} {version} (test channel)", project=name, version=version, reason="channel", detail="")
    for name, version in (
        ("torch", "2.11.0+cu128"),
        ("torch", "2.11.0+cu126"),
        ("torch", "2.10.0+cu128"),
        ("torchaudio", "2.11.0+cu128"),
    )
)
NOTHING = NoDecision(summary="nothing fits", causes=(), hints=(), rejected=ROWS)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("torch", [0, 1, 2]),
        ("torch==2.11", [0, 1]),
        ("torch==2.11+cu126", [1]),
        ("Torch >= 2.11", [0, 1]),
        ("torchaudio", [3]),
    ],
)
def test_what_is_named_is_kept(text: str, places: list[int]) -> None:
    assert about(NOTHING, text).rejected == tuple(ROWS[place] for place in places)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("torch==9", "2.11.0+cu128, 2.11.0+cu126, 2.10.0+cu128"),
        ("numpy", "torch, torchaudio"),
        ("==2", "names no package"),
    ],
)
def test_what_names_nothing_is_told_what_there_is(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        about(NOTHING, text)
    assert says in " ".join([caught.value.message, *caught.value.causes])
