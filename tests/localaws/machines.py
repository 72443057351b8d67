"""What the tests of EC2 instances share: a role and its profile, instances, and commands on them."""

import json
import time
from typing import Any

from tests.conftest import LocalAws
from tests.localaws.jobs import unique

ACCOUNT = "000000000000"
IMAGES = "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.6-{}/latest/ami-id"
AGENT = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
FINAL = ("Success", "Failed", "TimedOut", "Cancelled")


class Machines:
    """An account with an instance profile whose role Systems Manager accepts, and which may use one bucket."""

    def __init__(self, local_aws: LocalAws) -> None:
        self.ec2, self.ssm, self.iam = (local_aws.client(service) for service in ("ec2", "ssm", "iam"))
        self.s3, self.logs = local_aws.client("s3"), local_aws.client("logs")
        self.home = local_aws.home
        self.image = self.image_of("amazon-linux-2023")
        self.bucket = unique("instances")
        self.s3.create_bucket(Bucket=self.bucket)
        self.profile = self.make_profile(AGENT)
        rights = [
            {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{self.bucket}/*"},
            {"Effect": "Allow", "Action": "logs:*", "Resource": "*"},
        ]
        policy = json.dumps({"Version": "2012-10-17", "Statement": rights})
        self.iam.put_role_policy(RoleName=self.profile, PolicyName="work", PolicyDocument=policy)

    def image_of(self, system: str) -> str:
        return str(self.ssm.get_parameter(Name=IMAGES.format(system))["Parameter"]["Value"])

    def make_profile(self, *policies: str) -> str:
        """An instance profile and a role in it, of the same name."""
        name = unique("machine")
        self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
        for policy in policies:
            self.iam.attach_role_policy(RoleName=name, PolicyArn=policy)
        self.iam.create_instance_profile(InstanceProfileName=name)
        self.iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        return name

    def launch(self, **changes: Any) -> str:
        """A new instance with the profile."""
        request = {"ImageId": self.image, "InstanceType": "g4dn.xlarge", "MinCount": 1, "MaxCount": 1}
        request["IamInstanceProfile"] = {"Name": self.profile}
        answer = self.ec2.run_instances(**request | changes)
        return str(answer["Instances"][0]["InstanceId"])

    def send(self, instance_id: str, *lines: str, **changes: Any) -> str:
        """Send a script; returns the command's id."""
        parameters = {"commands": list(lines), **changes.pop("Parameters", {})}
        request = {"DocumentName": "AWS-RunShellScript", "InstanceIds": [instance_id], "Parameters": parameters}
        return str(self.ssm.send_command(**request | changes)["Command"]["CommandId"])

    def invocation(self, command_id: str, instance_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.ssm.get_command_invocation(CommandId=command_id, InstanceId=instance_id)
        return answer

    def ended(self, command_id: str, instance_id: str, seconds: float = 60) -> dict[str, Any]:
        """The invocation once it has ended."""
        deadline = time.monotonic() + seconds
        while (answer := self.invocation(command_id, instance_id))["Status"] not in FINAL:
            assert time.monotonic() < deadline, answer
            time.sleep(0.05)
        return answer

    def run(self, instance_id: str, *lines: str, **changes: Any) -> dict[str, Any]:
        """Run a script to its end."""
        return self.ended(self.send(instance_id, *lines, **changes), instance_id)

    def ping(self, instance_id: str) -> str | None:
        """An instance's PingStatus; None when Systems Manager does not know it."""
        filters = [{"Key": "InstanceIds", "Values": [instance_id]}]
        found = self.ssm.describe_instance_information(Filters=filters)["InstanceInformationList"]
        return str(found[0]["PingStatus"]) if found else None

    def state(self, instance_id: str) -> str:
        found = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        return str(found[0]["Instances"][0]["State"]["Name"])
