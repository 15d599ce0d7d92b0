"""Lines of the package, each with a wrong one in its place: what no test notices there is held by nobody.

``tests/mutation.py lines`` puts one at a time into a copy of the package and counts the tests that fail.
"""

from __future__ import annotations

from dataclasses import dataclass

STILL_MEANT = ("unit/steps/test_lock.py",)
CHECK = ("unit/lock/test_check.py",)
LOCK_CHECK = ("functional/cli/test_two_days.py",)
LOCK_OPTIONS = ("functional/cli/test_lock_options.py",)
INTERPRETERS = ("functional/environment/test_interpreters.py",)
SOUNDNESS = ("unit/lock/test_soundness.py",)
NETWORK = ("functional/test_network.py",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """``old`` stands exactly once in ``file`` (below the package) and becomes ``new``; ``tests`` should notice."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def _edit(what: str, file: str, old: str, new: str, tests: tuple[str, ...]) -> Edit:
    return Edit(what=what, file=file, old=old, new=new, tests=tests)


EDITS: dict[str, Edit] = {
    "driver-floor": _edit(
        "a driver exactly at its floor is too old",
        "knowledge/drivers.py",
        "if compare_versions(version, least) >= 0:",
        "if compare_versions(version, least) > 0:",
        ("unit/knowledge/test_drivers.py", "property/test_driver_rule.py", "unit/lock/test_fit.py"),
    ),
    "downgrade": _edit(
        "a redirect from HTTPS to HTTP is followed",
        "net/client.py",
        'if where.scheme == "https" and following.scheme != "https":',
        "if False:",
        NETWORK,
    ),
    "proxy": _edit(
        "downloads and pages go past the proxy",
        "net/client.py",
        "proxy = proxy_for(where, self.access, self._environ)\n        secure",
        "proxy = None\n        secure",
        NETWORK,
    ),
    "no-proxy": _edit(
        "NO_PROXY is not read",
        "net/access.py",
        'if "no_proxy" in lowered and',
        "if False and",
        ("unit/net/test_access.py", *NETWORK),
    ),
    "netrc": _edit(
        ".netrc is not read for what is asked for",
        "net/client.py",
        "pair = where.credentials or netrc_credentials(where.hostname, self._environ)",
        "pair = where.credentials",
        NETWORK,
    ),
    "sync": _edit(
        "nothing is brought to the disk before the names are exchanged",
        "environment/target.py",
        "    if not synced:\n        sync_filesystem(built)\n",
        "",
        ("unit/environment/test_swap.py",),
    ),
    "sync-once": _edit(
        "what was just built is not brought to the disk where no proof follows",
        "environment/build.py",
        "    targets.sync_filesystem(environment)\n",
        "",
        ("functional/environment/test_build.py",),
    ),
    "sync-after-proof": _edit(
        "what a proof wrote into the environment is not brought to the disk",
        "environment/build.py",
        "synced=not used",
        "synced=True",
        ("functional/environment/test_build.py",),
    ),
    "newest-python": _edit(
        "of two interpreters of one version the older is taken",
        "environment/interpreters.py",
        "return max(fitting, key=lambda each: (each.path is not None, Version(each.version)), default=None)",
        "return min(fitting, key=lambda each: (each.path is None, Version(each.version)), default=None)",
        ("unit/environment/test_facts.py",),
    ),
    "python-order": _edit(
        "the interpreters are listed oldest first",
        "environment/interpreters.py",
        "key=lambda each: Version(each.version), reverse=True",
        "key=lambda each: Version(each.version)",
        INTERPRETERS,
    ),
    "python-here-first": _edit(
        "an interpreter to download is decided for before one that is here",
        "steps/pythons.py",
        "for downloads in (False, True):",
        "for downloads in (True, False):",
        INTERPRETERS,
    ),
    "meant-profile": _edit(
        "a lock of a profile that was changed is still used",
        "steps/lock.py",
        "if lock.inputs.profile_digest != profile_digest(profile):",
        "if False:",
        STILL_MEANT,
    ),
    "meant-python": _edit(
        "a lock for another Python than the one asked for is still used",
        "steps/lock.py",
        "if options.python is not None and options.python != lock.inputs.target.python:",
        "if False:",
        STILL_MEANT,
    ),
    "meant-variant": _edit(
        "a lock of another variant than the one asked for is still used",
        "steps/lock.py",
        "if options.variant is not None and options.variant != decision.variant:",
        "if False:",
        STILL_MEANT,
    ),
    "meant-channel": _edit(
        "a lock of another channel than the one asked for is still used",
        "steps/lock.py",
        'if options.channel in ("stable", "nightly") and options.channel != decision.channel:',
        "if False:",
        STILL_MEANT,
    ),
    "meant-torch": _edit(
        "a lock of another torch than the one asked for is still used",
        "steps/lock.py",
        "return SpecifierSet(options.torch).contains(decision.torch, prereleases=True)",
        "return True",
        STILL_MEANT,
    ),
    "meant-nightly": _edit(
        "a nightly never meets what was asked for of torch",
        "steps/lock.py",
        "return SpecifierSet(options.torch).contains(decision.torch, prereleases=True)",
        "return SpecifierSet(options.torch).contains(decision.torch, prereleases=False)",
        STILL_MEANT,
    ),
    "check-hash": _edit(
        "another hash under the same address is no reason",
        "lock/check.py",
        "if row.sha256 is not None and row.sha256 != package.sha256:",
        "if False:",
        CHECK,
    ),
    "check-size": _edit(
        "another size under the same address is no reason",
        "lock/check.py",
        "elif row.size is not None and package.size is not None and row.size != package.size:",
        "elif False:",
        CHECK,
    ),
    "check-unlisted": _edit(
        "a wheel that is no longer listed is no reason",
        "lock/check.py",
        "for package in unlisted(lock, rows)]",
        "for package in ()]",
        CHECK,
    ),
    "check-machine": _edit(
        "a lock for another machine holds",
        "lock/check.py",
        "if mismatch is not None:",
        "if False:",
        CHECK,
    ),
    "check-profile": _edit(
        "a profile that asks for something else is no reason",
        "lock/check.py",
        "if locked.profile_digest != now.profile_digest:",
        "if False:",
        CHECK,
    ),
    "check-knowledge": _edit(
        "other tables are no reason",
        "lock/check.py",
        "if locked.knowledge != now.knowledge:",
        "if False:",
        CHECK,
    ),
    "check-outdated": _edit(
        "that a lock made now differs is no reason",
        "lock/check.py",
        "    if replacement:\n",
        "    if False:\n",
        CHECK,
    ),
    "check-broken": _edit(
        "a file that is not what was locked may be updated over",
        "lock/check.py",
        'return any(reason.kind == "row-changed" for reason in reasons)',
        "return False",
        CHECK,
    ),
    "check-sound": _edit(
        "a lock that contradicts itself is compared all the same",
        "steps/lock_check.py",
        "    require_sound(context, lock, profile=profile, shown=shown)\n",
        "",
        ("functional/cli/test_lock_edits.py",),
    ),
    "check-as-locked-python": _edit(
        "a check asks for the Python of this machine in place of the lock's",
        "steps/lock_check.py",
        "python=context.options.python or lock.inputs.target.python,",
        "python=context.options.python,",
        LOCK_OPTIONS,
    ),
    "check-as-locked-cutoff": _edit(
        "a check forgets the date that nothing in the lock is newer than",
        "steps/lock_check.py",
        "exclude_newer=context.options.exclude_newer or lock.inputs.cutoff,",
        "exclude_newer=context.options.exclude_newer,",
        LOCK_OPTIONS,
    ),
    "check-gone": _edit(
        "a link that says 404 is not gone",
        "steps/lock_check.py",
        'return "gone" if error.status in (403, 404, 410) else "unknown"',
        'return "unknown"',
        LOCK_CHECK,
    ),
    "check-scope": _edit(
        "a GPU that was left out of the lock counts in its check",
        "steps/lock_check.py",
        "mismatch=fits_machine(lock, in_scope(context, machine.facts), tables.load()),",
        "mismatch=fits_machine(lock, machine.facts, tables.load()),",
        LOCK_OPTIONS,
    ),
    "sound-decided": _edit(
        "a package of another version than was decided is no contradiction",
        "lock/soundness.py",
        "elif package.version != version:",
        "elif False:",
        SOUNDNESS,
    ),
    "sound-variant": _edit(
        "a CPU variant with an accelerator is no contradiction",
        "lock/soundness.py",
        'if (decision.variant == "cpu") != (decision.accelerator == "cpu"):',
        "if False:",
        SOUNDNESS,
    ),
    "sound-family": _edit(
        "a family's package may lose its mark",
        "lock/soundness.py",
        "if belongs and not package.family:",
        "if False:",
        SOUNDNESS,
    ),
    "sound-hosts": _edit(
        "a wheel may come from a host that the lock does not name",
        "lock/soundness.py",
        "if allowed is not None and found not in allowed:",
        "if False:",
        SOUNDNESS,
    ),
    "sound-superfluous": _edit(
        "a package that nothing asks for is no contradiction",
        "lock/soundness.py",
        "for name in sorted(set(have) - reached):",
        "for name in ():",
        SOUNDNESS,
    ),
    "portal": _edit(
        "a page that a redirect led to is kept",
        "net/client.py",
        "if found.url == where.url:  # a redirect",
        "if True:  # a redirect",
        ("functional/test_network.py", "functional/test_client.py"),
    ),
    "redirect-host": _edit(
        "a mirror's wheel is fetched from wherever its server redirects to",
        "net/client.py",
        "if not self._may_follow(where, following):",
        "if False:",
        NETWORK,
    ),
    "download-hash": _edit(
        "a download with another hash than the lock's is kept",
        "net/download.py",
        "if (wanted is None or arrived == wanted) and self.sha256 in (None, found):",
        "if wanted is None or arrived == wanted:",
        ("functional/test_fetch.py",),
    ),
}
