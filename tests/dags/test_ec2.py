"""Training on instances that really run, with the rights of the foundation's roles: one instance, and its end."""

import asyncio
import dataclasses
import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from botocore.httpsession import URLLib3Session

from kennel import code, instances, names
from kennel.config import ROOT, Classifier, load
from kennel.defaults import JobAtFaultError, JobFailedError
from kennel.local.account import deploy_foundation
from kennel.names import Names
from kennel.operators.ec2 import TrainOnEc2Operator
from kennel.quotas import QuotaError, check, market_with_room
from kennel.specs import ec2 as specs
from kennel.specs.jobs import Data
from kennel.triggers.ec2 import InstanceTrigger
from tests.vectors import write_vectors

NO_CONTEXT = cast(Context, {})
SLOW = "import time; print('at it', flush=True); time.sleep(600)"
CLASSES, FEATURES = 3, 1280


@pytest.fixture(scope="module")
def pugs(local_aws: Any) -> Iterator[Classifier]:
    """A classifier of its own, with its foundation."""
    dogs = load("dogs", {"KENNEL_ACCOUNT_ID": local_aws.account_id, "KENNEL_BACKBONE": "efficientnet_lite0"})
    classifier = dogs.model_copy(update={"name": "pugs"})
    deploy_foundation(local_aws.client, Names.of(classifier))
    yield classifier


@pytest.fixture(autouse=True)
def as_airflow(local_aws: Any, pugs: Classifier, connection: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators and triggers have the rights of the DAGs, and no others."""
    extra = {"role_arn": Names.of(pugs).role_arn("airflow")}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws", "extra": extra}))


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What embed.py would have written: three classes that are easy to tell apart."""
    folder, random = tmp_path_factory.mktemp("vectors"), np.random.default_rng(0)
    for split, photos in (("train", 24), ("valid", 9), ("test", 9)):
        labels = np.arange(photos) % CLASSES
        features = np.eye(CLASSES, FEATURES)[labels] + random.normal(0, 0.01, (photos, FEATURES))
        write_vectors(folder, split, [f"00{label}.Breed" for label in labels], features[:, None])
    return folder


Train = Callable[..., specs.Training]


@pytest.fixture
def train(local_aws: Any, pugs: Classifier, vectors: Path, tmp_path: Path) -> Iterator[Train]:
    """Prepare a training: with the real code, or with another train.py. No instance of it is left behind."""
    at, s3, made = Names.of(pugs), local_aws.client("s3"), []

    def prepare(script: str = "", **hyperparameters: str) -> specs.Training:
        directory = ROOT / "ml"
        if script:
            directory = tmp_path / uuid.uuid4().hex
            directory.mkdir()
            for name in ("instance.py", "job.py"):
                shutil.copy(ROOT / "ml" / name, directory)
            (directory / "train.py").write_text(script)
        run = at.run(datetime.now(UTC), uuid.uuid4().hex)
        data = Data(run, "0123456789ab", code.publish_code(s3, at.bucket, directory))
        training = specs.training(pugs, data, hyperparameters or {"learning_rate": "0.01"}, "m5.xlarge")
        for file in vectors.glob("*/*.npz"):
            key = f"{training.channels['embeddings']}{file.relative_to(vectors)}"
            s3.upload_file(str(file), at.bucket, key)
        s3.put_object(Bucket=at.bucket, Key=names.weights(pugs.embed.backbone), Body=b"weights")
        made.append(training)
        return training

    yield prepare
    for training in made:
        instances.terminate(local_aws.client("ec2"), instances.of_job(local_aws.client("ec2"), training.name))


def operator(training: specs.Training, market: str = "on-demand") -> TrainOnEc2Operator:
    """The operator, as every try of a task makes it anew."""
    return TrainOnEc2Operator(
        task_id="train", training=training, market=market, check_interval=1, region_name=training.classifier.region
    )


def defer(call: Callable[..., Any], *arguments: Any, **more: Any) -> InstanceTrigger:
    with pytest.raises(TaskDeferred) as deferred:
        call(NO_CONTEXT, *arguments, **more)
    assert deferred.value.kwargs is not None
    trigger = cast(InstanceTrigger, deferred.value.trigger)
    path, arguments_ = trigger.serialize()
    assert path == "kennel.triggers.ec2.InstanceTrigger"
    return InstanceTrigger(**arguments_)


def event_of(trigger: InstanceTrigger) -> dict[str, Any]:
    """What the triggerer would hand back to the task."""

    async def first() -> Any:
        return (await anext(aiter(trigger.run()))).payload

    return cast(dict[str, Any], asyncio.run(first()))


def begun(training: specs.Training, market: str = "on-demand") -> InstanceTrigger:
    """Launch, boot and send the command, as the first try does; the trigger that waits for its end."""
    booting = defer(operator(training, market).execute)
    return defer(operator(training, market).begin, event_of(booting), adopted=False)


def living(local_aws: Any, training: specs.Training) -> list[str]:
    return [found["InstanceId"] for found in instances.of_job(local_aws.client("ec2"), training.name)]


def test_a_training_stores_its_model_tells_its_log_and_ends_its_instance(
    local_aws: Any, pugs: Classifier, train: Train, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    training = train(learning_rate="0.01", batch_size="8")
    at_work = begun(training)
    capsys.readouterr()
    event = event_of(at_work)
    told = capsys.readouterr().out
    assert event["status"] == "ended"
    result = operator(training).finish(NO_CONTEXT, event, adopted=False)["Training"]
    assert [told.count(f"] epoch={number} train_loss=") for number in (1, 30)] == [1, 1]
    assert f"stored {result['ModelArtifacts']['S3ModelArtifacts']}" in told
    assert result["ResourceConfig"] == {"InstanceType": "m5.xlarge", "InstanceCount": 1}
    assert 0 < result["BillableTimeInSeconds"] < 600
    assert living(local_aws, training) == []
    archive = tmp_path / "model.tar.gz"
    local_aws.client("s3").download_file(Names.of(pugs).bucket, training.model, str(archive))
    shutil.unpack_archive(archive, tmp_path / "model")
    made = {str(path.relative_to(tmp_path / "model")) for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert {"head.pth", "classes.json", "model.json", "backbone.pth", "code/inference.py"} <= made
    summary = json.loads((tmp_path / "model" / "model.json").read_text())
    assert (summary["hyperparameters"]["batch_size"], summary["valid_accuracy"]) == (8, 1.0)


def test_the_photos_that_a_manifest_lists_arrive_where_a_training_job_has_them(
    local_aws: Any, pugs: Classifier, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    at, s3 = Names.of(pugs), local_aws.client("s3")
    listed = [f"dt=2026-11-22/train/001.Pug/{number}.jpg" for number in range(25)]
    for name in [*listed, "dt=2026-11-22/train/001.Pug/left_out.jpg"]:
        s3.put_object(Bucket=at.bucket, Key=at.datasets + name, Body=b"photo")
    manifest = f"{at.snapshot('0123456789ab')}train.manifest"
    s3.put_object(Bucket=at.bucket, Key=manifest, Body=json.dumps([{"prefix": at.uri(at.datasets)}, *listed]).encode())
    given = train(
        "import os, pathlib\nroot = pathlib.Path(os.environ['SM_CHANNEL_TRAIN'])\n"
        "for path in sorted(root.rglob('*.jpg')): print(f'here: {path.relative_to(root)} {path.read_text()}')"
    )
    training = dataclasses.replace(given, channels={**given.channels, "train": manifest})
    at_work = begun(training)
    capsys.readouterr()
    event = event_of(at_work)
    told = capsys.readouterr().out
    operator(training).finish(NO_CONTEXT, event, adopted=False)
    assert re.findall(r"here: (\S+) photo", told) == sorted(listed)


def test_a_stored_model_is_used_and_what_still_lives_is_ended(local_aws: Any, train: Train) -> None:
    training = train()
    event = event_of(begun(training))
    # the try died here, before it ended the instance
    assert len(living(local_aws, training)) == 1
    result = operator(training).execute(NO_CONTEXT)
    assert result["Training"]["TrainingJobName"] == training.name
    assert living(local_aws, training) == []
    assert operator(training).finish(NO_CONTEXT, event, adopted=False) == result


def test_the_instance_is_closed_encrypted_and_tagged(local_aws: Any, pugs: Classifier, train: Train) -> None:
    training, ec2 = train(SLOW), local_aws.client("ec2")
    instance = instances.described(ec2, defer(operator(training).execute).instance_id)
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["IamInstanceProfile"]["Arn"].endswith("/kennel-pugs-ec2")
    [group] = ec2.describe_security_groups(GroupIds=[instance["SecurityGroups"][0]["GroupId"]])["SecurityGroups"]
    assert (group["GroupName"], group["IpPermissions"]) == ("kennel-pugs-ec2", [])
    [volume] = ec2.describe_volumes(VolumeIds=[instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]])["Volumes"]
    assert (volume["Encrypted"], volume["Size"]) == (True, pugs.ec2.volume_gb)
    assert instances.tags(instance) == instances.tags(volume)
    assert instances.tags(instance)["kennel:run"] == training.run


def test_a_retry_adopts_the_instance_that_boots(local_aws: Any, train: Train) -> None:
    training = train(SLOW)
    first = defer(operator(training).execute)
    again = defer(operator(training).execute)
    assert (again.instance_id, again.command_id) == (first.instance_id, "")
    assert living(local_aws, training) == [first.instance_id]


def test_a_retry_adopts_the_command_that_runs(local_aws: Any, train: Train) -> None:
    training = train(SLOW)
    first = begun(training)
    again = defer(operator(training).execute)
    assert (again.instance_id, again.command_id) == (first.instance_id, first.command_id)
    sent = local_aws.client("ssm").list_command_invocations(InstanceId=first.instance_id)["CommandInvocations"]
    assert len(sent) == 1


def test_an_instance_that_was_asked_for_unheard_is_the_one(local_aws: Any, pugs: Classifier, train: Train) -> None:
    training, ec2 = train(SLOW), local_aws.client("ec2")
    image = instances.image(ec2, local_aws.client("ssm"), pugs.ec2.image_parameter)
    group = instances.security_group(ec2, Names.of(pugs).ec2)
    request = training.launch(image.image_id, image.device, group, "on-demand", 1)
    [unheard] = ec2.run_instances(**request)["Instances"]
    assert operator(training)._launched("on-demand") == unheard["InstanceId"]


def test_a_failing_script_fails_the_task_with_its_reason_and_ends_the_instance(local_aws: Any, train: Train) -> None:
    training = train(learning_rate="7")
    event = event_of(begun(training))
    with pytest.raises(JobAtFaultError, match=r"^--learning_rate must be above 0 and at most 1, not 7\.0 \(pugs-"):
        operator(training).finish(NO_CONTEXT, event, adopted=False)
    assert living(local_aws, training) == []


def test_data_that_is_away_may_come_back(local_aws: Any, pugs: Classifier, train: Train) -> None:
    training = train()
    bucket, key = Names.of(pugs).bucket, f"{training.channels['embeddings']}train/algo-1.npz"
    local_aws.client("s3").put_bucket_policy(
        Bucket=bucket,
        Policy=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "s3:GetObject",
                        "Resource": f"arn:aws:s3:::{bucket}/{key}",
                    }
                ],
            }
        ),
    )
    event = event_of(begun(training))
    local_aws.client("s3").delete_bucket_policy(Bucket=bucket)
    with pytest.raises(JobFailedError, match="ClientError") as failure:
        operator(training).finish(NO_CONTEXT, event, adopted=False)
    assert not isinstance(failure.value, JobAtFaultError)
    assert living(local_aws, training) == []


def test_killing_the_running_task_ends_the_instance(local_aws: Any, train: Train) -> None:
    training = train(SLOW)
    task = operator(training)
    defer(task.execute)
    task.on_kill()
    assert living(local_aws, training) == []


def test_killing_the_task_before_it_has_heard_of_its_instance_ends_that(local_aws: Any, train: Train) -> None:
    task, launched = operator(train(SLOW)), list[str]()

    def kill_before_the_answer(request: Any, **_: Any) -> None:
        if not launched:
            answer = URLLib3Session().send(request).content.decode()
            launched.append(answer.partition("<instanceId>")[2].partition("<")[0])
            task.on_kill()
            raise KeyboardInterrupt

    task._ec2.meta.events.register("before-send.ec2.RunInstances", kill_before_the_answer)
    with pytest.raises(KeyboardInterrupt):
        task.execute(NO_CONTEXT)
    assert instances.described(local_aws.client("ec2"), launched[0])["State"]["Name"] == "terminated"
    assert living(local_aws, task.training) == []


def test_killing_the_deferred_task_ends_the_instance(local_aws: Any, train: Train) -> None:
    training = train(SLOW)
    at_work = begun(training)
    asyncio.run(at_work.on_kill())
    assert living(local_aws, training) == []
    event = event_of(at_work)
    assert event["status"] == "gone"
    with pytest.raises(JobFailedError, match=r"was terminated: Client\.UserInitiatedShutdown"):
        operator(training).finish(NO_CONTEXT, event, adopted=False)
    asyncio.run(at_work.on_kill())  # once more: what has ended is left as it is


def test_clearing_the_deferred_task_ends_with_one_other_instance(local_aws: Any, train: Train) -> None:
    training = train(SLOW)
    old = begun(training)
    new_try = operator(training)
    adopted = defer(new_try.execute)  # Airflow runs the new try first
    asyncio.run(old.on_kill())
    event = event_of(adopted)
    assert event["status"] == "gone"
    followed = defer(operator(training).finish, event, adopted=True)
    assert living(local_aws, training) == [followed.instance_id]
    assert followed.instance_id != old.instance_id


def test_a_training_beyond_its_limit_is_stopped_and_says_which(local_aws: Any, train: Train) -> None:
    class Hasty(specs.Training):
        def command(self, instance: dict[str, Any]) -> dict[str, Any]:
            body = super().command(instance)
            return {**body, "Parameters": {**body["Parameters"], "executionTimeout": ["2"]}}

    training = Hasty(**vars(train(SLOW)))
    event = event_of(begun(training))
    with pytest.raises(JobAtFaultError, match=r"took longer than 60 minutes: raise ec2\.max_runtime_minutes"):
        operator(training).finish(NO_CONTEXT, event, adopted=False)
    assert living(local_aws, training) == []


@pytest.mark.parametrize(
    ("method", "command_id", "words"),
    [("begin", "", "not reached by Systems Manager within 15 minutes"), ("finish", "c", "did not end in its time")],
)
def test_what_outlasts_the_patience_is_ended(
    local_aws: Any, train: Train, method: str, command_id: str, words: str
) -> None:
    training = train(SLOW)
    booting = defer(operator(training).execute)
    impatient = InstanceTrigger(**{**booting.serialize()[1], "attempts": 0})
    event = {**event_of(impatient), "command_id": command_id}
    assert event["status"] == "timeout"
    with pytest.raises(JobFailedError, match=words):
        getattr(operator(training), method)(NO_CONTEXT, event, adopted=True)
    assert living(local_aws, training) == []


def test_a_refusal_while_waiting_ends_the_instance_and_is_final(local_aws: Any, train: Train) -> None:
    training = train(SLOW)
    booting = defer(operator(training).execute)
    iam = local_aws.client("iam")
    role = {"RoleName": "kennel-pugs-airflow", "PolicyName": "instances"}
    policy = iam.get_role_policy(**role)["PolicyDocument"]
    [sees] = [part for part in policy["Statement"] if part["Sid"] == "SeeInstancesAndQuotas"]
    sees["Action"].remove("ssm:DescribeInstanceInformation")
    iam.put_role_policy(**role, PolicyDocument=json.dumps(policy))
    event = event_of(booting)
    sees["Action"].append("ssm:DescribeInstanceInformation")
    iam.put_role_policy(**role, PolicyDocument=json.dumps(policy))
    with pytest.raises(AirflowFailException, match=r"ssm:DescribeInstanceInformation.*was terminated"):
        operator(training).begin(NO_CONTEXT, event, adopted=False)
    assert living(local_aws, training) == []


@pytest.fixture
def room(local_aws: Any) -> Iterator[Callable[[int], object]]:
    """Say how many Spot instances there is room for."""
    file = local_aws.home / "capacity.json"
    yield lambda spot: file.write_text(json.dumps({"spot": spot}))
    file.unlink(missing_ok=True)


def lifecycle(local_aws: Any, instance_id: str) -> str:
    found = instances.described(local_aws.client("ec2"), instance_id)
    return str(found.get("InstanceLifecycle", "on-demand"))


def test_without_a_spot_instance_it_is_on_demand(local_aws: Any, train: Train, room: Any) -> None:
    training = train(SLOW)
    room(0)
    launched = defer(operator(training, "spot").execute)
    assert lifecycle(local_aws, launched.instance_id) == "on-demand"


def test_an_interrupted_spot_instance_is_followed_by_one_on_demand(local_aws: Any, train: Train, room: Any) -> None:
    training = train(SLOW)
    at_work = begun(training, "spot")
    assert lifecycle(local_aws, at_work.instance_id) == "spot"
    room(0)
    event = event_of(at_work)
    assert event["status"] == "gone"
    followed = defer(operator(training, "spot").finish, event, adopted=False)
    assert lifecycle(local_aws, followed.instance_id) == "on-demand"
    assert living(local_aws, training) == [followed.instance_id]


def test_leftovers_are_what_is_older_than_its_own_limit(local_aws: Any, pugs: Classifier, train: Train) -> None:
    training, ec2 = train(SLOW), local_aws.client("ec2")
    instance_id = defer(operator(training).execute).instance_id
    limit = timedelta(minutes=specs.limit_minutes(pugs))
    assert instances.leftovers(ec2, pugs.name, datetime.now(UTC)) == []
    assert instances.leftovers(ec2, "poodles", datetime.now(UTC) + 2 * limit) == []
    old = instances.leftovers(ec2, pugs.name, datetime.now(UTC) + limit)
    assert [found["InstanceId"] for found in old] == [instance_id]


@pytest.fixture
def quota(local_aws: Any) -> Iterator[Callable[..., object]]:
    """Say what the account's quotas are."""
    file = local_aws.home / "quotas.json"
    yield lambda **values: file.write_text(json.dumps({code.replace("_", "-"): n for code, n in values.items()}))
    file.unlink(missing_ok=True)


def asked(local_aws: Any, instance_type: str, market: str = "on-demand", run: str = "none") -> tuple[str, list[str]]:
    ec2, quotas = local_aws.client("ec2"), local_aws.client("service-quotas")
    return market_with_room(ec2, quotas, instance_type, market, run)


def test_a_quota_without_room_is_named_with_its_code_and_both_numbers(local_aws: Any) -> None:
    with pytest.raises(QuotaError) as refusal:
        asked(local_aws, "g4dn.xlarge")
    assert str(refusal.value) == (
        "Running On-Demand G and VT instances (quota L-DB2E81BA): g4dn.xlarge needs 4 vCPUs, 0 of 0 are in use: "
        "ask for more with `aws service-quotas request-service-quota-increase --service-code ec2 "
        "--quota-code L-DB2E81BA --desired-value 4`, or take a smaller instance_type"
    )
    assert refusal.value.lasting


def test_what_runs_in_the_family_counts_but_not_the_runs_own(local_aws: Any, train: Train) -> None:
    training = train(SLOW)
    defer(operator(training).execute)
    with pytest.raises(QuotaError, match=r"m5\.xlarge needs 4 vCPUs, 4 of 5 are in use.*--desired-value 8") as refusal:
        asked(local_aws, "m5.xlarge")
    assert not refusal.value.lasting
    assert asked(local_aws, "m5.xlarge", run=training.run)[0] == "on-demand"
    assert asked(local_aws, "m5.xlarge", "spot")[0] == "spot"


def test_without_quota_for_spot_it_is_on_demand(local_aws: Any, quota: Any) -> None:
    quota(L_34B43A08=2)
    market, found = asked(local_aws, "m5.xlarge", "spot")
    assert market == "on-demand"
    assert found[0].startswith("All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests (quota L-34B43A08)")
    assert found[1].startswith("Running On-Demand Standard")


@pytest.mark.parametrize("instance_type", ["inf2.xlarge", "trn1.2xlarge", "x2gd.large", "hpc6a.48xlarge"])
def test_a_family_with_a_quota_of_its_own_is_refused(local_aws: Any, instance_type: str) -> None:
    with pytest.raises(QuotaError, match=f"{instance_type} has a quota of its own"):
        check(local_aws.client("ec2"), local_aws.client("service-quotas"), instance_type, "on-demand", "none")
