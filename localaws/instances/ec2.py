"""EC2's operations that start, stop and describe instances; MiniStack keeps the records and does all the others."""

import asyncio
from collections.abc import Iterator
from typing import Any

from ministack.services import ec2

from localaws.cloud import Cloud, Handler, Request, Response
from localaws.errors import AwsError
from localaws.instances import commands, images, machine, market
from localaws.instances.query import ministack

TOKENS = "ec2-client-token"  # kind in the store
LIMIT = 20  # instances of one launch


async def run_instances(cloud: Cloud, request: Request) -> Response:
    """RunInstances: as many as MaxCount, running when it returns. A ClientToken makes it safe to repeat."""
    _check(cloud, request)
    token = request.get("ClientToken")
    asked = {key: value for key, value in request.items() if key not in ("ClientToken", "DryRun")}
    if token and (before := cloud.store.get(TOKENS, token)):
        if before["Request"] != asked:
            raise AwsError(
                "IdempotentParameterMismatch",
                "The request uses the same client token as a previous, but non-identical request.",
            )
        return _as_launched(before)
    market.check(cloud, request)
    result = ministack("RunInstances", {**asked, "MinCount": request["MaxCount"]})
    ids = [instance["InstanceId"] for instance in result["Instances"]]
    if token:
        launch = {"Request": asked, "ReservationId": result["ReservationId"], "InstanceIds": ids}
        cloud.store.add(TOKENS, token, launch)
    try:
        for instance_id in ids:
            await asyncio.to_thread(machine.build, cloud, instance_id, request["ImageId"])
    except OSError as error:
        ministack("TerminateInstances", {"InstanceIds": ids})
        raise AwsError("InternalError", f"The local AWS cannot lay out an instance: {error}", 500) from error
    for instance_id in ids:
        machine.keep(instance_id, request)
    return {**result, "Instances": [_in_full(instance) for instance in result["Instances"]]}


async def describe_instances(cloud: Cloud, request: Request) -> Response:
    """DescribeInstances. Spot instances for which there is no room any more are interrupted first."""
    for instance_id in market.interrupted(cloud):
        await _terminate(cloud, [instance_id], "Server.SpotInstanceTermination", "Spot instance termination")
    result = ministack("DescribeInstances", request)
    for reservation in result["Reservations"]:
        reservation["Instances"] = [_in_full(instance) for instance in reservation["Instances"]]
    return result


async def describe_instance_types(cloud: Cloud, request: Request) -> Response:
    """DescribeInstanceTypes: MiniStack's answer with the types' own vCPUs."""
    result = ministack("DescribeInstanceTypes", request)
    for described in result["InstanceTypes"]:
        if count := market.vcpus(described["InstanceType"]):
            cores = max(1, count // 2)
            described["VCpuInfo"] = {
                "DefaultVCpus": count,
                "DefaultCores": cores,
                "DefaultThreadsPerCore": count // cores,
            }
    return result


async def stop_instances(cloud: Cloud, request: Request) -> Response:
    """StopInstances: whatever runs on them is killed; their files stay."""
    result = ministack("StopInstances", _known(request, "stopped"))
    await asyncio.to_thread(_power_off, cloud, request["InstanceIds"])
    return result


async def reboot_instances(cloud: Cloud, request: Request) -> Response:
    """RebootInstances: whatever runs on them is killed."""
    result = ministack("RebootInstances", _known(request, "rebooted"))
    await asyncio.to_thread(_power_off, cloud, request["InstanceIds"])
    return result


async def start_instances(cloud: Cloud, request: Request) -> Response:
    """StartInstances."""
    return ministack("StartInstances", _known(request, "started"))


async def terminate_instances(cloud: Cloud, request: Request) -> Response:
    """TerminateInstances: whatever runs on them is killed and their files are deleted."""
    ids = _known(request)["InstanceIds"]
    return await _terminate(cloud, ids, "Client.UserInitiatedShutdown", "User initiated shutdown")


def recover(cloud: Cloud) -> None:
    """Instances are as they were, but nothing runs on them; the commands that did have failed."""
    machine.power_off_all(cloud)
    commands.recover(cloud)
    places = cloud.home / "instances"
    for place in places.iterdir() if places.is_dir() else ():
        machine_record = machine.record(place.name)
        if machine_record is None or machine_record["State"]["Name"] == "terminated":
            machine.discard(cloud, place.name)


def shutdown(cloud: Cloud) -> None:
    """Kill whatever runs on instances; they themselves stay, as if their power had failed."""
    commands.shutdown(cloud)
    machine.power_off_all(cloud)


async def _terminate(cloud: Cloud, instance_ids: list[str], code: str, reason: str) -> Response:
    for instance_id in instance_ids:
        known = machine.record(instance_id)
        if known and known["State"]["Name"] != "terminated":
            known["StateReason"] = {"Code": code, "Message": f"{code}: {reason}"}
    result = ministack("TerminateInstances", {"InstanceIds": instance_ids})
    await asyncio.to_thread(_power_off, cloud, instance_ids)
    for instance_id in instance_ids:
        await asyncio.to_thread(machine.discard, cloud, instance_id)
    return result


def _in_full(instance: dict[str, Any]) -> dict[str, Any]:
    """An instance as MiniStack describes it, with what we keep of it besides."""
    kept = machine.record(instance["InstanceId"]) or {}
    return {**instance, **{name: kept[name] for name in (*machine.KEPT, "StateReason") if name in kept}}


def _as_launched(launch: Response) -> Response:
    known = [machine.record(instance_id) for instance_id in launch["InstanceIds"]]
    if any(one is None or one["State"]["Name"] == "terminated" for one in known):
        raise AwsError(
            "IdempotentInstanceTerminated",
            "The request to launch an instance uses the same client token as a previous request for which the instance "
            "has been terminated.",
        )
    found = ministack("DescribeInstances", {"InstanceIds": launch["InstanceIds"]})["Reservations"]
    instances = [_in_full(instance) for reservation in found for instance in reservation["Instances"]]
    return {"ReservationId": launch["ReservationId"], "OwnerId": found[0]["OwnerId"], "Instances": instances}


def _check(cloud: Cloud, request: Request) -> None:
    for code, problem in _problems(cloud, request):
        raise AwsError(code, problem)
    _stop_dry_run(request)


def _problems(cloud: Cloud, request: Request) -> Iterator[tuple[str, str]]:
    image_id = request.get("ImageId", "")
    if "LaunchTemplate" in request:
        yield "UnsupportedOperation", "The local AWS launches from no template; give ImageId and what else it holds."
    elif not image_id:
        yield "MissingParameter", "The request must contain the parameter ImageId"
    elif not image_id.startswith("ami-"):
        yield "InvalidAMIID.Malformed", f'Invalid id: "{image_id}" (expecting "ami-...")'
    elif not images.name(image_id):
        yield "InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist"
    elif "Windows" in images.name(image_id):
        yield "UnsupportedOperation", "The local AWS runs Linux only."
    if request["MinCount"] < 1 or request["MaxCount"] < request["MinCount"]:
        yield (
            "InvalidParameterValue",
            f"Value ({request['MaxCount']}) for parameter maxCount is invalid. "
            f"It must be at least minCount ({request['MinCount']}), and that at least 1.",
        )
    if request["MaxCount"] > LIMIT:
        yield (
            "InstanceLimitExceeded",
            f"You have requested more instances ({request['MaxCount']}) than your current instance limit of {LIMIT} "
            "allows for the specified instance type.",
        )
    yield from _reference_problems(request)
    profile = request.get("IamInstanceProfile", {})
    name = profile.get("Name") or profile.get("Arn", "").rsplit("/", 1)[-1]
    if profile and machine.profile_role(cloud, name) is None:
        kind = "name" if profile.get("Name") else "arn"
        yield (
            "InvalidParameterValue",
            f"Value ({profile.get('Name') or profile.get('Arn')}) for parameter iamInstanceProfile.{kind} is invalid. "
            f"Invalid IAM Instance Profile {'name' if kind == 'name' else 'ARN'}",
        )


def _reference_problems(request: Request) -> Iterator[tuple[str, str]]:
    subnet, key = request.get("SubnetId"), request.get("KeyName")
    if subnet and subnet not in ec2._subnets:
        yield "InvalidSubnetID.NotFound", f"The subnet ID '{subnet}' does not exist"
    if key and key not in ec2._key_pairs:
        yield "InvalidKeyPair.NotFound", f"The key pair '{key}' does not exist"
    for group in request.get("SecurityGroupIds", ()):
        if group not in ec2._security_groups:
            yield "InvalidGroup.NotFound", f"The security group '{group}' does not exist"


def _known(request: Request, to_be: str = "") -> Request:
    """The request, when all the instances it names are there, `to_be` started or the like, and it is no dry run."""
    for instance_id in request["InstanceIds"]:
        known = machine.record(instance_id)
        if known is None:
            raise AwsError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
        if to_be and known["State"]["Name"] == "terminated":
            message = f"The instance '{instance_id}' is not in a state from which it can be {to_be}."
            raise AwsError("IncorrectInstanceState", message)
    _stop_dry_run(request)
    return request


def _stop_dry_run(request: Request) -> None:
    if request.get("DryRun"):
        raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)


def _power_off(cloud: Cloud, instance_ids: list[str]) -> None:
    for instance_id in instance_ids:
        commands.end_on(cloud, instance_id)
        machine.power_off(cloud, instance_id)


OPERATIONS: dict[str, Handler] = {
    "RunInstances": run_instances,
    "DescribeInstances": describe_instances,
    "DescribeInstanceTypes": describe_instance_types,
    "StopInstances": stop_instances,
    "StartInstances": start_instances,
    "RebootInstances": reboot_instances,
    "TerminateInstances": terminate_instances,
}
SIMPLIFIED: dict[str, str] = {
    "RunInstances": "The instance is a directory and processes of this machine, whatever its type and image; it is "
    "running at once. Its file system is this machine's but for its home, /opt/ml and /opt/pytorch, a Python "
    "environment over this server's. UserData is kept and not run, quotas have no effect, and its role's keys are in "
    "the environment of its processes, not at the metadata address. Spot and on-demand instances that capacity.json in "
    "the home directory has no room for are refused.",
    "DescribeInstances": "By id, and by the filters tag:<key>, tag-key, tag-value, instance-state-name, instance-type "
    "and image-id. Whoever asks also interrupts the Spot instances that capacity.json has no room for any more.",
    "DescribeInstanceTypes": "Of what is told of a type, only the name and the vCPUs are its own.",
    "StopInstances": "The instance is stopped at once; a command that runs on it is Failed.",
    "StartInstances": "The instance is running at once.",
    "TerminateInstances": "The instance is terminated at once; a command that runs on it is Failed.",
}
