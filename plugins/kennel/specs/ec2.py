"""Request bodies for the final training on a plain EC2 instance: RunInstances, and the command that trains on it."""

import hashlib
import json
import shlex
from dataclasses import dataclass, field
from typing import Any

from kennel.config import Classifier
from kennel.names import Names
from kennel.specs import jobs, tags
from kennel.specs.jobs import Data

Body = dict[str, Any]

# Beyond the training's own limit: what an instance takes to boot, to be found by Systems Manager and to end.
BOOT_MINUTES = 15
RUN_TAG, JOB_TAG, LIMIT_TAG = "kennel:run", "kennel:job", "kennel:limit-minutes"
SPOT = {
    "MarketType": "spot",
    "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
}

# The image's own environment has all but, perhaps, boto3.
COMMANDS = """\
set -e
export AWS_DEFAULT_REGION={region} SAGEMAKER_BASE_DIR=/opt/ml PYTHONUNBUFFERED=1
python=/opt/pytorch/bin/python3
$python -c "import boto3" 2>/dev/null || $python -m pip install --quiet boto3
mkdir -p /opt/ml/code
cd /opt/ml/code
$python -c "import boto3, sys; boto3.client('s3').download_file(*sys.argv[1:])" {bucket} {code} sourcedir.tar.gz
tar -xzf sourcedir.tar.gz
exec $python instance.py {work}
"""


@dataclass(frozen=True)
class Training:
    """One training of a run: the same script, code, channels and hyperparameters as of SageMaker's training job.

    Its name carries a digest of these, so a retry finds what an earlier try began, and nothing made of something else.
    """

    classifier: Classifier = field(repr=False)
    run: str
    instance_type: str
    code: str
    channels: dict[str, str]
    hyperparameters: dict[str, str]

    @property
    def name(self) -> str:
        """`<run>-train-<digest>`."""
        parts = json.dumps([self.code, self.channels, self.hyperparameters], sort_keys=True)
        return f"{self.run}-train-{hashlib.sha256(parts.encode()).hexdigest()[:6]}"

    @property
    def model(self) -> str:
        """The key of the model's artifact, where SageMaker would put that of a job of this name."""
        return f"{Names.of(self.classifier).run_key(self.run, 'training')}{self.name}/output/model.tar.gz"

    def launch(self, image_id: str, device: str, group_id: str, market: str, attempt: int) -> Body:
        """RunInstances. The same attempt asked for twice launches once."""
        at, ec2 = Names.of(self.classifier), self.classifier.ec2
        token = hashlib.sha256(f"{self.name} {market} {attempt}".encode()).hexdigest()
        disk = {"Encrypted": True, "VolumeType": "gp3", "VolumeSize": ec2.volume_gb, "DeleteOnTermination": True}
        return {
            "ImageId": image_id,
            "InstanceType": self.instance_type,
            "MinCount": 1,
            "MaxCount": 1,
            "ClientToken": token,
            "IamInstanceProfile": {"Name": at.ec2},
            "SecurityGroupIds": [group_id],
            "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
            "BlockDeviceMappings": [{"DeviceName": device, "Ebs": disk}],
            # With nobody left to terminate it, the instance does so itself.
            "InstanceInitiatedShutdownBehavior": "terminate",
            "UserData": f"#!/bin/sh\nshutdown -h +{limit_minutes(self.classifier)}\n",
            "TagSpecifications": [{"ResourceType": kind, "Tags": self._tags()} for kind in ("instance", "volume")],
            **({"SubnetId": ec2.subnet_id} if ec2.subnet_id else {}),
            **({"InstanceMarketOptions": SPOT} if market == "spot" else {}),
        }

    def command(self, instance: Body) -> Body:
        """SendCommand: train on an instance, as DescribeInstances describes it."""
        at = Names.of(self.classifier)
        work = {
            "bucket": at.bucket,
            "channels": self.channels,
            "hyperparameters": self.hyperparameters,
            "model": self.model,
            "metadata": {
                "launched": instance["LaunchTime"].isoformat(),
                "instance-type": instance["InstanceType"],
                "market": instance.get("InstanceLifecycle", "on-demand"),
            },
        }
        script = COMMANDS.format(region=at.region, bucket=at.bucket, code=self.code, work=shlex.quote(json.dumps(work)))
        return {
            "DocumentName": "AWS-RunShellScript",
            "InstanceIds": [instance["InstanceId"]],
            "Comment": self.name,
            "Parameters": {
                "commands": script.splitlines(),
                "executionTimeout": [str(self.classifier.ec2.max_runtime_minutes * 60)],
            },
            "CloudWatchOutputConfig": {"CloudWatchOutputEnabled": True, "CloudWatchLogGroupName": at.ec2_log_group},
        }

    def _tags(self) -> list[dict[str, str]]:
        own = {
            "Name": self.name,
            RUN_TAG: self.run,
            JOB_TAG: self.name,
            LIMIT_TAG: str(limit_minutes(self.classifier)),
        }
        return [*tags(self.classifier), *({"Key": key, "Value": value} for key, value in own.items())]


def training(classifier: Classifier, data: Data, tuned: dict[str, str], instance_type: str) -> Training:
    """What SageMaker's training job would do with the tuned hyperparameters, for one instance of EC2."""
    job, at = jobs.training_job(classifier, data, tuned, classifier.train.instance_type), Names.of(classifier)
    given = job["HyperParameters"]
    sources = {channel["ChannelName"]: channel["DataSource"]["S3DataSource"] for channel in job["InputDataConfig"]}
    return Training(
        classifier=classifier,
        run=data.run,
        instance_type=instance_type,
        code=given["sagemaker_submit_directory"].removeprefix(at.uri("")),
        channels={name: source["S3Uri"].removeprefix(at.uri("")) for name, source in sources.items()},
        hyperparameters={name: value for name, value in given.items() if not name.startswith("sagemaker_")},
    )


def limit_minutes(classifier: Classifier) -> int:
    """How long an instance may live, from its launch."""
    return classifier.ec2.max_runtime_minutes + BOOT_MINUTES
