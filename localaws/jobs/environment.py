"""What a container of a PyTorch deep learning image finds around it. It runs on this server's own Python."""

import re
import sys
from pathlib import Path

from localaws.cloud import Cloud, Credentials
from localaws.containers import python
from localaws.jobs.limits import threads
from localaws.jobs.workspace import Workspace

_PYTHON = "/opt/ml/environment"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def image_problem(image: str) -> str | None:
    """Why an image cannot run here; None for any whose repository is one of PyTorch's (`.../pytorch-training:2.6`)."""
    repository = re.split("[:@]", image.rsplit("/", 1)[-1])[0]
    if "pytorch" in repository:
        return None
    return (
        f"Cannot run the image {image}: the local AWS runs only PyTorch deep learning images "
        "(a repository such as pytorch-training or pytorch-inference)"
    )


def container_environment(cloud: Cloud, credentials: Credentials, workspace: Workspace, share: int) -> dict[str, str]:
    """The variables of a container that shares the cores for a job with `share` - 1 others like it.

    Nothing of this server's own environment is in it.
    """
    python.lay_out(workspace.real(_PYTHON))
    return {
        "PATH": f"{workspace.seen(_PYTHON)}/bin:{Path(sys.executable).parent}:{_SYSTEM_PATH}",
        "HOME": str(workspace.directory / "home"),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(max(1, threads() // share)),
        # The cores are everybody's here: a thread that spins while it waits keeps the one it waits for from running.
        "OMP_WAIT_POLICY": "PASSIVE",
        **cloud.environment(credentials),
    }
