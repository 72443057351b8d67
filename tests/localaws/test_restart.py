"""What is there after the server was killed in the middle of its work and started again on the same home."""

import datetime
import io
import json
import os
import signal
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from kennel.local.account import deploy_foundation
from kennel.names import Names
from tests.conftest import ANYONE_HERE, LocalAws, start_local_aws, stop_local_aws
from tests.localaws.hosting import Hosting, eventually, named
from tests.localaws.jobs import Workbench, unique

# The first trial ends, the others would go on for ten minutes.
TRIAL = """
import os, time
print("started", flush=True)
print("loss=0.5", flush=True)
if not os.environ["TRAINING_JOB_NAME"].rsplit("-", 1)[0].endswith("-001"):
    time.sleep(600)
"""
HANDLER = "import os\ndef handler(event, context):\n    print('heard', event)\n    return os.environ['WORD']\n"


@dataclass
class Account:
    """An account in the middle of its work, before and after.

    What a request sets going elsewhere (the stack's resources), and log events, are written down a little later: the
    server is killed when they have been.
    """

    home: Path
    aws: LocalAws
    bench: Workbench
    hosting: Hosting
    endpoint: str
    tuning_job: str
    user: dict[str, Any]
    session: dict[str, str]
    function: str
    before: dict[str, Any]
    left: list[psutil.Process]  # of the processes of the killed server


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    home = tmp_path_factory.mktemp("restart") / "home"
    aws = start_local_aws(home)
    bench = Workbench(aws)
    tuning_job = start_tuning(bench)
    hosting = Hosting.prepare(aws)
    endpoint = hosting.endpoint(hosting.config(hosting.model(named("lasting"))))
    session = aws.role({"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"})
    function = start_function(aws)
    fill(aws, bench)
    filled = time.time()
    eventually(lambda: len(started(bench, tuning_job)) == 3)
    before = seen(aws, bench, tuning_job)
    eventually(lambda: all(file.stat().st_mtime > filled for file in (home / "state").glob("*.json")))
    eventually(lambda: (home / "state/cloudwatch_logs.json").read_text().count('"message": "started"') == 3)
    user = make_user(aws)
    children = psutil.Process(aws.process.pid).children(recursive=True)

    os.kill(aws.process.pid, signal.SIGKILL)
    aws.process.wait()
    _, left = psutil.wait_procs(children, timeout=10)
    again = start_local_aws(home)
    after = hosting.__class__(
        again, again.client("sagemaker"), again.client("sagemaker-runtime"), hosting.bucket, hosting.role
    )
    bench = seen_through(again, bench)
    yield Account(home, again, bench, after, endpoint, tuning_job, user, session, function, before, left)
    stop_local_aws(again)


def seen_through(aws: LocalAws, bench: Workbench) -> Workbench:
    """The same bucket and role at the server that was started again."""
    bench.s3, bench.iam, bench.logs = aws.client("s3"), aws.client("iam"), aws.client("logs")
    bench.sagemaker = aws.client("sagemaker")
    return bench


def start_tuning(bench: Workbench) -> str:
    limits = {"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 2}
    request = bench.tuning_request(TRIAL, {"ResourceLimits": limits})
    bench.sagemaker.create_hyper_parameter_tuning_job(**request)
    return str(request["HyperParameterTuningJobName"])


def start_function(aws: LocalAws) -> str:
    """A function with a published version and an alias, asked once."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("work.py", HANDLER)
    trust = json.dumps(ANYONE_HERE)
    role = aws.client("iam").create_role(RoleName=unique("function"), AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    client, name = aws.client("lambda"), unique("function")
    client.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="work.handler",
        Role=role,
        Code={"ZipFile": zipped.getvalue()},
        Environment={"Variables": {"WORD": "kept"}},
        Publish=True,
    )
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert answer(client, name) == "kept"
    return name


def answer(client: Any, function: str) -> Any:
    return json.loads(client.invoke(FunctionName=f"{function}:live", Payload=b"{}")["Payload"].read())


def make_user(aws: LocalAws) -> dict[str, Any]:
    """A user who may list users, and a key of hers."""
    iam, name = aws.client("iam"), unique("user")
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="look", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


def fill(aws: LocalAws, bench: Workbench) -> None:
    """One of each of what a classifier stands on."""
    deploy_foundation(aws.client, Names("dogs", aws.account_id, aws.region))
    bench.s3.put_bucket_versioning(Bucket=bench.bucket, VersioningConfiguration={"Status": "Enabled"})
    bench.put("twice", "one")
    bench.put("twice", "two")
    aws.client("sns").create_topic(Name="alerts")
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName="errors",
        Namespace="AWS/Lambda",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    aws.client("cloudwatch").put_metric_data(
        Namespace="Restart", MetricData=[{"MetricName": "kept", "Value": 42, "Timestamp": time.time()}]
    )
    bench.sagemaker.create_model_package_group(ModelPackageGroupName="dogs", Tags=[{"Key": "team", "Value": "pets"}])


def seen(aws: LocalAws, bench: Workbench, tuning_job: str) -> dict[str, Any]:
    """All that was made, as a client sees it."""
    stack = aws.client("cloudformation").describe_stacks(StackName="kennel-dogs")["Stacks"][0]
    iam, cloudwatch = aws.client("iam"), aws.client("cloudwatch")
    now = datetime.datetime.now(datetime.UTC)
    kept = cloudwatch.get_metric_statistics(
        Namespace="Restart",
        MetricName="kept",
        StartTime=now - datetime.timedelta(hours=1),
        EndTime=now + datetime.timedelta(minutes=1),
        Period=60,
        Statistics=["Maximum"],
    )
    group = bench.sagemaker.describe_model_package_group(ModelPackageGroupName="dogs")
    return {
        "stack": (stack["StackStatus"], stack["Outputs"]),
        "roles": sorted(role["RoleName"] for role in iam.list_roles()["Roles"]),
        "policies": iam.list_role_policies(RoleName="kennel-dogs-sagemaker")["PolicyNames"],
        "profiles": [profile["InstanceProfileName"] for profile in iam.list_instance_profiles()["InstanceProfiles"]],
        "buckets": sorted(bucket["Name"] for bucket in bench.s3.list_buckets()["Buckets"]),
        "versions": [
            (version["VersionId"], version["IsLatest"])
            for version in bench.s3.list_object_versions(Bucket=bench.bucket, Prefix="twice")["Versions"]
        ],
        "topics": sorted(topic["TopicArn"] for topic in aws.client("sns").list_topics()["Topics"]),
        "alarms": [alarm["AlarmName"] for alarm in cloudwatch.describe_alarms()["MetricAlarms"]],
        "metric": [point["Maximum"] for point in kept["Datapoints"]],
        "log groups": sorted(entry["logGroupName"] for entry in bench.logs.describe_log_groups()["logGroups"]),
        "started": started(bench, tuning_job),
        "package group": {key: value for key, value in group.items() if key != "ResponseMetadata"},
        "tags": bench.sagemaker.list_tags(ResourceArn=group["ModelPackageGroupArn"])["Tags"],
    }


def started(bench: Workbench, tuning_job: str) -> list[str]:
    """The log streams of the trials whose script has begun, once for each time it did."""
    found = bench.logs.filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=tuning_job, filterPattern="started"
    )
    return sorted(event["logStreamName"] for event in found["events"])


def test_everything_created_is_still_there(account: Account) -> None:
    after = seen(account.aws, account.bench, account.tuning_job)
    for what, before in account.before.items():
        assert after[what] == before, what


def test_a_key_made_just_before_the_end_still_opens_what_it_opened(account: Account) -> None:
    assert account.aws.client("iam", **account.user).list_users()["Users"]


def test_who_had_assumed_a_role_goes_on_with_it(account: Account) -> None:
    assert "Contents" in account.aws.client("s3", **account.session).list_objects_v2(Bucket=account.bench.bucket)


def test_interrupted_jobs_say_so_and_finished_ones_are_as_they_were(account: Account) -> None:
    sagemaker = account.bench.sagemaker
    job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=account.tuning_job)
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert "The local AWS was restarted" in job["FailureReason"]
    assert job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.5
    trials = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=account.tuning_job, SortBy="Name", SortOrder="Ascending"
    )["TrainingJobSummaries"]
    assert [trial["TrainingJobStatus"] for trial in trials] == ["Completed", "Failed", "Failed"]
    assert all("The local AWS was restarted" in trial["FailureReason"] for trial in trials[1:])
    first = sagemaker.describe_training_job(TrainingJobName=trials[0]["TrainingJobName"])
    assert account.bench.unpacked(first["ModelArtifacts"]["S3ModelArtifacts"]) == {}


def test_nothing_runs_twice(account: Account) -> None:
    """Every trial began once, the tuning job has taken up no others, and no process outlived the server."""
    assert not account.left
    account.hosting.at_rest(account.endpoint)  # by then whatever recovers has recovered
    assert len(started(account.bench, account.tuning_job)) == 3
    assert not list((account.home / "jobs").glob("*/*"))


def test_endpoints_serve_again(account: Account) -> None:
    assert account.hosting.at_rest(account.endpoint)["EndpointStatus"] == "InService"
    assert account.hosting.invoke(account.endpoint)["name"] == "lasting"


def test_functions_answer_again(account: Account) -> None:
    client = account.aws.client("lambda")
    assert client.get_alias(FunctionName=account.function, Name="live")["FunctionVersion"] == "1"
    assert answer(client, account.function) == "kept"
