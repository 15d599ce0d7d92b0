"""Where there is no wheel of a package: the command that builds it from its source, where there is source."""

from __future__ import annotations

from collections.abc import Sequence

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from gpuenv.errors import PackageIndexError
from gpuenv.index.config import Place, SourcePlan
from gpuenv.index.source_archives import read_archives
from gpuenv.knowledge.source_builds import namesake_of
from gpuenv.select.source_archives import choose_archive
from gpuenv.steps.advice import retyped
from gpuenv.steps.context import Context
from gpuenv.steps.sources import open_http, source_plan


def source_hints(
    context: Context, names: Sequence[str], texts: Sequence[str], *, profile: str, python: str | None
) -> tuple[str, ...]:
    """One hint for those of ``names`` that an index has source of, in the range that ``texts`` ask for."""
    asked = {canonicalize_name(named.name): named.specifier for text in texts if (named := Requirement(text))}
    found = [
        name
        for name in dict.fromkeys(map(canonicalize_name, names))
        if name not in map(canonicalize_name, context.options.build)
        and _has_source(context, name, asked.get(name, SpecifierSet()), python)
    ]
    if not found:
        return ()
    command = retyped(context.words, {"build": (*context.options.build, *found)}, profile=profile)
    what = "it from its source" if len(found) == 1 else "them from their source"
    return (f"Build {what} on this machine, which runs its own code and takes the compilers it needs: `{command}`",)


def _has_source(context: Context, name: str, specifier: SpecifierSet, python: str | None) -> bool:
    for place in places_of_source(source_plan(context), name):
        try:
            listed = read_archives(place, open_http(context), name)
        except PackageIndexError:
            continue
        if choose_archive(listed, specifier, python=python, cutoff=context.options.exclude_newer) is not None:
            return True
    return False


def places_of_source(plan: SourcePlan, project: str) -> list[Place]:
    """Where source is looked for: what a person configured, then the package indexes, where the name is not somebody
    else's."""
    default = plan.default_index or plan.fallback()
    if namesake_of(project) is not None:
        return [*plan.find_links]
    return [*plan.find_links, *([default] if default is not None else []), *plan.extra_indexes]


def namesake_words(project: str) -> tuple[str, ...]:
    """Why no package index is asked for the source of a project; empty where they are."""
    namesake = namesake_of(project)
    return () if namesake is None else (f"no package index was asked: {namesake}",)
