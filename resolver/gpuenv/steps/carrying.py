"""What of a project goes along with a lock to a machine that has nothing of it."""

from __future__ import annotations

from pathlib import Path

from gpuenv import profile as profiles
from gpuenv.lock.codec import lock_filename
from gpuenv.net.location import secrets_of
from gpuenv.steps.context import Context
from gpuenv.steps.lock_file import FOLDER
from gpuenv.system.files import present, read_bytes, write_atomic
from gpuenv.verify.evidence import FILES as EVIDENCE_FILES


def carry_along(context: Context, folder: Path, lock: Path, *, name: str) -> tuple[str, ...]:
    """Lay the lock as it stands here, its profile, project and evidence into a folder; returns their names there.

    The lock gets the name that profile ``name`` looks for. A file that holds a password stays here, and that is said.
    """
    files = {lock: f"{FOLDER}/{lock_filename(name)}"}
    for row in profiles.find_all(project=context.project, user=context.config):
        files |= {row.path: f"profiles/{row.path.name}"} if row.name == name else {}
    wanted = [*context.options.requirements, *([] if context.options.no_project else ["pyproject.toml"])]
    files |= {context.project / each: each for each in wanted if not Path(each).is_absolute()}
    files |= {context.project / f"evidence/{name}/{each}": f"evidence/{name}/{each}" for each in EVIDENCE_FILES}
    carried = []
    for source, place in files.items():
        if not present(source):
            continue
        body = read_bytes(source, what="the file to carry")
        if any(secrets_of(word) for word in body.decode(errors="replace").split() if "://" in word):
            context.reporter.warn(f"{context.shown(source)} holds a password in an address: it is not in the export")
            continue
        write_atomic(folder / place, body, what="the export")
        carried.append(place)
    return tuple(carried)
