"""A container's file system, as far as SageMaker's contract goes: what its processes find under /opt/ml.

Each container has a directory of its own, and its processes see it at the absolute path /opt/ml through a private mount
namespace: nothing appears on the machine itself, and any number of containers run side by side. Where the kernel allows
no such thing, they see the directory where it is: every path handed to them (`seen`) then points there.

    workspace = Workspace(cloud.directory("jobs", "training", name, "algo-1"))
    workspace.real("/opt/ml/model")     # where this server writes what the container reads there
    workspace.seen("/opt/ml/model")     # what the container is told: the same, or the real path without namespaces
    workspace.enter(["python", "x.py"], cwd="/opt/ml/code")    # the command that starts in it (see Process.start)
"""

import functools
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from localaws.jobs.limits import memory_mb

ROOT = "/opt/ml"
_UNSHARE = ["unshare", "--mount", "--propagation", "private"]
_UNSHARE_USER = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"]
# The write end of standard input stays with this server: when it is gone, however it went, so is the process group.
_FOLLOW_THE_SERVER = """exec 3<&0 </dev/null
( ( trap '' TERM INT; exec >/dev/null 2>&1; read -r _ <&3; kill -KILL 0 ) & )
exec 3<&-"""

Entrance = Callable[["Workspace", str], list[str]]


@dataclass(frozen=True)
class Workspace:
    """One container's files, under `directory` (which exists). `hosts`: names it can look up, with their addresses.

    `opt`: directories that it sees under /opt besides `ml`, by the name they have there.
    """

    directory: Path
    hosts: Mapping[str, str] = field(default_factory=dict)
    opt: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("ml", "opt", "home"):
            (self.directory / name).mkdir(exist_ok=True)

    def real(self, path: str) -> Path:
        """Where on this machine the container's `path` is. ValueError when it is not under /opt/ml."""
        if not is_inside(path):
            raise ValueError(f"{path} is not under {ROOT}")
        return self.directory / "ml" / PurePosixPath(path).relative_to(ROOT)

    def seen(self, text: str) -> str:
        """`text`, a path or an argument holding one, as the container must be told it."""
        if not entrance():
            for name, place in self.mounts().items():
                text = text.replace(f"/opt/{name}", str(place))
        return text

    def mounts(self) -> dict[str, Path]:
        """What it sees of its own under /opt."""
        return {"ml": self.directory / "ml", **self.opt}

    def enter(self, command: Sequence[str], cwd: str = ROOT) -> list[str]:
        """The command that runs `command` in here, with the container's `cwd`; for Process.start."""
        limit = f"ulimit -d {memory * 1024}\n" if (memory := memory_mb()) else ""
        start = f'cd {shlex.quote(self.seen(cwd))}\n{_FOLLOW_THE_SERVER}\n{limit}exec "$@"'
        way_in = entrance() or _stay_outside
        return [*way_in(self, start), "sh", *(self.seen(argument) for argument in command)]


def is_inside(path: str, root: str = ROOT) -> bool:
    """Whether a container's path is under /opt/ml, or under `root`."""
    return ".." not in PurePosixPath(path).parts and PurePosixPath(path).is_relative_to(root)


def beginning(file: Path, length: int) -> str:
    """The first characters of a file that a container wrote; nothing when it wrote none."""
    if not file.is_file():
        return ""
    with file.open(errors="replace") as text:
        return text.read(length)


@functools.cache
def entrance() -> Entrance | None:
    """The first way to mount a directory at /opt/ml that works here, tried once; None when none does."""
    return next((way for way in (_unshare, _unshare_as_user, _bubblewrap) if _works(way)), None)


def _works(way: Entrance) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(Path(scratch))
        workspace.real(f"{ROOT}/probe").touch()
        try:
            command = way(workspace, f"test -f {ROOT}/probe")
            return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False


def _unshare(workspace: Workspace, script: str) -> list[str]:
    return [*_UNSHARE, "sh", "-c", _with_mounts(workspace, script)]


def _unshare_as_user(workspace: Workspace, script: str) -> list[str]:
    return [*_UNSHARE_USER, "sh", "-c", _with_mounts(workspace, script)]


def _with_mounts(workspace: Workspace, script: str) -> str:
    """A shell script that lays out the mounts of a fresh namespace, then goes on with `script`.

    /opt/ml need not exist: a new /opt is put together from the entries of the old one, `ml` added, and laid over it.
    """
    staging = workspace.directory / "opt"
    mounts = [["mount", "-t", "tmpfs", "localaws", str(staging)]]
    for entry in _neighbours(workspace):
        place = str(staging / entry.name)
        if entry.is_symlink():
            mounts.append(["ln", "-s", str(entry.readlink()), place])
        else:
            mounts += [["mkdir" if entry.is_dir() else "touch", place], ["mount", "--rbind", str(entry), place]]
    for name, own in workspace.mounts().items():
        mounts += [["mkdir", str(staging / name)], ["mount", "--bind", str(own), str(staging / name)]]
    mounts.append(["mount", "--rbind", str(staging), "/opt"])
    if workspace.hosts:
        mounts.append(["mount", "--bind", _hosts_file(workspace), "/etc/hosts"])
    return "\n".join(["set -e", *(shlex.join(mount) for mount in mounts), "set +e", script])


def _bubblewrap(workspace: Workspace, script: str) -> list[str]:
    mounts = ["--dev-bind", "/", "/", "--tmpfs", "/opt"]
    for entry in _neighbours(workspace):
        mounts += ["--dev-bind", str(entry), str(entry)]
    for name, own in workspace.mounts().items():
        mounts += ["--bind", str(own), f"/opt/{name}"]
    if workspace.hosts:
        mounts += ["--bind", _hosts_file(workspace), "/etc/hosts"]
    return ["bwrap", *mounts, "sh", "-c", script]


def _stay_outside(workspace: Workspace, script: str) -> list[str]:
    return ["sh", "-c", script]


def _neighbours(workspace: Workspace) -> list[Path]:
    opt, own = Path("/opt"), workspace.mounts()
    return [entry for entry in sorted(opt.iterdir()) if entry.name not in own] if opt.is_dir() else []


def _hosts_file(workspace: Workspace) -> str:
    path = workspace.directory / "hosts"
    lines = [Path("/etc/hosts").read_text(), *(f"{address} {name}" for name, address in workspace.hosts.items())]
    path.write_text("\n".join(lines) + "\n")
    return str(path)
