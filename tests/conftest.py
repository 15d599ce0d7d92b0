"""What every test starts from."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Give SIGINT its usual meaning back.

    A shell starts its background jobs with SIGINT ignored, and children inherit that: under such a job the tests of
    Ctrl-C would try a Ctrl-C that nobody can feel. Runs in the controller before the workers are started.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
