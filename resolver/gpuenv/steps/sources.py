"""The sources of one run: their order, the client that asks them, and what uv has to be told of them.

Each is made once: a page that ten profiles want is asked for once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gpuenv import knowledge as tables
from gpuenv.errors import IndexUnreachableError, UvError
from gpuenv.index.config import Place, SourcePlan, plan_sources
from gpuenv.model.asked import NamedSource
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import Catalog, Channel, SourceKind
from gpuenv.select.request import Request
from gpuenv.steps.context import Context
from gpuenv.steps.project import asked_of
from gpuenv.system.files import present

if TYPE_CHECKING:  # who installs from a lock asks nobody
    from gpuenv.net.client import Client


def source_plan(context: Context) -> SourcePlan:
    """Put the sources in order: options, PyTorch's own, what pip's configuration names, the default index."""
    options, named = context.options, asked_of(context).sources
    return context.run.once(
        lambda: _planned(context, named),
        by=source_plan,
        key=(options.torch_index, options.index, options.find_links, options.allow_hosts, named),
    )


def _planned(context: Context, named: Sequence[NamedSource]) -> SourcePlan:
    """Make the plan; what a file of the project chose is said, with ``-q`` too: nobody typed it."""
    import sys

    options = context.options
    plan = plan_sources(
        torch_index=options.torch_index,
        index=options.index,
        find_links=options.find_links,
        allow_hosts=options.allow_hosts,
        origins=options.origins,
        environ=context.environ,
        platform=sys.platform,
        folder=context.project,
        default_index_url=lambda: _ecosystem_index(context),
    )
    plan = _with_named(context, _without_missing(context, plan), named)
    if "index" in options.by_project and plan.default_index is not None:
        context.reporter.notice(f"packages beside torch's come from {plan.default_index.words}")
    if "find-links" in options.by_project:
        origin = options.origins["find-links"]
        for place in (each for each in plan.find_links if each.configured_by == origin):
            context.reporter.notice(f"wheels come from {place.words}")
    if "allow-host" in options.by_project:
        hosts = ", ".join(options.allow_hosts)
        context.reporter.notice(f"torch's index may lead to {hosts} ({options.origins['allow-host']})")
    return plan


def _with_named(context: Context, plan: SourcePlan, named: Sequence[NamedSource]) -> SourcePlan:
    """Add the indexes and pages that the project names for packages outside the family, and say so. Where the command
    line names an index, that stands alone."""
    if context.options.index is not None or not named:
        return plan
    places: dict[bool, list[Place]] = {False: [], True: []}
    for each in named:
        kind: SourceKind = "find-links" if each.links else "package-index"
        place = Place(kind=kind, location=each.address.below(), configured_by=each.place)
        what = f"{' and '.join(each.packages)} and nothing else" if each.packages else "packages beside torch's"
        context.reporter.notice(f"{what} may come from {place.words}")
        if not each.packages:
            places[each.links].append(place)
    return replace(
        plan, extra_indexes=(*plan.extra_indexes, *places[False]), find_links=(*plan.find_links, *places[True])
    )


def _without_missing(context: Context, plan: SourcePlan) -> SourcePlan:
    """Leave out folders of pip's configuration that are not on this machine, and say so; raises
    :class:`~gpuenv.errors.IndexUnreachableError` for one that an option names."""
    missing = [each for each in plan.find_links if each.location.is_local and not present(each.location.local)]
    for place in missing:
        if place.configured_by == context.options.origins.get("find-links", "--find-links"):
            raise IndexUnreachableError(
                f"there is no such folder: {place.words}",
                hints=("Name one that is here, or leave the option out",),
            )
        context.reporter.warn(f"there is no such folder: {place.words}; nothing is taken from it")
    if not missing:
        return plan
    torch = tuple(each for each in plan.torch if each not in missing)
    return replace(plan, torch=torch, find_links=tuple(each for each in plan.find_links if each not in missing))


def _ecosystem_index(context: Context) -> str | None:
    from gpuenv.environment.compiling import default_index
    from gpuenv.steps.pythons import uv_of

    try:
        return default_index(uv_of(context), reporter=context.reporter)
    except UvError as error:  # what the other sources said counts
        context.reporter.detail(error.message)
        return None


def family_of(profile: Profile, family: frozenset[str], request: Request) -> tuple[str, ...]:
    """Name the projects that only the torch source may serve, of a profile, a project and what their packages need,
    sorted."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    stated = [row.text for row in request.stated if row.role == "requirement"]
    texts = (*profile.packages, *profile.optional_packages, *request.pins, *stated)
    names = {canonicalize_name(Requirement(text).name) for text in texts}
    return tuple(sorted(names & family))


def open_http(context: Context) -> Client:
    """The run's client, as the options and pip's configuration want it. It is shared: do not close it."""
    from gpuenv.net.client import Client

    plan = source_plan(context)
    return context.run.once(
        lambda: Client(
            cache=context.cache / "http",
            environ=context.environ,
            access=plan.access,
            sources=plan.locations,
            may_follow=plan.may_follow,
            offline=context.offline,
            refresh=context.refresh,
        ),
        by=open_http,
        key=(plan.access, plan.locations),
    )


def ask(
    context: Context, place: Place, *, projects: Sequence[str], channels: Sequence[Channel] = ("stable",)
) -> Catalog:
    """Ask one source for projects. At a mirror that lists no folders, variants that are known are looked for: the one
    that was asked for, CPU, then the newest."""
    from gpuenv.index.source import load_source

    known = {variant for _, variant, _ in tables.load().kernels} - {"cpu"}
    newest = sorted(known, key=lambda name: (len(name), name), reverse=True)
    wanted = [context.options.variant] if context.options.variant in known else []
    variants = tuple(dict.fromkeys([*wanted, "cpu", *newest]))
    return load_source(
        place, open_http(context), projects=projects, channels=channels, variants=variants, reporter=context.reporter
    )


def uv_environment(context: Context) -> dict[str, str]:
    """What of pip's configuration uv has to be told: it reads none of it. The person's own variables win."""
    plan = source_plan(context)
    found: dict[str, str] = {}
    if plan.access.certificates and not context.environ.get("SSL_CERT_FILE"):
        found["SSL_CERT_FILE"] = plan.access.certificates
    if plan.access.client_certificate and not context.environ.get("SSL_CLIENT_CERT"):
        found["SSL_CLIENT_CERT"] = plan.access.client_certificate
    if plan.access.trusted_hosts:
        found["UV_INSECURE_HOST"] = " ".join(plan.access.trusted_hosts)
    if plan.access.proxy:
        for name in ("HTTPS_PROXY", "HTTP_PROXY"):
            if not (context.environ.get(name) or context.environ.get(name.lower())):
                found[name] = plan.access.proxy.with_secrets()
    return found


def uv_credentials(context: Context) -> dict[str, str]:
    """The credentials of the sources, for an installation from a lock: uv uses those of an index for every file on its
    server, and asks no index there."""
    holders = [each.with_secrets() for each in source_plan(context).locations if each.credentials is not None]
    return {"UV_INDEX": " ".join(holders)} if holders else {}
