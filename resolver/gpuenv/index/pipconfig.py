"""Reads pip's configuration without running pip: files and ``PIP_*`` variables, each value with where it stands.

The rules are pip's ("Configuration", pip.pypa.io): files of the system, then of the user, then of the environment, then
``PIP_CONFIG_FILE``, then variables, later ones win; within files ``[install]`` wins over ``[global]``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.errors import ConfigurationError
from gpuenv.system import files
from gpuenv.system.home import home_of

_KEYS = frozenset(
    {
        *("index-url", "extra-index-url", "find-links", "no-index", "cert", "client-cert", "proxy", "trusted-host"),
        *("timeout", "default-timeout"),
    }
)
_SECTIONS = ("global", "install")


@dataclass(frozen=True, slots=True)
class PipSetting:
    """A value of pip's configuration and the file or variable that holds it."""

    value: str
    origin: str

    def words(self) -> tuple[str, ...]:
        """The items of a list value."""
        return tuple(self.value.split())


@dataclass(frozen=True, slots=True)
class PipConfiguration:
    """The settings of pip that concern where packages come from, by pip's own names (``index-url``)."""

    settings: Mapping[str, PipSetting]

    def get(self, key: str) -> PipSetting | None:
        """The setting, or ``None`` where it is not made."""
        return self.settings.get(key)

    def words(self, key: str) -> tuple[tuple[str, str], ...]:
        """The items of a list setting, each with its origin."""
        setting = self.settings.get(key)
        return tuple((word, setting.origin) for word in setting.words()) if setting else ()

    def on(self, key: str) -> bool:
        """Whether a switch is on."""
        setting = self.settings.get(key)
        return setting is not None and setting.value.strip().lower() in ("1", "true", "yes", "on", "y", "t")


def read_text(path: Path) -> str | None:
    """The text of a file; ``None`` where there is none or it may not be read, as pip passes such files over.

    One that is not UTF-8 is an error, as with pip: passed over, the wheels would come from somewhere else.
    """
    if not os.access(path, os.R_OK):
        return None
    return files.read_text(path, what="pip's configuration", most=files.LARGEST)


def read_pip_configuration(
    environ: Mapping[str, str], *, platform: str, read: Callable[[Path], str | None] = read_text
) -> PipConfiguration:
    """Read everything pip would read. ``platform`` is ``sys.platform``.

    Raises :class:`ConfigurationError` for a file that is not an INI file, with file and line, as pip refuses it too.
    """
    sections: dict[str, dict[str, PipSetting]] = {name: {} for name in _SECTIONS}
    for path in configuration_files(environ, platform=platform):
        text = read(path)
        if text is None:
            continue
        for section, values in _parse(text, path).items():
            sections.setdefault(section, {}).update(values)
    merged = {**sections["global"], **sections["install"]}
    for name, value in environ.items():
        key = name.removeprefix("PIP_").lower().replace("_", "-")
        if name.startswith("PIP_") and key in _KEYS and value.strip():
            merged[key] = PipSetting(value, name)
    return PipConfiguration(dict(sorted(merged.items())))


def configuration_files(environ: Mapping[str, str], *, platform: str) -> tuple[Path, ...]:
    """The files pip reads, least important first."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named and named == os.devnull:
        return ()
    home = Path(home_of(environ, platform=platform) or "/nonexistent")
    if platform == "win32":
        system = [Path(environ.get("PROGRAMDATA", "C:/ProgramData")) / "pip/pip.ini"]
        user = [home / "pip/pip.ini", Path(environ.get("APPDATA", str(home))) / "pip/pip.ini"]
    else:
        shared = environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
        system = [Path(folder) / "pip/pip.conf" for folder in shared.split(":") if folder]
        system = [*reversed(system), Path("/etc/pip.conf")]
        own = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"
        if platform == "darwin":
            system = [Path("/Library/Application Support/pip/pip.conf"), *system]
            support = home / "Library/Application Support/pip"
            own = support / "pip.conf" if support.is_dir() else own
        user = [home / ".pip/pip.conf", own]
    active = environ.get("VIRTUAL_ENV")
    site = [Path(active) / ("pip.ini" if platform == "win32" else "pip.conf")] if active else []
    return (*system, *user, *site, *([Path(named)] if named else []))


def _parse(text: str, path: Path) -> dict[str, dict[str, PipSetting]]:
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text, source=str(path))
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or next(iter(getattr(error, "errors", [])), (None,))[0]
        place = f"{path}:{line}" if line else str(path)
        raise ConfigurationError(
            f"{place} is not a configuration that pip can read", causes=[str(error).splitlines()[0]]
        ) from None
    found: dict[str, dict[str, PipSetting]] = {}
    for section in _SECTIONS:
        if parser.has_section(section):
            for raw, value in parser.items(section):
                key = raw.lower().replace("_", "-").removeprefix("--")
                if key in _KEYS and value.strip():
                    found.setdefault(section, {})[key] = PipSetting(value, str(path))
    return found
