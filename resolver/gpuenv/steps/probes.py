"""The probes that a project brings: ``[tool.gpuenv.probes]`` of ``pyproject.toml``, ``[probes]`` of ``gpuenv.toml``.

They are code of the project, and a cloned one executes nothing unasked: ``--own-probes`` allows them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gpuenv.documents import DocumentError, not_toml, parse_toml
from gpuenv.errors import ConfigurationError
from gpuenv.steps.context import Context
from gpuenv.system.files import present, read_text
from gpuenv.verify.probes import OwnProbe, own_probe

LARGEST = 1 << 20
"""Bytes of the largest file that is read."""


def own_probes(context: Context) -> tuple[OwnProbe, ...]:
    """Read the probes of the project, by distribution; of the two files ``gpuenv.toml`` alone counts where it is there.

    Raises :class:`~gpuenv.errors.ConfigurationError` for what is no function of a file in the project or of a module.
    """
    found = []
    place, table = _table(context.project)
    for project, text in sorted(table.items()):
        probe = own_probe(project, text, folder=str(context.project)) if isinstance(text, str) else None
        if probe is None:
            raise ConfigurationError(
                f"{place}: {project}: must name a function of a file in the project, or of a module",
                hints=('Write it as "probes/mine.py:probe" or "package.module:probe"',),
            )
        file = Path(probe.function.rpartition(":")[0])
        if file.suffix == ".py" and not file.is_file():
            raise ConfigurationError(f"{place}: {project}: there is no file {context.shown(file)}")
        found.append(replace(probe, allowed=context.options.own_probes))
    return tuple(found)


def _table(project: Path) -> tuple[str, dict[str, object]]:
    for name, keys in (("gpuenv.toml", ("probes",)), ("pyproject.toml", ("tool", "gpuenv", "probes"))):
        path = project / name
        if not present(path):
            continue
        text = read_text(path, what="the settings", most=LARGEST)
        try:
            value: object = parse_toml(text)
        except DocumentError as error:
            raise not_toml(str(path), text, error) from error
        for key in keys:
            value = value.get(key, {}) if isinstance(value, dict) else {}
        place = f"{name} [{'.'.join(keys)}]"
        if not isinstance(value, dict):
            raise ConfigurationError(f"{place}: must be a table of distributions and functions")
        return place, value
    return "", {}
