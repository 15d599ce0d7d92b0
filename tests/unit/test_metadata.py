"""metadata: what others wrote of versions and requirements is read, or is nothing."""

from __future__ import annotations

import pytest

from gpuenv.metadata import applies, parse_range, parse_requirement, parse_version

HUGE = "9" * 5000
"""More digits than Python reads; packaging takes a range of it, and fails where something is compared."""


@pytest.mark.parametrize("text", ["", "latest", HUGE, f"1.{HUGE}"])
def test_what_is_no_version(text: str) -> None:
    assert parse_version(text) is None


@pytest.mark.parametrize("text", [">=3.", "İ3.10", ">=3.6.*", f">={HUGE}"])
def test_what_is_no_range(text: str) -> None:
    assert parse_range(text) is None


@pytest.mark.parametrize("text", ["", "torch (>1", "torch>1.*,", f"torch>={HUGE}", "torch; os_name <> 'x'"])
def test_what_is_no_requirement(text: str) -> None:
    assert parse_requirement(text) is None


@pytest.mark.parametrize(
    ("marker", "counts"),
    [
        ("os_name == 'posix'", True),
        ("os_name == 'nt'", False),
        ("os_name ~= 'x'", True),  # packaging: UndefinedComparison
        ("'x' in extras", True),  # packaging: UndefinedEnvironmentName
    ],
)
def test_a_marker_that_cannot_be_evaluated_counts(marker: str, counts: bool) -> None:
    requirement = parse_requirement(f"numpy; {marker}")
    assert requirement is not None
    assert applies(requirement, {"os_name": "posix", "extra": ""}) is counts
