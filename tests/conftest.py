"""What every test starts from."""

from __future__ import annotations

import signal
import sys

import pytest

from gpuenv.doctor.finding import Finding
from support import fix_law


def pytest_configure() -> None:
    """Give SIGINT its usual meaning back.

    A shell starts its background jobs with SIGINT ignored, and children inherit that: under such a job the tests of
    Ctrl-C would try a Ctrl-C that nobody can feel. Runs in the controller before the workers are started.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # xdist's own hook reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file with one worker: what they prepare once (an environment, a server) is made once."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.fixture(autouse=True, scope="session")
def _law_of_fixes() -> None:
    """Hold every finding that is made in this process to the law of fixes."""
    make = Finding.__init__

    def checked(self: Finding, *words: object, **told: object) -> None:
        make(self, *words, **told)  # type: ignore[arg-type] # as given
        if sys._getframe(1).f_globals.get("__name__") == "gpuenv.doctor.report":
            return  # read from a file that somebody sent: not ours to answer for
        assert not (problem := fix_law.broken(self)), problem

    Finding.__init__ = checked  # type: ignore[method-assign,assignment] # for the tests alone
