"""What served before a deploy that failed comes back by itself, and the run fails with the reason."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
from botocore.exceptions import ClientError

from kennel import hosting
from kennel.defaults import ModelAtFaultError
from kennel.functions import Alias
from kennel.operators.functions import DeployFunctionOperator
from kennel.operators.hosting import EndpointOperator
from kennel.operators.rollback import RollBackOperator, in_service
from tests.conftest import LocalAws, running_local_aws
from tests.dags.hosting import IMAGE, NO_CONTEXT, label, make_role, run, says
from tests.localaws.hosting import eventually

STATES = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")


@pytest.fixture(scope="module")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS whose minutes last a second: an update's bake is as short."""
    with running_local_aws(tmp_path_factory.mktemp("fast") / "home", LOCALAWS_CLOCK_SPEED="60") as aws:
        yield aws


@pytest.fixture(scope="module")
def role_arn(local_aws: LocalAws) -> str:
    return make_role(local_aws)


@pytest.fixture(scope="module")
def bucket(local_aws: LocalAws) -> str:
    local_aws.client("s3").create_bucket(Bucket="operators")
    return "operators"


@pytest.fixture
def package(local_aws: LocalAws, name: str) -> str:
    """An approved version in the registry."""
    sagemaker = local_aws.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName=name)
    arn: str = sagemaker.create_model_package(
        ModelPackageGroupName=name,
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://b/m.tar.gz"}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]
    return arn


def target(name: str) -> dict[str, Any]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }


def alarms(name: str, metric: str) -> list[dict[str, Any]]:
    return [
        {
            "AlarmName": f"{name}-5xx",
            "Namespace": "AWS/SageMaker",
            "MetricName": metric,
            "Dimensions": [
                {"Name": "EndpointName", "Value": name},
                {"Name": "VariantName", "Value": "AllTraffic"},
            ],
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 0.0,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        }
    ]


def endpoint(name: str, config: str, bake_minutes: int = 2, metric: str = "Invocation5XXErrors") -> EndpointOperator:
    routing = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    return EndpointOperator(
        task_id="deploy_endpoint",
        check_interval=1,
        max_ingestion_time=120,
        config={"EndpointName": name, "EndpointConfigName": config},
        alarms=alarms(name, metric),
        blue_green={"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 60 * bake_minutes},
    )


def roll_back(
    name: str, previous: dict[str, Any], package: str, *, reason: str = "it barks.", at_fault: bool = False
) -> str:
    """The message with which it fails, as it must."""
    tracking = {
        "TargetValue": 30.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    }
    policy = {"PolicyName": "p", "PolicyType": "TargetTrackingScaling"}
    arguments: dict[str, Any] = {
        "task_id": "roll_back",
        "check_interval": 1,
        "max_ingestion_time": 120,
        "config": {"EndpointName": name, "EndpointConfigName": previous.get("endpoint_config") or ""},
        "previous": previous,
        "failure": {"task_id": "smoke_test", "reason": reason, "model_at_fault": at_fault},
        "package_arn": package,
        "rehearsal": f"{name}-rehearsal",
        "function": name,
        "alias": "live",
        "target": {
            **target(name),
            "MinCapacity": 1,
            "MaxCapacity": 2,
            "SuspendedState": dict.fromkeys(STATES, False),
        },
        "policy": {**target(name), **policy, "TargetTrackingScalingPolicyConfiguration": tracking},
    }
    with pytest.raises(AirflowFailException, match="smoke_test failed: it barks") as failed:
        run(lambda: RollBackOperator(**arguments))
    return str(failed.value)


def function(folder: Path, name: str, role_arn: str, memory: int, provisioned: int) -> None:
    (folder / "handler.py").write_text("def lambda_handler(event, context):\n    return {}\n")
    DeployFunctionOperator(
        task_id="deploy_function",
        package=folder,
        alias="live",
        provisioned_concurrency=provisioned,
        reserved_concurrency=0,
        configuration={
            "FunctionName": name,
            "Role": role_arn,
            "Runtime": "python3.12",
            "Handler": f"{folder.name}.handler.lambda_handler",
            "MemorySize": memory,
        },
    ).execute(NO_CONTEXT)


def status(local_aws: LocalAws, package: str) -> tuple[str, str | None]:
    found = local_aws.client("sagemaker").describe_model_package(ModelPackageName=package)
    return found["ModelApprovalStatus"], found.get("ApprovalDescription")


def test_endpoint_function_and_scaling_come_back_however_often_it_runs(
    local_aws: LocalAws, config: Any, name: str, role_arn: str, package: str, tmp_path: Path
) -> None:
    sagemaker, alias = local_aws.client("sagemaker"), Alias(local_aws.client("lambda"), name, "live")
    run(lambda: endpoint(name, config(name, says("pug"))))
    function(tmp_path, name, role_arn, 128, 2)
    previous = in_service(sagemaker, name, alias)
    assert previous == {"endpoint_config": name, "alias_version": "1", "provisioned_concurrency": 2}

    scaling = local_aws.client("application-autoscaling")
    scaling.register_scalable_target(**target(name), MinCapacity=1, MaxCapacity=2)
    run(lambda: endpoint(name, config(f"{name}-b", says("boxer"))))
    function(tmp_path, name, role_arn, 256, 1)
    assert (label(local_aws, name), alias.version, alias.provisioned) == ("boxer", "2", 1)

    for outcome in ("serves again", "has served on"):
        assert f"{name} {outcome}, with version 1 of the function." in roll_back(name, previous, package)
        assert (label(local_aws, name), alias.version, alias.provisioned) == ("pug", "1", 2)
        found = scaling.describe_scalable_targets(
            ServiceNamespace="sagemaker", ResourceIds=[target(name)["ResourceId"]]
        )
        assert set(found["ScalableTargets"][0]["SuspendedState"].values()) == {False}
    assert status(local_aws, package) == ("Approved", None)


def test_another_instance_type_comes_back_and_scales_again(
    local_aws: LocalAws, config: Any, name: str, package: str
) -> None:
    run(lambda: endpoint(name, config(name, says("pug"))))
    previous = in_service(local_aws.client("sagemaker"), name, Alias(local_aws.client("lambda"), name, "live"))
    run(lambda: endpoint(name, config(f"{name}-b", says("boxer"), "ml.m5.xlarge")))
    scaling = local_aws.client("application-autoscaling")
    scaling.register_scalable_target(**target(name), MinCapacity=1, MaxCapacity=2)
    roll_back(name, previous, package)
    assert label(local_aws, name) == "pug"
    found = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=target(name)["ResourceId"])
    assert [policy["PolicyName"] for policy in found["ScalingPolicies"]] == ["p"]


def test_an_update_still_under_way_is_waited_for_and_taken_back(
    local_aws: LocalAws, config: Any, name: str, package: str
) -> None:
    sagemaker = local_aws.client("sagemaker")
    run(lambda: endpoint(name, config(name, says("pug"))))
    previous = in_service(sagemaker, name, Alias(local_aws.client("lambda"), name, "live"))
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config(f"{name}-b", says("boxer")))
    assert "serves again" in roll_back(name, previous, package)
    assert label(local_aws, name) == "pug"


def test_a_model_at_fault_is_rejected_with_the_reason_and_a_rehearsal_ended(
    local_aws: LocalAws, config: Any, name: str, package: str
) -> None:
    sagemaker = local_aws.client("sagemaker")
    run(lambda: endpoint(name, config(name, says("pug"))))
    previous = in_service(sagemaker, name, Alias(local_aws.client("lambda"), name, "live"))
    run(lambda: endpoint(f"{name}-rehearsal", name))
    reason = "it barks.\nTraceback (most recent call last)"
    assert "has served on" in roll_back(name, previous, package, reason=reason, at_fault=True)
    rejected = "Rejected", "smoke_test failed: it barks. Traceback (most recent call last)"
    assert status(local_aws, package) == rejected
    sagemaker.get_waiter("endpoint_deleted").wait(
        EndpointName=f"{name}-rehearsal", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )


def test_a_rehearsal_that_is_still_coming_up_is_ended_by_a_later_try(
    local_aws: LocalAws, config: Any, name: str
) -> None:
    sagemaker = local_aws.client("sagemaker")
    slow = f"import time; time.sleep(2)\n{says('pug')}"
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config(name, slow))
    with pytest.raises(AirflowException, match="is Creating"):
        hosting.end(sagemaker, name)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    hosting.end(sagemaker, name)
    hosting.end(sagemaker, name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    hosting.end(sagemaker, name)


def test_a_first_deploy_leaves_no_alias_and_says_that_nothing_served(
    local_aws: LocalAws, config: Any, name: str, role_arn: str, package: str, tmp_path: Path
) -> None:
    sagemaker, alias = local_aws.client("sagemaker"), Alias(local_aws.client("lambda"), name, "live")
    previous = in_service(sagemaker, name, alias)
    run(lambda: endpoint(name, config(name, says("pug"))))
    function(tmp_path, name, role_arn, 128, 1)
    assert "nothing to go back to" in roll_back(name, previous, package)
    assert alias.version is None


def test_a_run_that_had_chosen_no_model_has_changed_nothing(name: str) -> None:
    assert roll_back(name, {}, "") == "Nothing was changed: smoke_test failed: it barks."


def test_an_alarm_calls_an_update_back_by_the_models_fault(local_aws: LocalAws, config: Any, name: str) -> None:
    sagemaker, runtime = local_aws.client("sagemaker"), local_aws.client("sagemaker-runtime")
    run(lambda: endpoint(name, config(name, says("pug"))))
    bad = config(f"{name}-b", says("pug", before="raise ValueError('sour')"))

    with pytest.raises(TaskDeferred):
        endpoint(name, bad, bake_minutes=30).execute(NO_CONTEXT)

    def called_back() -> bool:
        try:
            runtime.invoke_endpoint(EndpointName=name, ContentType="image/jpeg", Body=b"x")
        except ClientError as error:
            assert "sour" in str(error)
        return bool(sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService")

    eventually(called_back)
    with pytest.raises(ModelAtFaultError, match=f"in ALARM were {name}-5xx"):
        endpoint(name, bad).execute_complete(NO_CONTEXT, {"status": "success"})
    assert label(local_aws, name) == "pug"


def test_an_alarm_that_is_in_alarm_before_the_update_does_not_call_the_remedy_back(
    local_aws: LocalAws, config: Any, name: str
) -> None:
    metric = "NoSuchMetric"  # so the alarm stays in its state
    run(lambda: endpoint(name, config(name, says("pug")), metric=metric))
    cloudwatch = local_aws.client("cloudwatch")
    cloudwatch.set_alarm_state(AlarmName=f"{name}-5xx", StateValue="ALARM", StateReason="test")
    run(lambda: endpoint(name, config(f"{name}-b", says("boxer")), metric=metric))
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[f"{name}-5xx"])["MetricAlarms"]
    assert alarm["StateValue"] == "ALARM"
    assert label(local_aws, name) == "boxer"
