"""A day of the replayed year: tables that stopped nine months before decide as those that know everything."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[3] / "tools"
NAMES = ("H100, driver 580", "V100 and RTX 5090, driver 580")


@pytest.fixture(name="tool", scope="module")
def fixture_tool() -> Iterator[ModuleType]:
    sys.path.insert(0, str(TOOLS))
    try:
        import replay_year

        yield replay_year
    finally:
        sys.path.remove(str(TOOLS))


@pytest.mark.skipif(sys.platform == "win32", reason="the replay decides in forks, for developers on Linux and macOS")
def test_no_decision_is_wrong_that_the_wheels_of_the_day_would_make_right(tool: ModuleType) -> None:
    benches = [bench for bench in tool.BENCHES if bench.name in NAMES]
    found = tool.replay(benches, [tool.Stretch(channel="stable", days=("2026-02-11",))])
    assert {each.bench.name: each.right.words for each in found} == {
        NAMES[0]: "2.10.0+cu130",
        NAMES[1]: "2.10.0+cu128",
    }
    assert [each.wrong for each in found] == [False, False]
    # The control: these tables alone do not know it.
    assert [each.blind_wrong for each in found] == [True, True]
    assert all(each.stale.read for each in found)


def test_the_lag_of_each_table_is_counted(tool: ModuleType) -> None:
    from datetime import date

    kernels, releases, drivers = tool.lags(date(2025, 8, 1), date(2025, 8, 12))
    assert releases.missing == {"2.8.0"}
    assert (kernels.unwatched, releases.unwatched, drivers.unwatched) == (7, 7, 7)
    assert (kernels.watched, releases.watched, drivers.watched) == (5, 5, 5)
    assert drivers.missing == {"cu129"}
