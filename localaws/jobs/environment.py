"""What a container of a PyTorch deep learning image finds around it. It runs on this server's own Python."""

import os
import re
import sys
from pathlib import Path

from localaws.cloud import Cloud, Credentials
from localaws.jobs.workspace import Workspace

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


def cpu_count() -> int:
    """The cores this server may use."""
    return len(os.sched_getaffinity(0))


def container_environment(cloud: Cloud, credentials: Credentials, workspace: Workspace, share: int) -> dict[str, str]:
    """The variables of a container that shares this machine's cores with `share` - 1 others like it.

    Nothing of this server's own environment is in it.
    """
    return {
        "PATH": f"{Path(sys.executable).parent}:{_SYSTEM_PATH}",
        "HOME": str(workspace.directory / "home"),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(max(1, cpu_count() // share)),
        **cloud.environment(credentials),
    }
