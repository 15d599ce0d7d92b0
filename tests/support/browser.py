"""Headless Chromium, where one is installed: the page as its script leaves it, and a picture of it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
]


def find() -> str:
    """The browser; skips the test where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")


def run(browser: str, *flags: str, url: str) -> str:
    """Open a page and return what the browser prints; the page's own timers run out first."""
    command = [browser, *FLAGS, "--virtual-time-budget=5000", *flags, url]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
