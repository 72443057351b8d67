"""The bodies pass the constraint check that the local AWS applies, and ask for what an instance must be like."""

import json
import shlex
from datetime import UTC, datetime
from typing import Any

import pytest

from kennel.config import Classifier
from kennel.specs import ec2, jobs
from localaws.validation import validate

DATA = jobs.Data(run="dogs-20261122t030000-3fa9c1", version="0123456789ab", code="c" * 64)
INSTANCE = {
    "InstanceId": "i-0123456789abcdef0",
    "InstanceType": "m5.xlarge",
    "LaunchTime": datetime(2026, 11, 22, 3, tzinfo=UTC),
}


def training(dogs: Classifier, tuned: dict[str, str] | None = None) -> ec2.Training:
    return ec2.training(dogs, DATA, tuned or {"learning_rate": "0.01", "batch_size": "32"}, "m5.xlarge")


def launch(dogs: Classifier, market: str = "on-demand", attempt: int = 1) -> dict[str, Any]:
    return training(dogs).launch("ami-1", "/dev/xvda", "sg-1", market, attempt)


@pytest.mark.parametrize("market", ["spot", "on-demand"])
def test_the_launch_passes_ec2s_constraints(dogs: Classifier, market: str) -> None:
    assert validate("ec2", "RunInstances", launch(dogs, market)) == []


def test_the_command_passes_systems_managers_constraints(dogs: Classifier) -> None:
    assert validate("ssm", "SendCommand", training(dogs).command(INSTANCE)) == []


def test_an_instance_is_encrypted_closed_and_ends_by_itself(dogs: Classifier) -> None:
    body = launch(dogs)
    assert body["MetadataOptions"]["HttpTokens"] == "required"
    assert [mapping["Ebs"]["Encrypted"] for mapping in body["BlockDeviceMappings"]] == [True]
    assert body["IamInstanceProfile"] == {"Name": "kennel-dogs-ec2"}
    assert body["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert body["UserData"] == "#!/bin/sh\nshutdown -h +75\n"
    assert "KeyName" not in body


def test_instance_and_volume_carry_the_tags_that_they_are_found_by(dogs: Classifier) -> None:
    body = launch(dogs)
    assert [specification["ResourceType"] for specification in body["TagSpecifications"]] == ["instance", "volume"]
    for specification in body["TagSpecifications"]:
        assert {tag["Key"]: tag["Value"] for tag in specification["Tags"]} == {
            "Name": training(dogs).name,
            "kennel:classifier": "dogs",
            "kennel:run": DATA.run,
            "kennel:job": training(dogs).name,
            "kennel:limit-minutes": "75",
        }


def test_each_attempt_and_market_launches_once(dogs: Classifier) -> None:
    launches = [launch(dogs), launch(dogs, attempt=2), launch(dogs, "spot"), launch(dogs)]
    tokens = [body["ClientToken"] for body in launches]
    assert (len(set(tokens)), tokens[0]) == (3, tokens[3])
    assert max(map(len, tokens)) <= 64


def test_only_a_spot_launch_asks_for_spot_and_only_a_subnet_that_is_set_is_named(dogs: Classifier) -> None:
    assert launch(dogs, "spot")["InstanceMarketOptions"]["MarketType"] == "spot"
    assert not launch(dogs).keys() & {"InstanceMarketOptions", "SubnetId"}
    private = dogs.model_copy(update={"ec2": dogs.ec2.model_copy(update={"subnet_id": "subnet-1"})})
    assert launch(private)["SubnetId"] == "subnet-1"


def test_the_name_follows_what_is_trained(dogs: Classifier) -> None:
    other_code = ec2.training(
        dogs, jobs.Data(DATA.run, DATA.version, "d" * 64), training(dogs).hyperparameters, "m5.xlarge"
    )
    bigger = ec2.training(dogs, DATA, {"learning_rate": "0.01", "batch_size": "32"}, "m5.4xlarge")
    names = [training(dogs).name, training(dogs, {"learning_rate": "0.1"}).name, other_code.name]
    assert len(set(names)) == 3
    assert bigger.name == names[0]
    assert training(dogs).model == f"runs/dogs/{DATA.run}/training/{names[0]}/output/model.tar.gz"


@pytest.mark.parametrize("epochs", [0, 5])
def test_the_work_is_that_of_the_training_job(dogs: Classifier, epochs: int) -> None:
    dogs = dogs.model_copy(update={"train": dogs.train.model_copy(update={"finetune_epochs": epochs})})
    body = training(dogs).command(INSTANCE)
    job = jobs.training_job(dogs, DATA, {"learning_rate": "0.01", "batch_size": "32"}, "ml.m5.xlarge")
    commands = body["Parameters"]["commands"]
    work = json.loads(shlex.split(commands[-1])[-1])
    assert work["hyperparameters"] == {
        name: value for name, value in job["HyperParameters"].items() if not name.startswith("sagemaker_")
    }
    sources = [channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in job["InputDataConfig"]]
    assert [f"s3://{work['bucket']}/{prefix}" for prefix in work["channels"].values()] == sources
    assert f"code/{DATA.code}/sourcedir.tar.gz" in " ".join(commands)
    assert body["Parameters"]["executionTimeout"] == ["3600"]
    assert work["metadata"] == {
        "launched": "2026-11-22T03:00:00+00:00",
        "instance-type": "m5.xlarge",
        "market": "on-demand",
    }
