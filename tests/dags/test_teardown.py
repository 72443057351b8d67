"""Taking a classifier down on the local AWS, with the rights of Airflow's role: everything is real, and really gone."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kennel import cli, teardown
from kennel.config import ROOT, load
from kennel.names import Names
from kennel.operators.functions import DeployFunctionOperator
from kennel.specs import serving
from tests.localaws.hosting import Hosting
from tests.localaws.machines import Machines
from tests.localaws.test_foundation import foundation

SLOW = "import time\ndef model_fn(place): time.sleep(3)\n"
INVOKED = {"MetricName": "Invocation5XXErrors", "Namespace": "AWS/SageMaker", "Statistic": "Sum"}
EVERYTHING = {"models": True, "data": True}


@pytest.fixture(scope="module")
def roles(local_aws: Any) -> Iterator[dict[str, str]]:
    """The foundation of the classifier `dogs`; its outputs."""
    with foundation(local_aws, Classifier="dogs", RequireTls="false") as outputs:
        yield outputs


@pytest.fixture
def at(local_aws: Any) -> Names:
    return Names("dogs", local_aws.account_id, local_aws.region)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def account(local_aws: Any, roles: dict[str, str], at: Names, said: list[str]) -> teardown.Account:
    keys = local_aws.client("sts").assume_role(RoleArn=roles["AirflowRoleArn"], RoleSessionName="test")["Credentials"]
    names = {"aws_access_key_id": "AccessKeyId", "aws_secret_access_key": "SecretAccessKey"}
    as_airflow = {name: keys[key] for name, key in {**names, "aws_session_token": "SessionToken"}.items()}
    return teardown.Account(
        lambda service: local_aws.client(service, **as_airflow), at, say=said.append, poll_seconds=0.2
    )


class Classifier:
    """What deploy and retrain leave behind of `dogs`, made by root."""

    def __init__(self, local_aws: Any, at: Names, roles: dict[str, str]) -> None:
        self.aws, self.at, self.roles = local_aws, at, roles
        self.sagemaker = local_aws.client("sagemaker")

    def endpoint(self, name: str, inference: str = "def model_fn(place): return 1\n") -> None:
        """An endpoint, not waited for, and its config and model."""
        hosting = Hosting.prepare(self.aws)
        key = hosting.model(inference)
        made = self.sagemaker.describe_model(ModelName=key)
        model = {"ExecutionRoleArn": made["ExecutionRoleArn"], "PrimaryContainer": made["PrimaryContainer"]}
        record = f"dogs-{name}"
        self.sagemaker.create_model(ModelName=record, **model)
        variant = {"VariantName": "AllTraffic", "ModelName": record, "InstanceType": "ml.m5.large"}
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=record, ProductionVariants=[{**variant, "InitialInstanceCount": 1}]
        )
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=record)

    def scaling(self) -> None:
        self.sagemaker.get_waiter("endpoint_in_service").wait(
            EndpointName=self.at.endpoint, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        scaling, classifier = self.aws.client("application-autoscaling"), load("dogs", {"KENNEL_ACCOUNT_ID": "0" * 12})
        scaling.register_scalable_target(**serving.scalable_target(classifier))
        scaling.put_scaling_policy(**serving.scaling_policy(classifier))

    def function(self) -> None:
        """A function with a version, the alias `live` and provisioned concurrency."""
        DeployFunctionOperator(
            task_id="deploy_function",
            package=ROOT / "lambda" / "invoke_endpoint",
            alias="live",
            provisioned_concurrency=1,
            reserved_concurrency=2,
            configuration={
                "FunctionName": self.at.function,
                "Role": self.roles["FunctionRoleArn"],
                "Runtime": "python3.12",
                "Handler": "invoke_endpoint.handler.lambda_handler",
            },
        ).execute({})

    def alarm(self, name: str = "kennel-dogs-5xx") -> None:
        comparison = {"ComparisonOperator": "GreaterThanThreshold", "Threshold": 0, "EvaluationPeriods": 1}
        self.aws.client("cloudwatch").put_metric_alarm(AlarmName=name, Period=60, **comparison, **INVOKED)

    def alarms(self, prefix: str) -> list[str]:
        answer = self.aws.client("cloudwatch").describe_alarms(AlarmNamePrefix=prefix)
        return [alarm["AlarmName"] for alarm in answer["MetricAlarms"]]

    def models(self) -> None:
        group = {"ModelPackageGroupName": self.at.package_group}
        self.sagemaker.create_model_package_group(**group)
        container = {"Image": "pytorch-inference:2.6", "ModelDataUrl": self.at.uri("runs/dogs/one/model.tar.gz")}
        specification = {
            "Containers": [container],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        }
        for _ in range(2):
            self.sagemaker.create_model_package(**group, InferenceSpecification=specification)

    def objects(self) -> None:
        """One below each prefix, an older version of one, one that was deleted, and a log."""
        s3 = self.aws.client("s3")
        prefixes = (*teardown.MODELS, *teardown.DATA, "logs/")
        for key in [*(f"{prefix}dogs/one" for prefix in prefixes), "runs/dogs/one", "datasets/dogs/two"]:
            s3.put_object(Bucket=self.at.bucket, Key=key, Body=os.urandom(4))
        s3.delete_object(Bucket=self.at.bucket, Key="datasets/dogs/two")

    def versions(self) -> list[str]:
        """The keys of all versions that are left."""
        page = self.aws.client("s3").list_object_versions(Bucket=self.at.bucket)
        return sorted(version["Key"] for kind in ("Versions", "DeleteMarkers") for version in page.get(kind, ()))


@pytest.fixture
def dogs(local_aws: Any, at: Names, roles: dict[str, str]) -> Iterator[Classifier]:
    """Where things are made; at the end the bucket is emptied, so that the stack can go."""
    yield Classifier(local_aws, at, roles)
    s3 = local_aws.client("s3")
    page = s3.list_object_versions(Bucket=at.bucket)
    for version in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
        s3.delete_object(Bucket=at.bucket, Key=version["Key"], VersionId=version["VersionId"])


@pytest.fixture
def deployed(dogs: Classifier) -> Classifier:
    """All that a classifier can have."""
    dogs.endpoint("kennel-dogs")
    dogs.endpoint("kennel-dogs-rehearsal")
    dogs.scaling()
    dogs.function()
    dogs.alarm()
    dogs.models()
    dogs.objects()
    return dogs


@pytest.fixture(scope="module")
def run_dag(
    local_aws: Any, roles: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run dags/teardown.py to its end, with these params, in a process of its own."""
    connection = {"conn_type": "aws", "extra": {"role_arn": roles["AirflowRoleArn"]}}
    environment = {
        **local_aws.env,
        "PATH": os.environ["PATH"],
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
        "KENNEL_ACCOUNT_ID": local_aws.account_id,
        "KENNEL_POLL_SECONDS": "1",
        "PYTHONPATH": str(ROOT / "plugins"),
    }
    script = f"""
import json, runpy, subprocess, sys
subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
dag = runpy.run_path({str(ROOT / "dags" / "teardown.py")!r})["dag"]
run = dag.test(run_conf=json.loads(sys.argv[1]))
sys.exit(run.state != "success")
"""

    def run(**params: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, json.dumps(params)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)

    return run


def test_takes_everything_down_and_a_second_time_finds_nothing(
    account: teardown.Account, deployed: Classifier, said: list[str]
) -> None:
    assert deployed.alarms("TargetTracking-endpoint/kennel-dogs/")
    listed = teardown.found(account, **EVERYTHING)
    group = "arn:aws:sagemaker:us-east-1:000000000000:model-package/kennel-dogs"
    assert sorted(listed) == sorted(
        [
            "scalable target endpoint/kennel-dogs/variant/AllTraffic",
            *("endpoint kennel-dogs", "endpoint kennel-dogs-rehearsal"),
            *("endpoint config dogs-kennel-dogs", "endpoint config dogs-kennel-dogs-rehearsal"),
            *("model dogs-kennel-dogs", "model dogs-kennel-dogs-rehearsal"),
            *("function kennel-dogs", "alarm kennel-dogs-5xx"),
            *(f"model package {group}/{version}" for version in (1, 2)),
            "model package group kennel-dogs",
            *(f"all objects below {account.at.uri(prefix)}" for prefix in (*teardown.MODELS, *teardown.DATA)),
        ]
    )
    teardown.delete(account, **EVERYTHING)
    teardown.check(account, **EVERYTHING)
    assert [line.removeprefix("Deleting ") for line in said if line.startswith("Deleting ")] == listed
    assert deployed.versions() == ["logs/dogs/one"]
    assert deployed.alarms("TargetTracking-endpoint/kennel-dogs/") == []
    said.clear()
    teardown.delete(account, **EVERYTHING)
    teardown.check(account, **EVERYTHING)
    assert said == []


def test_models_and_data_stay_unless_they_are_asked_for(account: teardown.Account, dogs: Classifier) -> None:
    dogs.models()
    dogs.objects()
    before = dogs.versions()
    assert teardown.found(account, models=False, data=False) == []
    teardown.delete(account, models=False, data=False)
    assert dogs.versions() == before
    teardown.delete(account, models=True, data=False)
    teardown.check(account, models=True, data=False)
    assert dogs.versions() == [key for key in before if not key.startswith("runs/")]


def test_what_others_have_stays(account: teardown.Account, dogs: Classifier, local_aws: Any) -> None:
    others = Hosting.prepare(local_aws)
    name = others.endpoint(others.config(others.model("def model_fn(place): return 1\n")))
    dogs.alarm("kennel-cats-5xx")
    teardown.delete(account, **EVERYTHING)
    assert dogs.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"
    assert dogs.alarms("kennel-") == ["kennel-cats-5xx"]
    local_aws.client("cloudwatch").delete_alarms(AlarmNames=["kennel-cats-5xx"])
    others.delete(name)


def test_an_endpoint_that_is_being_made_is_waited_for(
    account: teardown.Account, dogs: Classifier, said: list[str]
) -> None:
    dogs.endpoint("kennel-dogs", SLOW)
    teardown.delete(account, models=False, data=False)
    teardown.check(account, models=False, data=False)
    assert "Waiting for the endpoint kennel-dogs, which is Creating" in said


def test_what_is_left_is_an_error_that_names_it(account: teardown.Account, dogs: Classifier) -> None:
    dogs.alarm()
    teardown.delete(account, models=False, data=False)
    dogs.alarm("kennel-dogs-latency")
    with pytest.raises(teardown.TeardownError, match="Still there: alarm kennel-dogs-latency"):
        teardown.check(account, models=False, data=False)
    teardown.delete(account, models=False, data=False)


def test_the_dag_takes_it_down(run_dag: Callable[..., Any], account: teardown.Account, deployed: Classifier) -> None:
    done = run_dag(classifier="dogs", models=True, data=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert teardown.found(account, **EVERYTHING) == []
    assert "aws cloudformation delete-stack --stack-name kennel-dogs" in done.stdout + done.stderr


@pytest.mark.parametrize("params", [{}, {"classifier": "cats"}], ids=["nothing", "another"])
def test_the_dag_wants_the_classifiers_name(
    run_dag: Callable[..., Any], dogs: Classifier, account: teardown.Account, params: dict[str, str]
) -> None:
    dogs.alarm()
    done = run_dag(**params)
    assert done.returncode != 0
    assert "ParamValidationError" in done.stderr
    assert teardown.found(account, models=False, data=False) == ["alarm kennel-dogs-5xx"]
    teardown.delete(account, models=False, data=False)


@pytest.fixture
def kennel(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `kennel teardown`; gives its exit code."""

    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["kennel", "teardown", *arguments])
        with pytest.raises(SystemExit) as done:
            cli.main()
        return int(done.value.code or 0)

    return run


def test_the_command_lists_asks_and_deletes(
    kennel: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    account: teardown.Account,
    dogs: Classifier,
) -> None:
    monkeypatch.setattr("kennel.local.accounts.find", lambda home: Here(account))
    dogs.alarm()
    assert kennel() == 2
    shown = capsys.readouterr()
    assert "  alarm kennel-dogs-5xx\n" in shown.out
    assert shown.err == "kennel: Nothing was deleted, as there is nobody to ask: give --yes to delete all of this.\n"
    code = kennel("--yes")
    assert code == 0, capsys.readouterr()
    assert "Deleting alarm kennel-dogs-5xx\n" in capsys.readouterr().out
    assert kennel("--yes") == 0
    assert capsys.readouterr().out.startswith("There is nothing of dogs to delete.\n")


class Here:
    """The account of these tests, as the command finds accounts."""

    def __init__(self, account: teardown.Account) -> None:
        self.names, self.client = account.at, account.client


def test_an_instance_that_still_trains_goes_and_that_of_another_classifier_stays(
    local_aws: Any, account: teardown.Account
) -> None:
    ec2, machines = local_aws.client("ec2"), Machines(local_aws)

    def launched(classifier: str) -> str:
        tags = [{"Key": "kennel:classifier", "Value": classifier}]
        return machines.launch(TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])

    ours, theirs = launched("dogs"), launched("cats")
    assert teardown.found(account, models=False, data=False) == [f"instance {ours}"]
    teardown.delete(account, models=False, data=False)
    teardown.check(account, models=False, data=False)
    assert [machines.state(one) for one in (ours, theirs)] == ["terminated", "running"]
    ec2.terminate_instances(InstanceIds=[theirs])
