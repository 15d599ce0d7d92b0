"""No kind of finding is without a test that runs its fix, or without somebody who does it by hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpuenv.doctor.finding import UNNAMED, Finding
from support import fix_law

ROOT = Path(__file__).resolve().parents[3]


def test_every_kind_is_tried_or_by_hand() -> None:
    assert fix_law.TRIED.keys() | fix_law.BY_HAND == fix_law.kinds()
    assert not fix_law.TRIED.keys() & fix_law.BY_HAND


@pytest.mark.parametrize("kind", fix_law.TRIED)
def test_the_test_that_tries_it_names_it(kind: str) -> None:
    path, _, function = fix_law.TRIED[kind].partition("::")
    text = (ROOT / path).read_text("utf-8")

    assert re.search(rf"^def {function}\b", text, re.MULTILINE)
    assert f'"{kind}"' in text


def test_every_kind_is_made_somewhere() -> None:
    made = "".join(
        path.read_text("utf-8") for path in (ROOT / "resolver/gpuenv").rglob("*.py") if path.name != "finding.py"
    )

    assert [kind for kind in fix_law.kinds() if f'"{kind}"' not in made] == []


@pytest.mark.parametrize(
    ("finding", "says"),
    [
        (Finding(subject="a", severity="ok", summary="b"), ""),
        (Finding(subject="a", severity="error", kind="broken", summary="b", fix="c"), ""),
        (
            Finding(
                subject="a", severity="error", kind="fabric-down", summary="b", fix="c", by="yourself", check=UNNAMED
            ),
            "",
        ),
    ],
)
def test_what_keeps_the_law(finding: Finding, says: str) -> None:
    assert fix_law.broken(finding) == says


@pytest.mark.parametrize(
    "told",
    [
        {"kind": "broken"},
        {"fix": "c"},
        {"kind": "fabric-down", "fix": "c"},
        {"kind": "fabric-down", "fix": "c", "by": "yourself"},
    ],
)
def test_a_finding_that_breaks_it_is_not_made(told: dict[str, str]) -> None:
    """The whole suite is held to it: tests/conftest.py checks each finding as it is made."""
    with pytest.raises(AssertionError):
        Finding(subject="a", severity="error", summary="b", **told)  # type: ignore[arg-type] # wrong on purpose
