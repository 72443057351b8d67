"""Systems Manager's Run Command on the instances that run here; MiniStack does the rest of the service."""

import re
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from localaws import paging
from localaws.cloud import Cloud, Handler, Request, Response, now
from localaws.errors import AwsError
from localaws.instances import commands, images, machine
from localaws.instances.commands import COMMANDS, FINAL, INVOCATIONS, PLUGIN, STREAMS, Invocation
from localaws.store import Document

DOCUMENT = "AWS-RunShellScript"
TIMEOUT = 3600  # seconds, of delivery and of execution
SECONDS = re.compile(r"[1-9]\d{0,4}|1[0-6]\d{4}|17[01]\d{3}|172[0-7]\d{2}|172800")  # the document's allowedPattern
PARAMETERS = ("commands", "workingDirectory", "executionTimeout")
PAGE = 50
LISTED = (
    "CommandId",
    "InstanceId",
    "Comment",
    "DocumentName",
    "DocumentVersion",
    "RequestedDateTime",
    "Status",
    "StatusDetails",
    "StandardOutputUrl",
    "StandardErrorUrl",
    "CloudWatchOutputConfig",
)
PLUGIN_OUTPUT = 2500  # characters of a plugin's Output in a listing
AGENT = "3.3.1957.0"


def send_command(cloud: Cloud, request: Request) -> Response:
    """SendCommand of AWS-RunShellScript, to instances by id or by tag."""
    parameters = _parameters(request)
    targets = target_ids(cloud, request)
    moment, command_id = now(), str(uuid.uuid4())
    timeout = request.get("TimeoutSeconds", TIMEOUT)
    command: Document = {
        "CommandId": command_id,
        "DocumentName": DOCUMENT,
        "DocumentVersion": request.get("DocumentVersion", "$DEFAULT"),
        "Comment": request.get("Comment", ""),
        "ExpiresAfter": moment + timeout + int(parameters["executionTimeout"][0]),
        "Parameters": parameters,
        "InstanceIds": request.get("InstanceIds", []),
        "Targets": request.get("Targets", []),
        "RequestedDateTime": moment,
        "OutputS3Region": request.get("OutputS3Region", cloud.region),
        "OutputS3KeyPrefix": request.get("OutputS3KeyPrefix", ""),
        "MaxConcurrency": request.get("MaxConcurrency", "50"),
        "MaxErrors": request.get("MaxErrors", "0"),
        "ServiceRole": request.get("ServiceRoleArn", ""),
        "CloudWatchOutputConfig": request.get("CloudWatchOutputConfig", {}),
        "NotificationConfig": request.get("NotificationConfig", {}),
        "TimeoutSeconds": timeout,
        **{name: request[name] for name in ("OutputS3BucketName",) if request.get(name)},
    }
    cloud.store.add(COMMANDS, command_id, command)
    for instance_id in targets:
        cloud.store.add(INVOCATIONS, commands.name(command_id, instance_id), _pending(command, instance_id))
    answer = {"Command": {**command, **_summary(cloud, command)}}
    for instance_id in targets:
        Invocation(cloud, command, instance_id).start()
    return answer


def get_command_invocation(cloud: Cloud, request: Request) -> Response:
    """GetCommandInvocation."""
    if request.get("PluginName", PLUGIN) != PLUGIN:
        raise AwsError("InvalidPluginName", f"The plugin of {DOCUMENT} is {PLUGIN}.")
    document = cloud.store.get(INVOCATIONS, commands.name(request["CommandId"], request["InstanceId"]))
    if document is None:
        raise AwsError("InvocationDoesNotExist", "The command was not sent to that instance.")
    return {key: value for key, value in document.items() if key != "RequestedDateTime"}


def list_command_invocations(cloud: Cloud, request: Request) -> Response:
    """ListCommandInvocations, the newest first; with Details, the plugin of each."""
    found = [
        _listed(cloud, document, details=request.get("Details", False))
        for document in reversed(cloud.store.all(INVOCATIONS))
        if request.get("InstanceId") in (None, document["InstanceId"]) and _matches(document, request)
    ]
    return _page(found, request, "CommandInvocations")


def list_commands(cloud: Cloud, request: Request) -> Response:
    """ListCommands, the newest first."""
    sent = cloud.store.all(INVOCATIONS)
    instance_id = request.get("InstanceId")
    on_it = {document["CommandId"] for document in sent if document["InstanceId"] == instance_id}
    every = [{**command, **_summary(cloud, command, sent)} for command in reversed(cloud.store.all(COMMANDS))]
    found = [
        command
        for command in every
        if (instance_id is None or command["CommandId"] in on_it) and _matches(command, request)
    ]
    return _page(found, request, "Commands")


def cancel_command(cloud: Cloud, request: Request) -> Response:
    """CancelCommand: what has not ended on the instances, or on all of them, is killed."""
    command_id = request["CommandId"]
    if cloud.store.get(COMMANDS, command_id) is None:
        raise AwsError("InvalidCommandId", f"There is no command {command_id}.")
    sent = [one["InstanceId"] for one in cloud.store.all(INVOCATIONS) if one["CommandId"] == command_id]
    wanted = request.get("InstanceIds") or sent
    if unknown := set(wanted) - set(sent):
        raise AwsError("InvalidInstanceId", f"The command was not sent to {', '.join(sorted(unknown))}.")
    for instance_id in wanted:
        if running := commands.find(cloud, command_id, instance_id):
            running.end("Cancelled")
    return {}


def describe_instance_information(cloud: Cloud, request: Request) -> Response:
    """DescribeInstanceInformation: the instances whose profile lets their agent register."""
    filters = [(item["Key"], item["Values"]) for item in request.get("Filters", ())]
    filters += [(item["key"], item["valueSet"]) for item in request.get("InstanceInformationFilterList", ())]
    known = [_information(cloud, machine_record) for machine_record in machine.records()]
    found = [entry for entry in known if entry and all(_has(entry, key, values) for key, values in filters)]
    return _page(found, request, "InstanceInformationList")


def target_ids(cloud: Cloud, request: Request) -> list[str]:
    """The instances a SendCommand is for. InvalidInstanceId for one that Systems Manager does not reach."""
    named, targets = request.get("InstanceIds", []), request.get("Targets", [])
    if bool(named) == bool(targets):
        raise AwsError("ValidationException", "Give either InstanceIds or Targets.")
    if len(set(named)) < len(named):
        raise AwsError("DuplicateInstanceId", "You cannot specify an instance ID in more than one association.")
    for target in targets:
        if target.get("Key", "").lower() == "instanceids":
            named = [*named, *target.get("Values", [])]
    lost = [one for one in named if not machine.is_running(one) or not machine.is_managed(cloud, one)]
    if lost:
        raise AwsError(
            "InvalidInstanceId", f"Instances [[{', '.join(lost)}]] not in a valid state for account {cloud.account_id}"
        )
    return named or _tagged(cloud, targets)


def _tagged(cloud: Cloud, targets: list[dict[str, Any]]) -> list[str]:
    for target in targets:
        key = target.get("Key", "")
        if not key.startswith("tag:") and key != "tag-key":
            raise AwsError("ValidationException", f"The local AWS has no targets by {key}; use tag:<key>.")
    found = []
    for machine_record in machine.records():
        instance_id = machine_record["InstanceId"]
        entry = {"InstanceId": instance_id}
        meant = all(_has(entry, target["Key"], target.get("Values", [])) for target in targets)
        if meant and machine.is_running(instance_id) and machine.is_managed(cloud, instance_id):
            found.append(instance_id)
    return found


def _parameters(request: Request) -> dict[str, list[str]]:
    """The document's parameters, checked and completed."""
    document = request["DocumentName"].rsplit("/", 1)[-1]
    if document != DOCUMENT:
        raise AwsError(
            "InvalidDocument",
            f"Document with name {request['DocumentName']} does not exist; the local AWS runs {DOCUMENT}.",
        )
    parameters: dict[str, list[str]] = {"executionTimeout": [str(TIMEOUT)], **request.get("Parameters", {})}
    unknown = set(parameters) - set(PARAMETERS)
    if unknown or not parameters.get("commands"):
        fault = f"{', '.join(sorted(unknown))} is none of them" if unknown else "commands is required"
        raise AwsError("InvalidParameters", f"The parameters of {DOCUMENT} are {', '.join(PARAMETERS)}; {fault}.")
    if len(parameters["executionTimeout"]) != 1 or not SECONDS.fullmatch(parameters["executionTimeout"][0]):
        raise AwsError("InvalidParameters", "executionTimeout must be one number of seconds, from 1 to 172800.")
    if len(parameters.get("workingDirectory", [""])) != 1:
        raise AwsError("InvalidParameters", "workingDirectory must be one path.")
    return parameters


def _pending(command: Document, instance_id: str) -> Document:
    urls = {}
    if "OutputS3BucketName" in command:
        host = f"https://s3.{command['OutputS3Region']}.amazonaws.com/{command['OutputS3BucketName']}"
        urls = {
            f"{member}Url": f"{host}/{commands.output_key(command, instance_id, stream)}"
            for stream, (member, _) in STREAMS.items()
        }
    return {
        **{name: command[name] for name in ("CommandId", "Comment", "DocumentName", "DocumentVersion")},
        "InstanceId": instance_id,
        "RequestedDateTime": command["RequestedDateTime"],
        "PluginName": PLUGIN,
        "ResponseCode": -1,
        "ExecutionStartDateTime": "",
        "ExecutionElapsedTime": "",
        "ExecutionEndDateTime": "",
        "Status": "Pending",
        "StatusDetails": "Pending",
        "StandardOutputContent": "",
        "StandardErrorContent": "",
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
        "CloudWatchOutputConfig": command["CloudWatchOutputConfig"],
        **urls,
    }


def _summary(cloud: Cloud, command: Document, sent: Iterable[Document] | None = None) -> Response:
    """A command's status, from those of its invocations."""
    every = cloud.store.all(INVOCATIONS) if sent is None else sent
    mine = [one for one in every if one["CommandId"] == command["CommandId"]]
    states = [one["Status"] for one in mine]
    late = sum(one["StatusDetails"] == "DeliveryTimedOut" for one in mine)
    if not states:
        status, details = "Success", "NoInstancesInTag"
    elif all(state == "Pending" for state in states):
        status = details = "Pending"
    elif any(state not in FINAL for state in states):
        status = details = "InProgress"
    else:
        status = next(state for state in ("Failed", "TimedOut", "Cancelled", "Success") if state in states)
        details = next(one["StatusDetails"] for one in mine if one["Status"] == status)
    return {
        "Status": status,
        "StatusDetails": details,
        "TargetCount": len(states),
        "CompletedCount": sum(state in FINAL for state in states),
        "ErrorCount": sum(state in ("Failed", "TimedOut") for state in states) - late,
        "DeliveryTimedOutCount": late,
    }


def _listed(cloud: Cloud, document: Document, *, details: bool) -> Response:
    command = cloud.store.get(COMMANDS, document["CommandId"]) or {}
    listed = {
        **{name: document[name] for name in LISTED},
        "InstanceName": "",
        "ServiceRole": command.get("ServiceRole", ""),
        "NotificationConfig": command.get("NotificationConfig", {}),
        "CommandPlugins": [],
    }
    if details:
        both = ("Status", "StatusDetails", "ResponseCode", "StandardOutputUrl", "StandardErrorUrl")
        places = ("OutputS3Region", "OutputS3BucketName", "OutputS3KeyPrefix")
        times = {"ResponseStartDateTime": "ExecutionStartDateTime", "ResponseFinishDateTime": "ExecutionEndDateTime"}
        plugin = {name: document[name] for name in both} | {name: command[name] for name in places if name in command}
        plugin |= {name: _epoch(document[of]) for name, of in times.items() if document[of]}
        errors = document["StandardErrorContent"]
        output = document["StandardOutputContent"] + (f"\n----------ERROR-------\n{errors}" if errors else "")
        listed["CommandPlugins"] = [{"Name": PLUGIN, **plugin, "Output": output[:PLUGIN_OUTPUT]}]
    return listed


def _information(cloud: Cloud, machine_record: dict[str, Any]) -> Response | None:
    instance_id = machine_record["InstanceId"]
    if not machine.is_managed(cloud, instance_id):
        return None
    ubuntu = "Ubuntu" in images.name(machine_record["ImageId"])
    return {
        "InstanceId": instance_id,
        "PingStatus": "Online" if machine.is_running(instance_id) else "ConnectionLost",
        "LastPingDateTime": now(),
        "AgentVersion": AGENT,
        "IsLatestVersion": True,
        "PlatformType": "Linux",
        "PlatformName": "Ubuntu" if ubuntu else "Amazon Linux",
        "PlatformVersion": "22.04" if ubuntu else "2023",
        "ResourceType": "EC2Instance",
        "IPAddress": machine_record["PrivateIpAddress"],
        "ComputerName": machine_record["PrivateDnsName"],
    }


# What a filter of instances looks at; tags aside.
FILTERS: dict[str, Callable[[Response], str]] = {
    "InstanceIds": lambda entry: entry["InstanceId"],
    "AgentVersion": lambda entry: entry["AgentVersion"],
    "PingStatus": lambda entry: entry["PingStatus"],
    "PlatformTypes": lambda entry: entry["PlatformType"],
    "ResourceType": lambda entry: entry["ResourceType"],
}


def _has(entry: Response, key: str, values: list[str]) -> bool:
    tags = machine.tags(entry["InstanceId"])
    if key == "tag-key":
        return bool(tags.keys() & set(values))
    if key.startswith("tag:"):
        return tags.get(key.removeprefix("tag:")) in values
    if key not in FILTERS:
        raise AwsError("InvalidFilterKey", f"The local AWS has no filter {key}.")
    return FILTERS[key](entry) in values


def _matches(document: Document, request: Request) -> bool:
    if request.get("CommandId") not in (None, document["CommandId"]):
        return False
    return all(_passes(document, item["key"], item["value"]) for item in request.get("Filters", ()))


def _passes(document: Document, key: str, value: str) -> bool:
    if key == "Status":
        return value in (document["Status"], document["StatusDetails"])
    if key == "DocumentName":
        return bool(value == document["DocumentName"])
    if key == "ExecutionStage":
        return (value == "Complete") == (document["Status"] in FINAL)
    asked, moment = document["RequestedDateTime"], _epoch(value)
    return bool(asked > moment if key == "InvokedAfter" else asked < moment)


def _epoch(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise AwsError("ValidationException", f"{text} is no time of the form 2026-01-31T00:00:00Z.") from None


def _page(entries: list[Response], request: Request, into: str) -> Response:
    shown, more = paging.page(entries, request, PAGE, "InvalidNextToken")
    return {into: shown, **more}


OPERATIONS: dict[str, Handler] = {
    "SendCommand": send_command,
    "GetCommandInvocation": get_command_invocation,
    "ListCommandInvocations": list_command_invocations,
    "ListCommands": list_commands,
    "CancelCommand": cancel_command,
    "DescribeInstanceInformation": describe_instance_information,
}
SIMPLIFIED: dict[str, str] = {
    "SendCommand": "Only AWS-RunShellScript, to instances by id or tag. The script runs as this server's user in the "
    "instance's directory, with its role's keys for twelve hours; there is no aws command (python3 has boto3), and "
    "sudo only runs what follows it. MaxConcurrency, MaxErrors, alarms and notifications are kept without effect.",
    "DescribeInstanceInformation": "An instance is Online from the moment it runs with a profile whose role may call "
    "ssm:UpdateInstanceInformation, and ConnectionLost as soon as it is stopped.",
}
