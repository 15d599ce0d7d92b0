"""Call gpuenv on a host and hand its answer back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tool
short_description: Call gpuenv on a host
version_added: 0.1.0
description:
  - Calls C(gpuenv) in its folder on the host and returns what it printed as JSON.
  - Everything it writes stays in that folder. No privileges are needed, and no network.
author: The gpuenv authors (@gpuenv)
options:
  home:
    description: gpuenv's folder on the host.
    type: path
    required: true
  verb:
    description:
      - V(detect) and V(check) change nothing; V(evidence) reads what the last proof wrote.
      - V(health) runs DCGM's level 1, nvbandwidth and nccl-tests where they are installed.
      - V(create) builds where something changed; V(verify) proves again what stands there.
    type: str
    choices: [detect, create, verify, check, evidence, health]
    required: true
  profile:
    description: The profile; its lock lies in C(lockfiles).
    type: str
    default: auto
  store:
    description: The folder of kept wheels, where it is not the one in O(home).
    type: path
    required: false
  arguments:
    description: Further words of the command.
    type: list
    elements: str
    default: []
  with_files:
    description: Return the files of the evidence with the answer of V(create) and V(verify); V(evidence) always does.
    type: bool
    default: false
attributes:
  check_mode:
    description: V(create) says what it would do; V(verify) and V(health) do nothing.
    support: full
  diff_mode:
    description: V(create) shows the packages that it would install.
    support: partial
"""

EXAMPLES = r"""
- name: What this host is
  gpuenv.fleet.tool:
    home: ~/gpuenv
    verb: detect
"""

RETURN = r"""
envelope:
  description: The object that C(gpuenv --json) printed.
  returned: when gpuenv was called
  type: dict
files:
  description: The files of the evidence by name.
  returned: for V(evidence), and where O(with_files) asks for it
  type: dict
pythons:
  description: Minor versions of Python that are found on the host.
  returned: for V(detect)
  type: list
  elements: str
folder:
  description: What tells gpuenv's folder from that of other hosts; two that say the same share a disk.
  returned: for V(detect)
  type: str
health:
  description: The output of each program that is installed, by its name.
  returned: for V(health)
  type: dict
"""

import os
import shutil
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpuenv.fleet.plugins.module_utils import host

PROGRAMS = {
    "dcgm": ["dcgmi", "diag", "-r", "1", "--json"],
    "nvbandwidth": ["nvbandwidth", "--json"],
    "nccl-tests": ["all_reduce_perf", "-b", "64M", "-e", "1G", "-f", "2"],
}
SECONDS = 600


def evidence(home, profile):
    """The files of the last proof; empty where there was none."""
    folder, found = os.path.join(home, "evidence", profile), {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                found[name] = file.read()
    return found


def health(cards):
    """What each program that is installed says; one that hangs is ended, and says so."""
    found = {}
    for name, words in PROGRAMS.items():
        program = shutil.which(words[0])
        if program is None:
            continue
        more = ["-g", str(cards)] if name == "nccl-tests" else []
        try:
            done = subprocess.run(
                [program, *words[1:], *more], capture_output=True, text=True, timeout=SECONDS, check=False
            )
            found[name] = done.stdout or done.stderr
        except subprocess.TimeoutExpired:
            found[name] = f"it took more than {SECONDS} seconds"
    return found


def words_of(module, store):
    verb, profile = module.params["verb"], module.params["profile"]
    if verb == "detect":
        return ["detect"]
    if verb == "check":
        return ["check", f"lockfiles/pylock.{profile}.toml", *module.params["arguments"]]
    common = ["--profile", profile, "--offline", "--store", store]
    if verb == "create":
        return ["create", *common, *(["--dry-run"] if module.check_mode else []), *module.params["arguments"]]
    # Into the folder that create wrote its proof into: the last one counts.
    return ["verify", "--profile", profile, "--evidence", f"evidence/{profile}", *module.params["arguments"]]


def main():
    module = AnsibleModule(
        argument_spec={
            "home": {"type": "path", "required": True},
            "verb": {
                "type": "str",
                "required": True,
                "choices": ["detect", "create", "verify", "check", "evidence", "health"],
            },
            "profile": {"type": "str", "default": "auto"},
            "store": {"type": "path"},
            "arguments": {"type": "list", "elements": "str", "default": []},
            "with_files": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    home, verb, profile = (module.params[name] for name in ("home", "verb", "profile"))
    home = os.path.abspath(home)
    if verb == "evidence":
        module.exit_json(changed=False, files=evidence(home, profile))
    if module.check_mode and verb in ("verify", "health"):
        module.exit_json(changed=False, skipped=True, msg="nothing is proved in check mode")
    if verb == "health":
        envelope, _ = host.call(home, ["detect"])
        module.exit_json(changed=False, health=health(len(envelope.get("data", {}).get("gpus", ())) or 1))
    started = time.monotonic()
    envelope, code = host.call(home, words_of(module, module.params["store"] or os.path.join(home, "store")))
    result = {"envelope": envelope, "changed": False, "seconds": round(time.monotonic() - started, 3)}
    if verb == "detect":
        result["pythons"] = host.pythons(home)
        result["folder"] = host.identity(home)
    if verb == "create":
        data = envelope.get("data", {})
        result["changed"] = code == 0 and not data.get("up_to_date", False)
        if module._diff and result["changed"]:
            packages = data.get("packages", ())
            after = "".join("{}=={}\n".format(each["name"], each["version"]) for each in packages)
            result["diff"] = {"before": "", "after": after, "after_header": data.get("environment", "")}
    if verb in ("create", "verify") and module.params["with_files"] and not module.check_mode:
        folder = profile if code in (0, 1) or verb == "verify" else ""
        result["files"] = evidence(home, folder + (".failed" if code == 1 and verb == "create" else ""))
    if code != 0:
        module.fail_json(msg=host.message(envelope), code=code, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
