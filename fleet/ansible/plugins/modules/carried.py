"""Lay out the files that a build needs, and say which wheels of the lock are not there yet."""

from __future__ import annotations

DOCUMENTATION = r"""
module: carried
short_description: Lay out what a build of gpuenv needs on a host
version_added: 0.1.0
description:
  - Writes the lock and the files that belong to it into gpuenv's folder on the host, where they differ.
  - Names the wheels of the lock that the folder's store does not hold yet; C(ansible.builtin.copy) brings those.
author: The gpuenv authors (@gpuenv)
options:
  home:
    description: gpuenv's folder on the host.
    type: path
    required: true
  files:
    description: Texts by their path, relative to O(home).
    type: dict
    required: true
  lock:
    description: Which of O(files) is the lock.
    type: str
    required: true
  store:
    description: The store whose wheels are asked for, where it is not the one in O(home).
    type: path
    required: false
attributes:
  check_mode:
    description: Says what would be written.
    support: full
  diff_mode:
    description: Shows what differs.
    support: full
"""

EXAMPLES = r"""
- name: Lay out the lock
  gpuenv.fleet.carried:
    home: ~/gpuenv
    lock: lockfiles/pylock.auto.toml
    files:
      lockfiles/pylock.auto.toml: "{{ lookup('ansible.builtin.file', 'carried/lockfiles/pylock.auto.toml') }}"
"""

RETURN = r"""
missing:
  description: The wheels that are not in the store there, as paths relative to it.
  returned: always
  type: list
  elements: str
lock_sha256:
  description: The digest of the lock.
  returned: always
  type: str
"""

import hashlib
import os
import tempfile
import tomllib

from ansible.module_utils.basic import AnsibleModule


def wheels(text):
    """The wheels of a lock: their path in a store, and their size where the lock says it."""
    for package in tomllib.loads(text).get("packages", ()):
        for wheel in package.get("wheels", ()):
            digest = wheel["hashes"]["sha256"]
            name = wheel.get("name") or os.path.basename(wheel.get("url") or wheel.get("path", ""))
            yield os.path.join("sha256", digest[:2], digest, name), wheel.get("size")


def inside(home, name):
    """Where a file lies; ``None`` for a name that leads out of the folder."""
    path = os.path.normpath(os.path.join(home, name))
    return path if path.startswith(home + os.sep) else None


def replace(path, text):
    """Write a file in one step."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def main():
    module = AnsibleModule(
        argument_spec={
            "home": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
            "lock": {"type": "str", "required": True},
            "store": {"type": "path"},
        },
        supports_check_mode=True,
    )
    home = os.path.abspath(module.params["home"])
    store = module.params["store"] or os.path.join(home, "store")
    differences = []
    for name, text in sorted(module.params["files"].items()):
        path = inside(home, name)
        if path is None:
            module.fail_json(msg=f"{name} leads out of {home}")
        before = ""
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace", newline="") as file:
                before = file.read()
        if before != text:
            header = {"before_header": path, "after_header": path}
            differences.append(dict(header, before=before, after=text))
            if not module.check_mode:
                replace(path, text)
    lock = module.params["files"].get(module.params["lock"])
    if lock is None:
        module.fail_json(msg="{} is none of the files".format(module.params["lock"]))
    missing = []
    for name, size in wheels(lock):
        path = os.path.join(store, name)
        if not os.path.isfile(path) or (size is not None and os.path.getsize(path) != size):
            missing.append(name)
            if not module.check_mode:
                os.makedirs(os.path.dirname(path), exist_ok=True)
    module.exit_json(
        changed=bool(differences),
        diff=differences,
        missing=sorted(missing),
        lock_sha256=hashlib.sha256(lock.encode()).hexdigest(),
    )


if __name__ == "__main__":
    main()
