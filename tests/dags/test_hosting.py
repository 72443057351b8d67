"""Models, endpoint and registry against the local AWS, whose endpoints really serve."""

from typing import Any

import pytest
from airflow.providers.amazon.aws.utils.sagemaker import ApprovalStatus
from airflow.sdk.exceptions import AirflowException

from kennel.defaults import ModelAtFaultError
from kennel.operators.autoscaling import RegisterScalingOperator
from kennel.operators.hosting import EndpointOperator, RegisterModelOperator, ServingRecordsOperator
from tests.dags.hosting import BROKEN, IMAGE, NO_CONTEXT, label, run, says

SCALED = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}


def deploy(endpoint: str, config_name: str) -> dict[str, Any]:
    body = {"EndpointName": endpoint, "EndpointConfigName": config_name}
    result: dict[str, Any] = run(
        lambda: EndpointOperator(task_id="deploy_endpoint", check_interval=1, max_ingestion_time=120, config=body)
    )
    return result


def scale(local_aws: Any, name: str, least: int = 1) -> Any:
    """Register the endpoint's variant; a function that describes its target."""
    scaling = local_aws.client("application-autoscaling")
    resource = f"endpoint/{name}/variant/AllTraffic"
    scaling.register_scalable_target(**SCALED, ResourceId=resource, MinCapacity=least, MaxCapacity=2)
    return lambda: scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[resource])[
        "ScalableTargets"
    ]


def test_making_the_records_twice_finds_the_first(config: Any, name: str) -> None:
    assert config(name, says("pug")) == config(name, says("pug"))


def test_a_model_of_the_name_that_is_another_artifact_is_not_taken_for_ours(
    config: Any, name: str, role_arn: str
) -> None:
    config(name, says("pug"))
    container = {"Image": IMAGE, "ModelDataUrl": "s3://elsewhere/model.tar.gz"}
    operator = ServingRecordsOperator(
        task_id="create_model",
        model={"ModelName": name, "ExecutionRoleArn": role_arn, "PrimaryContainer": container},
        configs=[],
    )
    with pytest.raises(AirflowException, match=r"is there already, of s3://.* delete it"):
        operator.execute(NO_CONTEXT)


def test_creates_updates_and_then_leaves_the_endpoint(local_aws: Any, config: Any, name: str) -> None:
    assert deploy(name, config(name, says("pug")))["Endpoint"]["EndpointStatus"] == "InService"
    assert label(local_aws, name) == "pug"
    assert deploy(name, config(f"{name}-b", says("boxer")))["changed"]
    assert label(local_aws, name) == "boxer"
    before = local_aws.client("sagemaker").describe_endpoint(EndpointName=name)["LastModifiedTime"]
    assert not deploy(name, f"{name}-b")["changed"]
    assert local_aws.client("sagemaker").describe_endpoint(EndpointName=name)["LastModifiedTime"] == before


def test_a_rolled_back_update_fails_by_the_models_fault_and_the_old_model_still_answers(
    local_aws: Any, config: Any, name: str
) -> None:
    deploy(name, config(name, says("pug")))
    with pytest.raises(ModelAtFaultError, match=f"InService with {name}, not in service with {name}-broken"):
        deploy(name, config(f"{name}-broken", BROKEN))
    assert label(local_aws, name) == "pug"


def test_an_update_keeps_the_instances_there_are_and_leaves_the_scaling_suspended(
    local_aws: Any, config: Any, name: str
) -> None:
    deploy(name, config(name, says("pug")))
    target = scale(local_aws, name, least=2)
    deploy(name, config(f"{name}-b", says("boxer")))
    [variant] = local_aws.client("sagemaker").describe_endpoint(EndpointName=name)["ProductionVariants"]
    assert (label(local_aws, name), variant["CurrentInstanceCount"]) == ("boxer", 2)
    assert set(target()[0]["SuspendedState"].values()) == {True}


def test_another_instance_type_takes_a_scaled_endpoint_out_of_scaling_first(
    local_aws: Any, config: Any, name: str
) -> None:
    deploy(name, config(name, says("pug")))
    target = scale(local_aws, name)
    deploy(name, config(f"{name}-big", says("boxer"), "ml.m5.xlarge"))
    assert label(local_aws, name) == "boxer"
    assert target() == []


def test_waits_for_a_change_under_way_before_its_own(local_aws: Any, config: Any, name: str) -> None:
    first, second = config(name, says("pug")), config(f"{name}-b", says("boxer"))
    local_aws.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=first)
    deploy(name, second)
    assert label(local_aws, name) == "boxer"


@pytest.mark.parametrize("there", [False, True], ids=["created", "updated"])
def test_a_request_that_was_carried_out_although_its_answer_was_lost_is_no_failure(
    local_aws: Any, config: Any, name: str, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there:
        deploy(name, config(f"{name}-b", says("boxer")))
    config(name, says("pug"))
    original = EndpointOperator._request

    def asked_again(self: Any, call: Any, request: dict[str, Any]) -> None:
        """As boto3 does when the connection is lost before the answer."""
        call(**request)
        original(self, call, request)

    monkeypatch.setattr(EndpointOperator, "_request", asked_again)
    deploy(name, name)
    assert label(local_aws, name) == "pug"


def test_a_failed_endpoint_is_made_again(local_aws: Any, config: Any, name: str) -> None:
    with pytest.raises(ModelAtFaultError, match="is Failed"):
        deploy(name, config(name, BROKEN))
    deploy(name, config(f"{name}-good", says("boxer")))
    assert label(local_aws, name) == "boxer"


def test_registers_scaling_reads_it_back_and_resumes_it(local_aws: Any, config: Any, name: str) -> None:
    deploy(name, config(name, says("pug")))
    scaled = {**SCALED, "ResourceId": f"endpoint/{name}/variant/AllTraffic"}
    tracking = {
        "TargetValue": 30.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    }
    policy = {"PolicyName": "p", "PolicyType": "TargetTrackingScaling"}
    states = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
    operator = RegisterScalingOperator(
        task_id="scale",
        target={**scaled, "MinCapacity": 1, "MaxCapacity": 2, "SuspendedState": dict.fromkeys(states, False)},
        policy={**scaled, **policy, "TargetTrackingScalingPolicyConfiguration": tracking},
    )
    expected = {"resource": scaled["ResourceId"], "min": 1, "max": 2, "target": 30.0}
    assert operator.execute(NO_CONTEXT) == {**expected, "changed": True}
    assert operator.execute(NO_CONTEXT) == {**expected, "changed": False}
    scaling = local_aws.client("application-autoscaling")
    scaling.register_scalable_target(**scaled, SuspendedState=dict.fromkeys(states, True))
    assert operator.execute(NO_CONTEXT)["changed"]
    assert not operator.execute(NO_CONTEXT)["changed"]


def test_a_run_is_registered_once(local_aws: Any, bucket: str, name: str) -> None:
    def register(run: str) -> str:
        specification = {
            "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{bucket}/m.tar.gz"}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        }
        return RegisterModelOperator(
            task_id="register",
            image_uri=IMAGE,
            model_url=f"s3://{bucket}/m.tar.gz",
            package_group_name=name,
            model_approval=ApprovalStatus.APPROVED,
            extras={"InferenceSpecification": specification, "CustomerMetadataProperties": {"run": run}},
        ).execute(NO_CONTEXT)

    assert register("run-1") == register("run-1")
    assert register("run-2").endswith("/2")
