"""A container's own Python: a virtual environment over this server's, so that what a job installs goes with the job.

Scripts call pip themselves, and so does the SageMaker SDK's script in a job's `sm_drivers` channel; neither may change
what this server runs on. It is laid out by hand, in a millisecond, where the module venv takes a tenth of a second.
"""

import contextlib
import shutil
import sys
import sysconfig
from pathlib import Path

# Commands that this server's environment has too, but with its own Python written into them.
_COMMANDS = {"pip": "pip", "pip3": "pip", "torchrun": "torch.distributed.run"}
_STARTED_WITH = Path(__file__).with_name("one_machine.py")


def lay_out(place: Path) -> None:
    """Make it at `place`, or leave it as it is if it is there; its commands are in `bin`."""
    interpreter = Path(sys.executable).resolve()
    packages = place / Path(sysconfig.get_path("purelib")).relative_to(sysconfig.get_path("data"))
    packages.mkdir(parents=True, exist_ok=True)
    # All that is installed here is installed there, and pip leaves it alone.
    parents = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    (packages / "parent.pth").write_text("\n".join([*parents, f"import {_STARTED_WITH.stem}"]))
    shutil.copyfile(_STARTED_WITH, packages / _STARTED_WITH.name)
    (place / "pyvenv.cfg").write_text(f"home = {interpreter.parent}\ninclude-system-site-packages = false\n")
    (place / "bin").mkdir(exist_ok=True)
    for name in ("python", "python3", interpreter.name):
        with contextlib.suppress(FileExistsError):
            (place / "bin" / name).symlink_to(interpreter)
    for name, module in _COMMANDS.items():
        command = place / "bin" / name
        command.write_text(f'#!/bin/sh\nexec "${{0%/*}}/python" -m {module} "$@"\n')
        command.chmod(0o755)
