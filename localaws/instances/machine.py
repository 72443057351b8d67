"""An instance as its processes see it: a directory, a Python environment of its own, its role's keys, its power."""

import contextlib
import shutil
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import EvalContext, evaluate
from ministack.services import ec2, iam

from localaws.cloud import Cloud, Credentials
from localaws.containers import python
from localaws.instances import images
from localaws.jobs.clients import assume
from localaws.jobs.process import Process
from localaws.jobs.workspace import Workspace

ENVIRONMENT = "pytorch"  # the deep learning images have theirs at /opt/pytorch
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSTANCE_ID = "AWS_SSM_INSTANCE_ID"  # the variable by which all processes of an instance are known
KEYS_SECONDS = 3600  # of the twelve hours that they are good for, until a command gets new ones
# What an image has and this machine has not, or has for itself only.
PROGRAMS = {
    # Everything on an instance runs as its own root.
    "sudo": """while true; do case "$1" in
  -u|-g) shift 2 ;;
  -*) shift ;;
  *=*) export "$1"; shift ;;
  *) break ;;
esac; done
[ $# -gt 0 ] || set -- sh
exec "$@\"""",
    "shutdown": """echo "$(basename "$0"): a local instance has no power switch inside; \
call StopInstances or TerminateInstances" >&2
exit 1""",
}
ALIASES = {"poweroff": "shutdown", "halt": "shutdown", "reboot": "shutdown"}
ACTIVATE = """_before=$PATH
VIRTUAL_ENV={place}
PATH="$VIRTUAL_ENV/bin:$PATH"
export VIRTUAL_ENV PATH
deactivate() { PATH=$_before; unset VIRTUAL_ENV; unset -f deactivate; }
"""

# What MiniStack does not keep of a launch, by its names in a description.
KEPT = ("ClientToken", "InstanceLifecycle", "MetadataOptions", "SpotInstanceRequestId")

_lock = threading.Lock()
_keys: dict[tuple[Path, str], tuple[float, Credentials]] = {}
_left_running: defaultdict[tuple[Path, str], list[Process]] = defaultdict(list)


def record(instance_id: str) -> dict[str, Any] | None:
    """What MiniStack keeps of an instance."""
    found: dict[str, Any] | None = ec2._instances.get(instance_id)
    return found


def records() -> list[dict[str, Any]]:
    """What MiniStack keeps of each instance."""
    return list(ec2._instances.values())


def keep(instance_id: str, request: dict[str, Any]) -> None:
    """Write down of a launch what MiniStack does not: how it is billed, its metadata address and its root volume."""
    known = ec2._instances[instance_id]
    known["ClientToken"] = request.get("ClientToken", "")
    asked = request.get("MetadataOptions", {})
    defaults = {"HttpTokens": "optional", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"}
    known["MetadataOptions"] = {"State": "applied", **defaults, **asked}
    if request.get("InstanceMarketOptions", {}).get("MarketType") == "spot":
        known["InstanceLifecycle"] = "spot"
        known["SpotInstanceRequestId"] = f"sir-{instance_id[-8:]}"
    root = known["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    for mapping in request.get("BlockDeviceMappings", ()):
        disk = mapping.get("Ebs", {})
        names = {"VolumeSize": "Size", "VolumeType": "VolumeType", "Encrypted": "Encrypted"}
        ec2._volumes[root] |= {names[name]: disk[name] for name in names if name in disk}
    for specification in request.get("TagSpecifications", ()):
        if specification.get("ResourceType") == "volume":
            ec2._tags[root] = specification.get("Tags", [])


def tags(instance_id: str) -> dict[str, str]:
    """An instance's tags."""
    return {tag["Key"]: tag["Value"] for tag in ec2._tags.get(instance_id, ())}


def directory(cloud: Cloud, instance_id: str) -> Path:
    """Where an instance's files are, from its launch to its termination."""
    return cloud.home / "instances" / instance_id


def build(cloud: Cloud, instance_id: str, image_id: str) -> None:
    """Lay out a new instance."""
    place = cloud.directory("instances", instance_id)
    python.lay_out(place / ENVIRONMENT)
    seen = workspace(cloud, instance_id).seen(f"/opt/{ENVIRONMENT}")
    (place / ENVIRONMENT / "bin" / "activate").write_text(ACTIVATE.replace("{place}", seen))
    programs = place / "bin"
    programs.mkdir()
    for name, script in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o700)
    for alias, name in ALIASES.items():
        (programs / alias).symlink_to(name)
    # A login shell begins with the system's PATH, whose pip is this machine's.
    (place / "home" / ".profile").write_text(f'PATH="{programs}:{seen}/bin:$PATH"\n')
    bash = shutil.which("bash")
    if bash and "Ubuntu" not in images.name(image_id):  # on Amazon Linux sh is bash
        (programs / "sh").symlink_to(bash)


def workspace(cloud: Cloud, instance_id: str) -> Workspace:
    """Its file system: this machine's, with /opt/ml and /opt/pytorch of its own."""
    place = directory(cloud, instance_id)
    return Workspace(place, opt={ENVIRONMENT: place / ENVIRONMENT})


def environment(cloud: Cloud, instance_id: str, credentials: Credentials) -> dict[str, str]:
    """The variables of its processes; nothing of this server's own is in them."""
    place = directory(cloud, instance_id)
    return {
        "PATH": f"{place / 'bin'}:{place / ENVIRONMENT / 'bin'}:{SYSTEM_PATH}",
        "HOME": str(place / "home"),
        "LANG": "C.UTF-8",
        INSTANCE_ID: instance_id,
        "AWS_SSM_REGION_NAME": cloud.region,
        **cloud.environment(credentials),
    }


def role(cloud: Cloud, instance_id: str) -> str | None:
    """The ARN of the role in its instance profile."""
    profile = (record(instance_id) or {}).get("IamInstanceProfile")
    return profile_role(cloud, profile["Arn"].rsplit("/", 1)[-1]) if profile else None


def profile_role(cloud: Cloud, profile_name: str) -> str | None:
    """The ARN of the role in an instance profile; None when there is no such profile, or no role in it."""
    profile = iam._instance_profiles.get_scoped(cloud.account_id, None, profile_name)
    found = profile and profile["Roles"] and iam._roles.get_scoped(cloud.account_id, None, profile["Roles"][0])
    return str(found["Arn"]) if found else None


def is_managed(cloud: Cloud, instance_id: str) -> bool:
    """Whether Systems Manager knows it: its profile's role lets the agent on it report there."""
    machine = record(instance_id)
    if not machine or not directory(cloud, instance_id).is_dir() or machine["State"]["Name"] == "terminated":
        return False
    arn = role(cloud, instance_id)
    if arn is None:
        return False
    report = EvalContext(
        principal_arn=arn,
        principal_type="AssumedRole",
        principal_account=cloud.account_id,
        action="ssm:UpdateInstanceInformation",
        resource_arn=cloud.arn("ec2", f"instance/{instance_id}"),
        region=cloud.region,
    )
    policies = iam_evaluator._gather_role_policies(arn.rsplit("/", 1)[-1], cloud.account_id)
    return bool(evaluate(report, policies).decision == "Allow")


def is_running(instance_id: str) -> bool:
    """Whether its state is running."""
    machine = record(instance_id)
    return machine is not None and machine["State"]["Name"] == "running"


def credentials(cloud: Cloud, instance_id: str) -> Credentials:
    """Its role's keys, for twelve hours less one at most. ClientError or LookupError when they cannot be had."""
    key = (cloud.home, instance_id)
    with _lock:
        since, keys = _keys.get(key, (0.0, None))
    if keys and time.monotonic() - since < KEYS_SECONDS:
        return keys
    arn = role(cloud, instance_id)
    if arn is None:
        raise LookupError(f"{instance_id} has no instance profile with a role in it")
    keys = assume(cloud, arn, instance_id)
    with _lock:
        _keys[key] = (time.monotonic(), keys)
    return keys


def leave_running(cloud: Cloud, instance_id: str, process: Process) -> None:
    """Let what a command has started in the background go on until the instance stops."""
    with _lock:
        _left_running[cloud.home, instance_id].append(process)


def power_off(cloud: Cloud, instance_id: str) -> None:
    """Kill whatever runs on it."""
    with _lock:
        processes = _left_running.pop((cloud.home, instance_id), [])
        _keys.pop((cloud.home, instance_id), None)
    for process in processes:
        process.kill()
    _kill_all({instance_id})


def power_off_all(cloud: Cloud) -> None:
    """Kill whatever runs on any instance of this server, or was left behind by an earlier server."""
    with _lock:
        here = [instance_id for home, instance_id in _left_running if home == cloud.home]
        processes = [process for instance_id in here for process in _left_running.pop((cloud.home, instance_id))]
    for process in processes:
        process.kill()
    places = cloud.home / "instances"
    _kill_all({place.name for place in places.iterdir()} if places.is_dir() else set())


def discard(cloud: Cloud, instance_id: str) -> None:
    """Delete its files."""
    shutil.rmtree(directory(cloud, instance_id), ignore_errors=True)


def _kill_all(instance_ids: set[str]) -> None:
    """Every process that carries the name of one of the instances, in whatever session it has gone to."""
    if not instance_ids:
        return
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(INSTANCE_ID) in instance_ids:
                process.kill()
