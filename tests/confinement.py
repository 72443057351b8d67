"""A process as a container of docker-compose.yaml has it: all read-only but what it declares, and no capability.

Needs root, and a machine that lets it have a mount namespace of its own: nothing of it is seen outside.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

PLACE = Path("/mnt")  # where the process sees the directory that it is given

SCRATCH = "mode=1777,nosuid,nodev,noexec"  # as Docker mounts a tmpfs
READ_ONLY = """set -e
while read -r _ _ _ _ place _; do
    case $place in /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) ;; *) mount -o remount,bind,ro "$place" ;; esac
done </proc/self/mountinfo"""
APART = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
WITHOUT_RIGHTS = 'exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"'


def confined(
    command: list[str], directory: Path, volumes: Mapping[str, tuple[str, bool]], scratch: Iterable[str]
) -> list[str]:
    """`command`, with `directory` at PLACE, and able to write to nothing but what it is given.

    `volumes`: by the place that each is mounted at, its path in `directory` and whether it may be written to.
    `scratch`: places for fresh file systems in memory.
    """
    mounts = [["mount", "--rbind", str(directory), str(PLACE)]]
    mounts += [["mount", "-t", "tmpfs", "-o", SCRATCH, "scratch", place] for place in sorted(scratch)]
    for place, (path, writable) in sorted(volumes.items()):
        mounts += [["mkdir", "-p", place], ["mount", "--bind", str(PLACE / path), place]]
        mounts += [["mount", "-o", "remount,bind,rw", place]] if writable else []
    script = "\n".join([READ_ONLY, *map(shlex.join, mounts), WITHOUT_RIGHTS])
    return [*APART, script, "sh", *command]


def _possible() -> bool:
    """Whether this machine lets its root do so; not every container does."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    return subprocess.run([*APART, READ_ONLY], capture_output=True, check=False).returncode == 0


POSSIBLE = _possible()
