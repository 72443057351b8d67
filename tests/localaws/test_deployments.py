"""UpdateEndpoint's deployment configs: how the traffic goes over to a new fleet, and when it comes back."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import running_local_aws
from tests.localaws.hosting import Hosting, eventually, named, refusal, unique


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosting]:
    """A local AWS whose minutes last a second."""
    with running_local_aws(tmp_path_factory.mktemp("fast") / "home", LOCALAWS_CLOCK_SPEED="60") as aws:
        yield Hosting.prepare(aws)


def routing(kind: str, wait: int, **size: int) -> dict[str, Any]:
    """A deployment config; the step's size is in percent."""
    steps = {name: {"Type": "CAPACITY_PERCENT", "Value": value} for name, value in size.items()}
    return {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": kind, "WaitIntervalInSeconds": wait, **steps}}
    }


def alarm(hosting: Hosting) -> str:
    """An alarm that is not in ALARM."""
    name = unique("alarm")
    hosting.aws.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="Elsewhere",
        MetricName=name,
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    return name


def baking(hosting: Hosting, endpoint: str) -> Any:
    """The pending deployment once its new fleet has traffic."""

    def pending() -> Any:
        summary = hosting.sagemaker.describe_endpoint(EndpointName=endpoint).get("PendingDeploymentSummary")
        return (
            summary if summary and summary["ProductionVariants"][0]["VariantStatus"][0]["Status"] == "Baking" else None
        )

    return eventually(pending)


def test_a_canary_gets_its_share_before_the_rest_follows(fast: Hosting) -> None:
    name = fast.endpoint(fast.config(fast.model(named("old"))))
    new = fast.config(fast.model(named("new")), count=2)
    config = routing("CANARY", 300, CanarySize=50)

    fast.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=config)
    pending = baking(fast, name)
    status = fast.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]
    answers = {fast.invoke(name)["name"] for _ in range(40)}
    description = fast.at_rest(name)
    afterwards = {fast.invoke(name)["name"] for _ in range(10)}
    fast.delete(name)

    assert (pending["EndpointConfigName"], pending["ProductionVariants"][0]["CurrentInstanceCount"]) == (new, 2)
    assert answers == {"old", "new"}
    assert status == "Updating"
    assert (description["EndpointConfigName"], description["LastDeploymentConfig"]) == (new, config)
    assert "PendingDeploymentSummary" not in description
    assert afterwards == {"new"}


def test_an_alarm_sends_the_traffic_back(fast: Hosting) -> None:
    old = fast.config(fast.model(named("old")))
    name = fast.endpoint(old)
    before = fast.processes()
    watched = unique("errors")
    fast.aws.client("cloudwatch").put_metric_alarm(
        AlarmName=watched,
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "AllTraffic"}],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
    )
    config = routing("LINEAR", 3600, LinearStepSize=50) | {
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": watched}]}
    }

    failing = fast.config(fast.model(named("new") + "\ndef predict_fn(data, model): raise KeyError('breed')"))
    fast.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=failing, DeploymentConfig=config)
    baking(fast, name)

    def sent_back() -> bool:
        with contextlib.suppress(ClientError):  # what half of the requests get meanwhile
            fast.invoke(name)
        return bool(fast.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] != "Updating")

    eventually(sent_back)
    description = fast.at_rest(name)
    answers = {fast.invoke(name)["name"] for _ in range(10)}
    processes = fast.processes()
    fast.delete(name)

    assert (description["EndpointStatus"], description["EndpointConfigName"]) == ("InService", old)
    assert watched in description["FailureReason"]
    assert answers == {"old"}
    assert processes == before


def test_the_old_fleet_stands_by_until_the_termination_wait_is_over(fast: Hosting) -> None:
    old = fast.config(fast.model(named("old")))
    name = fast.endpoint(old)
    watched = alarm(fast)
    config = routing("ALL_AT_ONCE", 0) | {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": watched}]}}
    config["BlueGreenUpdatePolicy"]["TerminationWaitInSeconds"] = 3600

    fast.sagemaker.update_endpoint(
        EndpointName=name, EndpointConfigName=fast.config(fast.model(named("new"))), DeploymentConfig=config
    )
    baking(fast, name)
    during = {fast.invoke(name)["name"] for _ in range(10)}
    fast.aws.client("cloudwatch").set_alarm_state(AlarmName=watched, StateValue="ALARM", StateReason="errors")
    fast.at_rest(name)
    afterwards = fast.invoke(name)["name"]
    fast.delete(name)

    assert during == {"new"}
    assert afterwards == "old"


def test_a_role_that_may_not_see_the_alarms_gets_no_update(fast: Hosting) -> None:
    hosting = Hosting.prepare(fast.aws)
    hosting.aws.client("iam").delete_role_policy(RoleName=hosting.bucket, PolicyName="alarms")
    old = hosting.config(hosting.model(named("old")))
    name = hosting.endpoint(old)
    config = routing("ALL_AT_ONCE", 0) | {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm(hosting)}]}}
    new = hosting.config(hosting.model(named("new")))
    hosting.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=config)
    description = hosting.at_rest(name)
    hosting.delete(name)
    assert (description["EndpointStatus"], description["EndpointConfigName"]) == ("InService", old)
    assert "cloudwatch:DescribeAlarms" in description["FailureReason"]


def test_a_fleet_that_does_not_come_up_leaves_the_old_one(fast: Hosting) -> None:
    old = fast.config(fast.model(named("old")))
    name = fast.endpoint(old)
    broken = fast.config(fast.model("def model_fn(model_dir): raise RuntimeError('no weights')"))

    fast.sagemaker.update_endpoint(
        EndpointName=name, EndpointConfigName=broken, DeploymentConfig=routing("CANARY", 60, CanarySize=10)
    )
    description = fast.at_rest(name)
    answer = fast.invoke(name)["name"]
    fast.delete(name)

    assert (description["EndpointStatus"], description["EndpointConfigName"]) == ("InService", old)
    assert "no weights" in description["FailureReason"]
    assert answer == "old"


def test_refuses_a_deployment_that_cannot_be_followed(fast: Hosting) -> None:
    config = fast.config(fast.model(named("still")))
    name = fast.endpoint(config)
    batch = {"MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 10}, "WaitIntervalInSeconds": 0}
    impatient = routing("LINEAR", 3600, LinearStepSize=10)
    impatient["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] = 600
    for wrong, reason in (
        (routing("CANARY", 0, CanarySize=51), "CanarySize must be from 1 to 50 percent"),
        (routing("LINEAR", 0, LinearStepSize=9), "LinearStepSize must be from 10 to 50 percent"),
        (routing("CANARY", 0), "needs a CanarySize"),
        (routing("ALL_AT_ONCE", 0, CanarySize=10), "does not go with"),
        (impatient, "MaximumExecutionTimeoutInSeconds must be more than"),
        ({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "absent"}]}}, "absent"),
        ({"RollingUpdatePolicy": batch}, "RollingUpdatePolicy is not built"),
    ):
        code, message = refusal(
            fast.sagemaker.update_endpoint, EndpointName=name, EndpointConfigName=config, DeploymentConfig=wrong
        )
        assert (code, reason in message) == ("ValidationException", True), message
    assert fast.at_rest(name)["EndpointStatus"] == "InService"
    fast.delete(name)
