"""EC2 instances that run, and the commands that Systems Manager sends them, driven by boto3 and Airflow's operators."""

import importlib.metadata
import json
import os
import re
import signal
import time
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest
from airflow.providers.amazon.aws.operators.ec2 import EC2CreateInstanceOperator, EC2TerminateInstanceOperator
from airflow.providers.amazon.aws.operators.ssm import SsmRunCommandOperator
from airflow.sdk import Context
from botocore.config import Config
from botocore.exceptions import WaiterError

from localaws.cloud import Cloud, Credentials
from localaws.instances import commands, ssm
from localaws.store import Store
from tests.conftest import LocalAws, running_local_aws, start_local_aws, stop_local_aws
from tests.localaws.jobs import refused, unique
from tests.localaws.machines import ACCOUNT, IMAGES, Machines
from tests.stores import eventually


def test_the_deep_learning_image_is_found_by_its_public_parameter(machines: Machines) -> None:
    names = [IMAGES.format(system) for system in ("amazon-linux-2023", "ubuntu-22.04")]
    found = machines.ssm.get_parameters(Names=[*names, "/aws/service/absent"])
    assert found["InvalidParameters"] == ["/aws/service/absent"]
    ids = {parameter["Name"]: parameter["Value"] for parameter in found["Parameters"]}
    assert sorted(ids) == names
    below = machines.ssm.get_parameters_by_path(Path="/aws/service/deeplearning/", Recursive=True)["Parameters"]
    assert {parameter["Name"]: parameter["Value"] for parameter in below} == ids
    assert machines.ssm.get_parameters_by_path(Path="/aws/service/deeplearning/")["Parameters"] == []
    images = machines.ec2.describe_images(ImageIds=list(ids.values()), Owners=["amazon"])["Images"]
    assert all(image["Name"].startswith("Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.6") for image in images)
    assert len(images) == 2


def test_instances_run_have_tags_and_a_directory_each(machines: Machines) -> None:
    name = unique("name")
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}]
    answer = machines.ec2.run_instances(ImageId=machines.image, MinCount=1, MaxCount=2, TagSpecifications=tags)
    ids = [instance["InstanceId"] for instance in answer["Instances"]]
    machines.ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig={"Delay": 1})
    found = machines.ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": [name]}])["Reservations"]
    assert sorted(ids) == sorted(item["InstanceId"] for reservation in found for item in reservation["Instances"])
    assert [(machines.home / "instances" / instance_id).is_dir() for instance_id in ids] == [True, True]
    machines.ec2.terminate_instances(InstanceIds=ids)
    assert [(machines.home / "instances" / instance_id).exists() for instance_id in ids] == [False, False]


def test_a_client_token_launches_once(machines: Machines) -> None:
    token = unique("token")
    first = machines.launch(ClientToken=token)
    assert machines.launch(ClientToken=token) == first
    request = {"ImageId": machines.image, "MinCount": 1, "MaxCount": 1, "ClientToken": token}
    assert refused(machines.ec2.run_instances, **request)[0] == "IdempotentParameterMismatch"
    machines.ec2.terminate_instances(InstanceIds=[first])


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound", "'[ami-00000000000000000]' does not exist"),
        ({"ImageId": "image"}, "InvalidAMIID.Malformed", 'Invalid id: "image"'),
        ({"IamInstanceProfile": {"Name": "absent"}}, "InvalidParameterValue", "(absent)"),
        ({"SubnetId": "subnet-absent"}, "InvalidSubnetID.NotFound", "'subnet-absent' does not exist"),
        ({"SecurityGroupIds": ["sg-absent"]}, "InvalidGroup.NotFound", "'sg-absent' does not exist"),
        ({"KeyName": "absent"}, "InvalidKeyPair.NotFound", "'absent' does not exist"),
        ({"MinCount": 2}, "InvalidParameterValue", "minCount (2)"),
        ({"MaxCount": 1000}, "InstanceLimitExceeded", "(1000)"),
        ({"InstanceType": "g4.absent"}, "InvalidParameterValue", "at 'instanceType' failed to satisfy"),
        ({"LaunchTemplate": {"LaunchTemplateName": "t"}}, "UnsupportedOperation", "ImageId"),
        ({"DryRun": True}, "DryRunOperation", "Request would have succeeded"),
    ],
)
def test_what_cannot_be_launched_is_refused(machines: Machines, changes: Any, code: str, words: str) -> None:
    request = {"ImageId": machines.image, "MinCount": 1, "MaxCount": 1, **changes}
    found, message = refused(machines.ec2.run_instances, **request)
    assert (found, words in message) == (code, True), message


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({}, "MissingParameter"),
        ({"MaxCount": "x", "MinCount": "1"}, "InvalidParameterValue"),
        ({"MaxCount": "1", "MaxCount.1": "1", "MinCount": "1"}, "MalformedQueryString"),
        ({"MaxCount": "9" * 40, "MinCount": "1", "ImageId": "ami-1"}, "InvalidAMIID.NotFound"),
        ({"MaxCount": "1", "MinCount": "1", "IamInstanceProfile": "name"}, "InvalidParameterValue"),
        ({"MaxCount": "1", "MinCount": "1", "SecurityGroupId": "sg-1"}, "InvalidParameterValue"),
        ({"MaxCount": "1", "MinCount": "1", "TagSpecification.x.Tag": "1", "ImageId": ""}, "InvalidParameterValue"),
        ({"MaxCount": "1", "MinCount": "1", "TagSpecification.1.Tag.1.Value": "<&>"}, "MissingParameter"),
        ({"MaxCount": "1", "MinCount": "1", "UserData": "\0\ud800", "ImageId": "ami-<"}, "InvalidAMIID.NotFound"),
    ],
)
def test_a_form_that_is_no_request_is_refused(local_aws: LocalAws, form: dict[str, str], code: str) -> None:
    ec2 = local_aws.client("ec2")

    def replace(request: Any, **_: Any) -> None:
        request.data = {"Action": "RunInstances", "Version": "2016-11-15"} | {
            name: value.encode(errors="replace") for name, value in form.items()
        }

    ec2.meta.events.register("before-sign.ec2.*", replace)
    assert refused(ec2.run_instances, ImageId="ami-1", MinCount=1, MaxCount=1)[0] == code


def test_only_an_instance_whose_role_may_report_is_managed(machines: Machines, instance: str) -> None:
    bare = machines.launch(IamInstanceProfile={})
    powerless = machines.launch(IamInstanceProfile={"Name": machines.make_profile()})
    assert [machines.ping(one) for one in (instance, bare, powerless)] == ["Online", None, None]
    code, message = refused(lambda: machines.send(bare, "true"))
    assert (code, message) == ("InvalidInstanceId", f"Instances [[{bare}]] not in a valid state for account {ACCOUNT}")
    machines.ec2.terminate_instances(InstanceIds=[bare, powerless])


def test_a_command_runs_as_the_instances_role_in_its_directory(machines: Machines, instance: str) -> None:
    script = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    done = machines.run(
        instance, "pwd", "echo $AWS_SSM_INSTANCE_ID", f'python3 -c "{script}"', "echo warned >&2", "touch kept"
    )
    assert (done["Status"], done["StatusDetails"], done["ResponseCode"]) == ("Success", "Success", 0), done
    where, name, identity = done["StandardOutputContent"].splitlines()
    home = machines.home / "instances" / instance / "home"
    assert (Path(where), name) == (home, instance)
    assert identity == f"arn:aws:sts::{ACCOUNT}:assumed-role/{machines.profile}/{instance}"
    assert done["StandardErrorContent"] == "warned\n"
    assert re.fullmatch(r"PT\d+\.\d+S", done["ExecutionElapsedTime"])
    assert (home / "kept").exists()
    eventually(lambda: not list((machines.home / "instances" / instance / "ssm").iterdir()))


def test_the_images_environment_is_where_it_is_on_aws(machines: Machines, instance: str) -> None:
    modules = "[name for name in ('torch', 'localaws') if importlib.util.find_spec(name)]"
    script = f"import importlib.util, sys; print(sys.prefix, {modules})"
    done = machines.run(
        instance,
        "source /opt/pytorch/bin/activate",
        f'/opt/pytorch/bin/python3 -c "{script}"',
        "echo $VIRTUAL_ENV",
        "mkdir -p /opt/ml/model && echo m > /opt/ml/model/m",
        "sudo -E A=1 printenv A",
        "pip --version",
    )
    assert done["Status"] == "Success", done
    found, active, given, pip = done["StandardOutputContent"].splitlines()
    assert found == "/opt/pytorch ['torch']"
    assert active == "/opt/pytorch"
    assert (given, pip.startswith("pip ")) == ("1", True)
    assert (machines.home / "instances" / instance / "ml" / "model" / "m").read_text() == "m\n"
    assert not Path("/opt/ml/model/m").exists()


def test_what_an_instance_installs_stays_on_it(machines: Machines, instance: str, tmp_path: Path) -> None:
    """Also where this server has another version, and after what a login shell does to the PATH."""
    server_s = importlib.metadata.version("idna")
    wheel = tmp_path / "idna-0.0.1-py3-none-any.whl"
    info = "idna-0.0.1.dist-info"
    files = {
        "idna/__init__.py": "MINE = True\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: idna\nVersion: 0.0.1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    which = "python3 -c 'import idna; print(idna.__file__, idna.MINE)'"
    for shell in ("sh -c", "bash -lc", "sudo bash -lc"):
        run = machines.run(
            instance, f'{shell} "pip3 install --no-index --force-reinstall {wheel}"', f'{shell} "{which}"'
        )
        assert run["Status"] == "Success", run["StandardErrorContent"]
        assert (
            run["StandardOutputContent"].splitlines()[-1].startswith(("/opt/pytorch/", f"{machines.home}/instances/"))
        )
    assert importlib.metadata.version("idna") == server_s
    other = machines.launch()
    assert "AttributeError" in machines.run(other, which)["StandardErrorContent"]
    machines.ec2.terminate_instances(InstanceIds=[other])


def test_the_server_s_own_machine_is_not_switched_off(machines: Machines, instance: str) -> None:
    done = machines.run(instance, "sudo shutdown -h now")
    assert (done["Status"], done["ResponseCode"]) == ("Failed", 1)
    assert "call StopInstances or TerminateInstances" in done["StandardErrorContent"]


def test_a_failing_command_has_its_exit_code(machines: Machines, instance: str) -> None:
    done = machines.run(instance, "#!/usr/bin/env python3", "import sys", "print('so far')", "sys.exit(7)")
    assert (done["Status"], done["StatusDetails"], done["ResponseCode"]) == ("Failed", "Failed", 7)
    assert done["StandardOutputContent"] == "so far\n"
    assert done["StandardErrorContent"] == "failed to run commands: exit status 7\n"
    with pytest.raises(WaiterError, match='"Failed"'):
        machines.ssm.get_waiter("command_executed").wait(
            CommandId=done["CommandId"], InstanceId=instance, WaiterConfig={"Delay": 1}
        )


def test_a_command_that_takes_too_long_is_stopped(machines: Machines, instance: str) -> None:
    done = machines.run(instance, "echo $$", "sleep 600 & sleep 600", Parameters={"executionTimeout": ["5"]})
    assert (done["Status"], done["StatusDetails"], done["ResponseCode"]) == ("TimedOut", "ExecutionTimedOut", 137)
    assert_gone(int(done["StandardOutputContent"]))


def test_a_command_can_be_cancelled(machines: Machines, instance: str) -> None:
    command = machines.send(instance, "echo $$ > running", "sleep 600")
    pid = int(written(machines.home / "instances" / instance / "home" / "running"))
    assert machines.invocation(command, instance)["Status"] == "InProgress"
    assert listed(machines, command)["Status"] == "InProgress"
    machines.ssm.cancel_command(CommandId=command)
    assert machines.ended(command, instance)["StatusDetails"] == "Cancelled"
    assert listed(machines, command)["Status"] == "Cancelled"
    assert_gone(pid)
    assert refused(machines.ssm.cancel_command, CommandId="0" * 36)[0] == "InvalidCommandId"


def test_long_output_is_cut_and_kept_whole_where_it_was_asked_for(machines: Machines, instance: str) -> None:
    group = unique("group")
    done = machines.run(
        instance,
        "for line in $(seq 6000); do echo line $line; done",
        "echo error >&2",
        OutputS3BucketName=machines.bucket,
        OutputS3KeyPrefix="out",
        CloudWatchOutputConfig={"CloudWatchOutputEnabled": True, "CloudWatchLogGroupName": group},
    )
    command = done["CommandId"]
    assert (len(done["StandardOutputContent"]), done["StandardErrorContent"]) == (24_000, "error\n")
    key = f"out/{command}/{instance}/awsrunShellScript/0.awsrunShellScript/"
    assert done["StandardOutputUrl"].endswith(f"/{machines.bucket}/{key}stdout")
    whole = machines.s3.get_object(Bucket=machines.bucket, Key=f"{key}stdout")["Body"].read().decode()
    assert whole.splitlines() == [f"line {number}" for number in range(1, 6001)]
    assert machines.s3.get_object(Bucket=machines.bucket, Key=f"{key}stderr")["Body"].read() == b"error\n"
    stream = f"{command}/{instance}/aws-runShellScript/stdout"
    events = machines.logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
    assert events[0]["message"] == "line 1"


def test_commands_are_listed(machines: Machines, instance: str) -> None:
    command = machines.run(instance, "echo here", "echo there >&2", Comment="look")["CommandId"]
    found = listed(machines, command)
    assert (found["Comment"], found["Status"], found["TargetCount"], found["CompletedCount"]) == (
        "look",
        "Success",
        1,
        1,
    )
    of_instance = machines.ssm.list_commands(InstanceId=instance, MaxResults=1)
    assert (of_instance["Commands"][0]["CommandId"], "NextToken" in of_instance) == (command, True)
    page = machines.ssm.list_command_invocations(CommandId=command, Details=True)["CommandInvocations"]
    plugin = page[0]["CommandPlugins"][0]
    assert (plugin["Name"], plugin["ResponseCode"]) == ("aws:runShellScript", 0)
    assert plugin["Output"] == "here\n\n----------ERROR-------\nthere\n"
    filters = [{"key": "Status", "value": "Failed"}, {"key": "InvokedAfter", "value": "2020-01-01T00:00:00Z"}]
    failed = machines.ssm.list_command_invocations(CommandId=command, Filters=filters)
    assert failed["CommandInvocations"] == []


def test_instances_are_addressed_by_tag(machines: Machines) -> None:
    fleet = unique("fleet")
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "fleet", "Value": fleet}]}]
    ids = sorted(machines.launch(TagSpecifications=tags) for _ in range(2))
    request = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["echo $AWS_SSM_INSTANCE_ID"]}}
    target = {"Key": "tag:fleet", "Values": [fleet]}
    command = machines.ssm.send_command(Targets=[target], **request)["Command"]
    assert command["InstanceIds"] == []
    said = [machines.ended(command["CommandId"], one)["StandardOutputContent"] for one in ids]
    assert said == [f"{one}\n" for one in ids]
    machines.ec2.terminate_instances(InstanceIds=ids)
    none = machines.ssm.send_command(Targets=[target], **request)["Command"]
    assert (none["Status"], none["StatusDetails"], none["TargetCount"]) == ("Success", "NoInstancesInTag", 0)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"DocumentName": "AWS-RunPowerShellScript"}, "InvalidDocument"),
        ({"Parameters": {"script": ["echo"]}}, "InvalidParameters"),
        ({"Parameters": {"executionTimeout": ["0"]}}, "InvalidParameters"),
        ({"TimeoutSeconds": 5}, "ValidationException"),
        ({"InstanceIds": []}, "ValidationException"),
    ],
)
def test_what_cannot_be_run_is_refused(local_aws: LocalAws, instance: str, changes: Any, code: str) -> None:
    changes = {"Parameters": {"executionTimeout": ["60"]}, **changes}
    request = {"DocumentName": "AWS-RunShellScript", "InstanceIds": [instance], **changes}
    request["Parameters"] = {"commands": ["echo"], **changes["Parameters"]}
    unchecking = local_aws.client("ssm", config=Config(parameter_validation=False))
    assert refused(unchecking.send_command, **request)[0] == code


def test_an_invocation_that_is_not_is_said_so(machines: Machines, instance: str) -> None:
    absent = "00000000-0000-0000-0000-000000000000"
    assert refused(machines.invocation, command_id=absent, instance_id=instance)[0] == "InvocationDoesNotExist"


def test_stopping_ends_what_runs_and_starting_makes_it_managed_again(machines: Machines) -> None:
    instance_id = machines.launch()
    command = machines.send(instance_id, "echo $$ > running", "sleep 600")
    pid = int(written(machines.home / "instances" / instance_id / "home" / "running"))
    machines.ec2.stop_instances(InstanceIds=[instance_id])
    assert_gone(pid)
    done = machines.invocation(command, instance_id)
    assert done["Status"] == "Failed"
    assert done["StandardErrorContent"] == "failed to run commands: the instance was stopped or terminated\n"
    assert (machines.state(instance_id), machines.ping(instance_id)) == ("stopped", "ConnectionLost")
    assert refused(lambda: machines.send(instance_id, "true"))[0] == "InvalidInstanceId"
    machines.ec2.start_instances(InstanceIds=[instance_id])
    assert machines.ping(instance_id) == "Online"
    assert machines.run(instance_id, "cat running")["StandardOutputContent"] == f"{pid}\n"
    machines.ec2.terminate_instances(InstanceIds=[instance_id])
    for change in (machines.ec2.start_instances, machines.ec2.stop_instances, machines.ec2.reboot_instances):
        assert refused(change, InstanceIds=[instance_id])[0] == "IncorrectInstanceState"
    machines.ec2.terminate_instances(InstanceIds=[instance_id])


def test_what_goes_on_in_the_background_ends_with_the_instance(machines: Machines) -> None:
    instance_id = machines.launch()
    background = "sleep 600 > /dev/null 2>&1 & echo $!"
    apart = "setsid sleep 600 > /dev/null 2>&1 < /dev/null & echo $!"
    done = machines.run(instance_id, background, apart)
    assert done["Status"] == "Success"
    processes = [psutil.Process(int(pid)) for pid in done["StandardOutputContent"].split()]
    assert len(processes) == 2
    machines.ec2.terminate_instances(InstanceIds=[instance_id])
    for process in processes:
        assert_gone(process.pid)
    assert (machines.state(instance_id), machines.ping(instance_id)) == ("terminated", None)


def test_a_command_that_waits_too_long_for_its_turn_is_not_run(tmp_path: Path) -> None:
    cloud = Cloud(Store(tmp_path / "db"), tmp_path, "http://127.0.0.1:1", ACCOUNT, "us-east-1", Credentials("A", "s"))
    command = {"CommandId": "c", "TimeoutSeconds": 0.1, "Parameters": {"commands": ["echo"]}}
    cloud.store.add(commands.INVOCATIONS, "c/i-1", {"Status": "Pending"})
    commands._busy[tmp_path, "i-1"] = commands.WORKERS
    waiting = commands.Invocation(cloud, command, "i-1")
    waiting.start()
    assert waiting.finished.wait(20)
    record = cloud.store.get(commands.INVOCATIONS, "c/i-1") or {}
    assert (record["Status"], record["StatusDetails"], record["ResponseCode"]) == ("TimedOut", "DeliveryTimedOut", -1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_instances_outlive_the_server_and_their_processes_do_not(tmp_path: Path, number: signal.Signals) -> None:
    local = start_local_aws(tmp_path / "home")
    machines = Machines(local)
    instance_id = machines.launch()
    command = machines.send(instance_id, "setsid sleep 600 > /dev/null 2>&1 &", "echo $$ $! > running", "sleep 600")
    pids = written(tmp_path / "home" / "instances" / instance_id / "home" / "running").split()
    if number is signal.SIGTERM:
        stop_local_aws(local)
    else:
        os.kill(local.process.pid, number)
        local.process.wait()
    assert_gone(int(pids[0]))
    with running_local_aws(tmp_path / "home") as again:
        assert_gone(int(pids[1]))
        later = Machines(again)
        assert (later.state(instance_id), later.ping(instance_id)) == ("running", "Online")
        done = later.invocation(command, instance_id)
        assert done["Status"] == "Failed"
        assert "the local AWS was restarted while the command ran" in done["StandardErrorContent"]
        assert later.run(instance_id, "cat running")["StandardOutputContent"].split() == pids


def test_without_namespaces_the_images_environment_is_found(tmp_path: Path) -> None:
    with running_local_aws(tmp_path / "home", PATH="/nowhere") as local:
        machines = Machines(local)
        instance_id = machines.launch()
        done = machines.run(
            instance_id, ". /opt/pytorch/bin/activate", "echo m > /opt/ml/m", "/opt/pytorch/bin/python3 -V"
        )
        assert (done["Status"], done["StandardOutputContent"][:7]) == ("Success", "Python "), done
        assert (tmp_path / "home" / "instances" / instance_id / "ml" / "m").exists()


def test_airflows_operators_launch_run_and_terminate(
    local_aws: LocalAws, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in local_aws.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws"}))
    monkeypatch.setattr("airflow.providers.amazon.aws.links.base_aws.BaseAwsLink.persist", lambda *_, **__: None)
    context = Context()
    config = {"InstanceType": "g4dn.xlarge", "IamInstanceProfile": {"Name": machines.profile}}
    create = EC2CreateInstanceOperator(
        task_id="create", image_id=machines.image, config=config, wait_for_completion=True, poll_interval=1
    )
    ids = create.execute(context)
    kwargs = {"InstanceIds": ids, "Parameters": {"commands": ["sleep 0.5; echo trained > model"]}}
    run = SsmRunCommandOperator(
        task_id="run", document_name="AWS-RunShellScript", run_command_kwargs=kwargs, waiter_delay=1, deferrable=False
    )
    command = run.execute(context)
    assert machines.invocation(command, ids[0])["Status"] == "Success"
    kwargs["Parameters"] = {"commands": ["exit 2"]}
    with pytest.raises(WaiterError):
        run.execute(context)
    EC2TerminateInstanceOperator(
        task_id="terminate", instance_ids=ids, wait_for_completion=True, poll_interval=1
    ).execute(context)
    assert machines.state(ids[0]) == "terminated"


def test_what_is_simplified_is_about_operations_that_are_served() -> None:
    assert set(ssm.SIMPLIFIED) <= set(ssm.OPERATIONS)


def listed(machines: Machines, command_id: str) -> dict[str, Any]:
    found: dict[str, Any] = machines.ssm.list_commands(CommandId=command_id)["Commands"][0]
    return found


def written(file: Path, seconds: float = 30) -> str:
    """What is in a file once its first line is written."""
    deadline = time.monotonic() + seconds
    while not file.exists() or "\n" not in file.read_text():
        assert time.monotonic() < deadline, file
        time.sleep(0.05)
    return file.read_text()


def assert_gone(pid: int) -> None:
    """A process has ended; nobody may have fetched its exit code yet."""
    try:
        process = psutil.Process(pid)
        process.wait(timeout=20)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        assert process.status() == psutil.STATUS_ZOMBIE, process
