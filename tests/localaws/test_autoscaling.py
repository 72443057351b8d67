"""Application Auto Scaling of endpoints: what it lets be registered, and that it changes the number of processes."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import LocalAws, start_local_aws, stop_local_aws
from tests.localaws.hosting import Hosting, eventually, named, refusal

VARIANT = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}


def resource(endpoint: str, variant: str = "AllTraffic") -> dict[str, str]:
    """What names a variant in every call."""
    return {**VARIANT, "ResourceId": f"endpoint/{endpoint}/variant/{variant}"}


def tracking(target: float, **members: Any) -> dict[str, Any]:
    """A target tracking policy on invocations per instance."""
    return {
        "PolicyName": "invocations",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": target,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
            **members,
        },
    }


@pytest.fixture(scope="module")
def hosting(local_aws: LocalAws) -> Hosting:
    return Hosting.prepare(local_aws)


@pytest.fixture(scope="module")
def scaling(local_aws: LocalAws) -> Any:
    return local_aws.client("application-autoscaling")


@pytest.fixture
def endpoint(hosting: Hosting) -> Iterator[str]:
    name = hosting.endpoint(hosting.config(hosting.model(named("scaled"))))
    yield name
    hosting.delete(name)


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosting]:
    """A local AWS whose minutes last a second."""
    aws = start_local_aws(tmp_path_factory.mktemp("fast") / "home", LOCALAWS_CLOCK_SPEED="60")
    yield Hosting.prepare(aws)
    stop_local_aws(aws)


def test_describes_what_was_registered(scaling: Any, endpoint: str) -> None:
    scaling.register_scalable_target(**resource(endpoint), MinCapacity=1, MaxCapacity=3)
    scaling.register_scalable_target(**resource(endpoint), MaxCapacity=2)
    cooldowns = {"ScaleInCooldown": 60, "ScaleOutCooldown": 30}
    put = scaling.put_scaling_policy(**resource(endpoint), **tracking(30, **cooldowns))
    put_again = scaling.put_scaling_policy(**resource(endpoint), **tracking(25, **cooldowns))

    ids = [resource(endpoint)["ResourceId"]]
    [target] = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=ids)["ScalableTargets"]
    [policy] = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=ids[0])["ScalingPolicies"]

    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 2)
    assert target["ScalableTargetARN"].startswith(
        "arn:aws:application-autoscaling:us-east-1:000000000000:scalable-target/"
    )
    assert target["RoleARN"].endswith("AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint")
    assert put_again["PolicyARN"] == put["PolicyARN"] == policy["PolicyARN"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 25
    assert [alarm["AlarmName"].rpartition("-Alarm")[0] for alarm in policy["Alarms"]] == [
        f"TargetTracking-{ids[0]}"
    ] * 2


def test_a_policy_has_two_alarms_as_long_as_it_lives(local_aws: LocalAws, scaling: Any, endpoint: str) -> None:
    def alarms(policy: dict[str, Any]) -> Any:
        names = [alarm["AlarmName"] for alarm in policy["Alarms"]]
        return local_aws.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]

    scaling.register_scalable_target(**resource(endpoint), MinCapacity=1, MaxCapacity=3)
    policy = scaling.put_scaling_policy(**resource(endpoint), **tracking(30))
    scaling.put_scaling_policy(**resource(endpoint), **tracking(20))
    high, low = alarms(policy)
    scaling.delete_scaling_policy(**resource(endpoint), PolicyName="invocations")
    deleted = alarms(policy)
    policy = scaling.put_scaling_policy(**resource(endpoint), **tracking(30))
    scaling.deregister_scalable_target(**resource(endpoint))

    for alarm in (high, low):
        assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/SageMaker", "InvocationsPerInstance")
        assert (alarm["Statistic"], alarm["Period"]) == ("Sum", 60)
        assert {"Name": "EndpointName", "Value": endpoint} in alarm["Dimensions"]
    assert (high["EvaluationPeriods"], high["Threshold"]) == (3, 20)
    assert (low["EvaluationPeriods"], low["Threshold"]) == (15, 18)
    assert deleted == alarms(policy) == []


def test_deregistering_takes_the_policies_along(scaling: Any, endpoint: str) -> None:
    scaling.register_scalable_target(**resource(endpoint), MinCapacity=1, MaxCapacity=2)
    scaling.put_scaling_policy(**resource(endpoint), **tracking(30))

    scaling.deregister_scalable_target(**resource(endpoint))

    id_ = resource(endpoint)["ResourceId"]
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[id_])["ScalableTargets"] == []
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=id_)["ScalingPolicies"] == []
    assert refusal(scaling.deregister_scalable_target, **resource(endpoint))[0] == "ObjectNotFoundException"


def test_refuses_what_aws_refuses(scaling: Any, endpoint: str) -> None:
    register, put = scaling.register_scalable_target, scaling.put_scaling_policy
    bounds = {"MinCapacity": 1, "MaxCapacity": 2}

    code, message = refusal(register, **resource("nowhere"), **bounds)
    assert code == "ValidationException"
    assert message.startswith('Could not find endpoint "arn:')
    assert refusal(register, **resource(endpoint, "nothing"), **bounds)[0] == "ValidationException"
    assert refusal(register, **resource(endpoint), MinCapacity=3, MaxCapacity=2)[0] == "ValidationException"
    assert refusal(register, **resource(endpoint), MinCapacity=1)[0] == "ValidationException"
    assert refusal(register, **resource(endpoint), MinCapacity=0, MaxCapacity=1)[0] == "ValidationException"
    assert refusal(register, **{**resource(endpoint), "ResourceId": endpoint}, **bounds)[0] == "ValidationException"

    code, message = refusal(put, **resource(endpoint), **tracking(30))
    assert code == "ObjectNotFoundException"
    assert message.startswith("No scalable target registered for service namespace: sagemaker, resource ID: endpoint/")
    register(**resource(endpoint), **bounds)
    policy = tracking(30)
    del policy["TargetTrackingScalingPolicyConfiguration"]
    assert refusal(put, **resource(endpoint), **policy)[0] == "ValidationException"
    assert refusal(put, **resource(endpoint), **tracking(0))[0] == "ValidationException"
    unmeasured = {"MetricName": "", "Namespace": "Queue", "Statistic": "Sum"}
    policy = tracking(30, CustomizedMetricSpecification=unmeasured)
    del policy["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]
    code, message = refusal(put, **resource(endpoint), **policy)
    assert (code, message.startswith("CloudWatch does not take")) == ("ValidationException", True)
    assert refusal(scaling.describe_scaling_activities, ServiceNamespace="sagemaker", MaxResults=0)[0] == (
        "ValidationException"
    )
    unknown = refusal(scaling.delete_scaling_policy, **resource(endpoint), PolicyName="invocations")
    assert unknown[0] == "ObjectNotFoundException"


def test_registering_brings_the_capacity_inside_the_bounds(hosting: Hosting, scaling: Any, endpoint: str) -> None:
    before = hosting.processes()

    scaling.register_scalable_target(**resource(endpoint), MinCapacity=2, MaxCapacity=3)
    [variant] = hosting.at_rest(endpoint)["ProductionVariants"]
    [activity] = scaling.describe_scaling_activities(
        ServiceNamespace="sagemaker", ResourceId=resource(endpoint)["ResourceId"]
    )["ScalingActivities"]

    assert variant["CurrentInstanceCount"] == 2
    assert len(hosting.processes() - before) == 1
    assert activity["StatusCode"] == "Successful"
    assert activity["Description"] == "Setting desired instance count to 2."
    assert activity["Cause"] == "minimum capacity was set to 2"


def test_a_scaled_variant_keeps_its_instance_type(hosting: Hosting, scaling: Any, endpoint: str) -> None:
    scaling.register_scalable_target(**resource(endpoint), MinCapacity=1, MaxCapacity=2)
    model = hosting.model(named("scaled"))
    larger = hosting.config(model, InstanceType="ml.m5.xlarge")

    code, message = refusal(hosting.sagemaker.update_endpoint, EndpointName=endpoint, EndpointConfigName=larger)

    assert code == "ValidationException"
    assert message.startswith('The variant(s) "AllTraffic" must be deregistered as scalable targets')
    assert hosting.at_rest(endpoint)["EndpointStatus"] == "InService"
    hosting.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=hosting.config(model))
    assert hosting.at_rest(endpoint)["EndpointStatus"] == "InService"


def test_a_scaled_variant_stays(hosting: Hosting, scaling: Any) -> None:
    model = hosting.model(named("scaled"))
    name = hosting.endpoint(hosting.config(model, model))
    scaling.register_scalable_target(**resource(name, "v1"), MinCapacity=1, MaxCapacity=2)
    single = hosting.config(model)

    code, message = refusal(hosting.sagemaker.update_endpoint, EndpointName=name, EndpointConfigName=single)
    scaling.deregister_scalable_target(**resource(name, "v1"))
    hosting.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=single)
    description = hosting.at_rest(name)
    hosting.delete(name)

    assert code == "ValidationException"
    assert message.startswith('The variant(s) "v1" must be deregistered as scalable targets')
    assert [variant["VariantName"] for variant in description["ProductionVariants"]] == ["AllTraffic"]


def test_deleting_an_endpoint_deregisters_it(hosting: Hosting, scaling: Any) -> None:
    name = hosting.endpoint(hosting.config(hosting.model(named("brief"))))
    scaling.register_scalable_target(**resource(name), MinCapacity=1, MaxCapacity=2)
    rights = {"Effect": "Allow", "Action": "sagemaker:DeleteEndpoint", "Resource": "*"}
    without = hosting.aws.client("sagemaker", **hosting.aws.role(rights))
    code, message = refusal(without.delete_endpoint, EndpointName=name)
    assert (code, "DeregisterScalableTarget permission" in message) == ("ValidationException", True)
    assert hosting.at_rest(name)["EndpointStatus"] == "InService"

    hosting.delete(name)

    ids = [resource(name)["ResourceId"]]
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=ids)["ScalableTargets"] == []


def test_publishes_what_an_endpoint_did(fast: Hosting) -> None:
    name = fast.endpoint(fast.config(fast.model(named("counted"))))
    for _ in range(6):
        fast.invoke(name)
    refusal(lambda: fast.invoke(name, {"seconds": "no number"}))
    dimensions = [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "AllTraffic"}]

    def total(metric: str, statistic: str = "Sum") -> float:
        response: dict[str, Any] = fast.aws.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=dimensions,
            StartTime=0,
            EndTime=4102444800,
            Period=86400,
            Statistics=[statistic],
        )
        return sum(float(point[statistic]) for point in response["Datapoints"])

    eventually(lambda: total("Invocations") == 7)
    assert total("InvocationsPerInstance") == 7
    assert total("Invocation5XXErrors") == 1
    assert total("Invocation4XXErrors") == 0
    assert total("ModelLatency", "SampleCount") == total("OverheadLatency", "SampleCount") == 7
    assert 100 < total("ModelLatency") / 7 < 1_000_000  # microseconds
    fast.delete(name)


def test_traffic_scales_out_and_its_end_scales_in(fast: Hosting) -> None:
    scaling = fast.aws.client("application-autoscaling")
    name = fast.endpoint(fast.config(fast.model(named("busy"))))
    before = fast.processes()
    scaling.register_scalable_target(**resource(name), MinCapacity=1, MaxCapacity=2)
    scaling.put_scaling_policy(**resource(name), **tracking(5, ScaleInCooldown=0, ScaleOutCooldown=0))

    def count() -> int:
        for _ in range(20):
            fast.invoke(name)
        return instances(fast, name)

    eventually(lambda: count() == 2, 20)
    eventually(lambda: len(fast.processes() - before) == 1)
    eventually(lambda: instances(fast, name) == 1, 40)
    eventually(lambda: len(fast.processes()) == len(before))
    fast.at_rest(name)
    activities = scaling.describe_scaling_activities(
        ServiceNamespace="sagemaker", ResourceId=resource(name)["ResourceId"]
    )
    fast.delete(name)

    assert [activity["Description"] for activity in activities["ScalingActivities"]] == [
        "Setting desired instance count to 1.",
        "Setting desired instance count to 2.",
    ]
    assert {activity["StatusCode"] for activity in activities["ScalingActivities"]} == {"Successful"}


def test_holds_still_while_cooling_down(fast: Hosting) -> None:
    scaling, metrics = fast.aws.client("application-autoscaling"), fast.aws.client("cloudwatch")
    name = fast.endpoint(fast.config(fast.model(named("calm"))))
    scaling.register_scalable_target(**resource(name), MinCapacity=1, MaxCapacity=3)
    policy = tracking(5, ScaleOutCooldown=3600)  # a minute, on this server's clock
    del policy["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]
    policy["TargetTrackingScalingPolicyConfiguration"]["CustomizedMetricSpecification"] = {
        "Namespace": "Queue",
        "MetricName": "Waiting",
        "Dimensions": [{"Name": "EndpointName", "Value": name}],
        "Statistic": "Maximum",
    }
    scaling.put_scaling_policy(**resource(name), **policy)
    dimensions = policy["TargetTrackingScalingPolicyConfiguration"]["CustomizedMetricSpecification"]["Dimensions"]

    def waiting(value: float) -> None:
        data = [{"MetricName": "Waiting", "Dimensions": dimensions, "Value": value}]
        metrics.put_metric_data(Namespace="Queue", MetricData=data)

    def has_two() -> bool:
        waiting(10)
        return instances(fast, name) == 2

    eventually(has_two, 20)
    until = time.monotonic() + 6
    while time.monotonic() < until:
        waiting(50)
        assert instances(fast, name) == 2
    fast.delete(name)


def minutes(hosting: Hosting, endpoint: str) -> int:
    """How many minutes of metrics an endpoint has had."""
    answer = hosting.aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "AllTraffic"}],
        StartTime=0,
        EndTime=4102444800,
        Period=1,
        Statistics=["Sum"],
    )
    return len(answer["Datapoints"])


def test_capacity_set_by_hand_may_be_outside_the_bounds(fast: Hosting) -> None:
    scaling = fast.aws.client("application-autoscaling")
    name = fast.endpoint(fast.config(fast.model(named("manual"))))
    scaling.register_scalable_target(**resource(name), MinCapacity=1, MaxCapacity=1)
    fast.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}]
    )
    fast.at_rest(name)

    begun = minutes(fast, name)
    eventually(lambda: minutes(fast, name) >= begun + 4)
    assert instances(fast, name) == 2
    fast.delete(name)


def test_a_suspended_target_is_not_scaled_out(fast: Hosting) -> None:
    scaling = fast.aws.client("application-autoscaling")
    name = fast.endpoint(fast.config(fast.model(named("suspended"))))
    scaling.register_scalable_target(
        **resource(name), MinCapacity=1, MaxCapacity=2, SuspendedState={"DynamicScalingOutSuspended": True}
    )
    policy = scaling.put_scaling_policy(**resource(name), **tracking(1, ScaleOutCooldown=0))

    def busy() -> bool:
        for _ in range(10):
            fast.invoke(name)
        names = [policy["Alarms"][0]["AlarmName"]]
        [high] = fast.aws.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
        return bool(high["StateValue"] == "ALARM")

    eventually(busy)
    begun = minutes(fast, name)
    eventually(lambda: busy() and minutes(fast, name) >= begun + 2)
    suspended = instances(fast, name)
    scaling.register_scalable_target(**resource(name), SuspendedState={"DynamicScalingOutSuspended": False})
    eventually(lambda: busy() and instances(fast, name) == 2)
    fast.at_rest(name)
    fast.delete(name)

    assert suspended == 1


def instances(hosting: Hosting, endpoint: str) -> int:
    """How many instances an endpoint wants."""
    [variant] = hosting.sagemaker.describe_endpoint(EndpointName=endpoint)["ProductionVariants"]
    count: int = variant["DesiredInstanceCount"]
    return count
