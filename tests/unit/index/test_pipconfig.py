"""index.pipconfig: what pip would read, and where each value stands."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from gpuenv.errors import ConfigurationError
from gpuenv.index.pipconfig import PipConfiguration, PipSetting, configuration_files, read_pip_configuration

HOME = {"HOME": "/home/me"}


def configuration(files: dict[str, str], environ: dict[str, str] | None = None) -> PipConfiguration:
    return read_pip_configuration(
        {**HOME, **(environ or {})}, platform="linux", read=lambda path: files.get(path.as_posix())
    )


def at(path: str) -> str:
    """The path as this system writes it."""
    return str(Path(path))


def test_no_file_is_no_setting() -> None:
    assert configuration({}).settings == {}


def test_later_files_win_and_the_origin_is_the_file() -> None:
    files = {
        "/etc/xdg/pip/pip.conf": "[global]\nindex-url = https://xdg.example\ncert = /xdg.pem\n",
        "/etc/pip.conf": "[global]\nindex-url = https://system.example\nproxy = proxy.example:8080\n",
        "/home/me/.pip/pip.conf": "[global]\nindex-url = https://legacy.example\n",
        "/home/me/.config/pip/pip.conf": "[global]\nindex_url = https://user.example\n",
    }
    found = configuration(files)
    assert found.get("index-url") == PipSetting("https://user.example", at("/home/me/.config/pip/pip.conf"))
    assert found.get("proxy") == PipSetting("proxy.example:8080", at("/etc/pip.conf"))
    assert found.get("cert") == PipSetting("/xdg.pem", at("/etc/xdg/pip/pip.conf"))


def test_install_wins_over_global_even_of_a_later_file() -> None:
    files = {
        "/etc/pip.conf": "[install]\nfind-links = /srv/wheels\n",
        "/home/me/.config/pip/pip.conf": "[global]\nfind-links = /home/me/wheels\n",
    }
    assert configuration(files).words("find-links") == (("/srv/wheels", at("/etc/pip.conf")),)


def test_variables_win_over_files() -> None:
    files = {"/etc/pip.conf": "[global]\nfind-links =\n    /a\n    /b\n"}
    assert configuration(files).words("find-links") == (("/a", at("/etc/pip.conf")), ("/b", at("/etc/pip.conf")))
    found = configuration(files, {"PIP_FIND_LINKS": "/c /d"})
    assert found.words("find-links") == (("/c", "PIP_FIND_LINKS"), ("/d", "PIP_FIND_LINKS"))
    assert configuration(files, {"PIP_FIND_LINKS": ""}).words("find-links")[0][0] == "/a"


def test_pip_config_file_and_the_environments_own() -> None:
    files = {"/srv/env/pip.conf": "[global]\nindex-url = https://env.example\n"}
    assert configuration(files, {"VIRTUAL_ENV": "/srv/env"}).get("index-url")
    files["/named.conf"] = "[global]\nindex-url = https://named.example\n"
    found = configuration(files, {"VIRTUAL_ENV": "/srv/env", "PIP_CONFIG_FILE": "/named.conf"})
    assert found.get("index-url") == PipSetting("https://named.example", at("/named.conf"))


def test_a_null_configuration_switches_all_files_off() -> None:
    assert configuration_files({**HOME, "PIP_CONFIG_FILE": os.devnull}, platform="linux") == ()


def test_other_systems_keep_their_files_elsewhere() -> None:
    windows = configuration_files({"USERPROFILE": "C:/Users/me", "APPDATA": "C:/Users/me/AppData"}, platform="win32")
    assert Path("C:/Users/me/AppData/pip/pip.ini") in windows
    assert Path("/Library/Application Support/pip/pip.conf") in configuration_files(HOME, platform="darwin")


def test_switches() -> None:
    assert configuration({"/etc/pip.conf": "[global]\nno-index = true\n"}).on("no-index")
    assert not configuration({}, {"PIP_NO_INDEX": "0"}).on("no-index")


def test_a_broken_file_is_named_with_its_line() -> None:
    with pytest.raises(ConfigurationError, match=re.escape(at("/etc/pip.conf") + ":2")):
        configuration({"/etc/pip.conf": "[global]\nthis is no setting\n"})
    with pytest.raises(ConfigurationError, match=re.escape(at("/etc/pip.conf"))):
        configuration({"/etc/pip.conf": "index-url = https://x.example\n"})


def test_a_percent_sign_is_a_percent_sign() -> None:
    assert configuration({"/etc/pip.conf": "[global]\nindex-url = https://u:p%40w@x.example\n"}).get("index-url") == (
        PipSetting("https://u:p%40w@x.example", at("/etc/pip.conf"))
    )
