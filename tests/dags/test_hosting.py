"""Models, endpoint and registry against the local AWS, whose endpoints really serve."""

import asyncio
import io
import tarfile
import uuid
from collections.abc import Callable
from typing import Any, cast

import pytest
from airflow.providers.amazon.aws.utils.sagemaker import ApprovalStatus
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, TaskDeferred

from kennel.operators.autoscaling import RegisterScalingOperator
from kennel.operators.hosting import EndpointConfigOperator, EndpointOperator, ModelOperator, RegisterModelOperator

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
NO_CONTEXT = cast(Context, {})
ECHO = "def model_fn(d): return 'm'\ndef input_fn(b, c): return b\ndef predict_fn(d, m): return [{answer}]\n"
BROKEN = "def model_fn(d): raise ValueError('weights of another network')\n"


@pytest.fixture
def name() -> str:
    return f"host-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def config(local_aws: Any, bucket: str, role_arn: str) -> Callable[..., str]:
    """Make a model and an endpoint config of a name, whose inference.py is the source."""

    def make(name: str, source: str, instance_type: str = "ml.m5.large") -> str:
        body = io.BytesIO()
        with tarfile.open(fileobj=body, mode="w:gz") as tar:
            info = tarfile.TarInfo("code/inference.py")
            info.size = len(source)
            tar.addfile(info, io.BytesIO(source.encode()))
        local_aws.client("s3").put_object(Bucket=bucket, Key=f"{name}/model.tar.gz", Body=body.getvalue())
        container = {"Image": IMAGE, "ModelDataUrl": f"s3://{bucket}/{name}/model.tar.gz"}
        model = {"ModelName": name, "ExecutionRoleArn": role_arn, "PrimaryContainer": container}
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": name,
            "InstanceType": instance_type,
            "InitialInstanceCount": 1,
        }
        ModelOperator(task_id="model", config=model).execute(NO_CONTEXT)
        EndpointConfigOperator(
            task_id="config", config={"EndpointConfigName": name, "ProductionVariants": [variant]}
        ).execute(NO_CONTEXT)
        return name

    return make


def deploy(endpoint: str, config_name: str) -> dict[str, Any]:
    """Run the operator, its waits included, as Airflow would."""

    def operator() -> EndpointOperator:
        body = {"EndpointName": endpoint, "EndpointConfigName": config_name}
        return EndpointOperator(task_id="deploy_endpoint", check_interval=1, max_ingestion_time=120, config=body)

    method = "execute"
    arguments: dict[str, Any] = {}
    while True:
        try:
            return cast(dict[str, Any], getattr(operator(), method)(NO_CONTEXT, **arguments))
        except TaskDeferred as deferred:
            method, arguments = deferred.method_name, {"event": asyncio.run(_first(deferred.trigger))}


async def _first(trigger: Any) -> Any:
    return (await anext(aiter(trigger.run()))).payload


def answer(local_aws: Any, endpoint: str) -> bytes:
    runtime = local_aws.client("sagemaker-runtime")
    return bytes(runtime.invoke_endpoint(EndpointName=endpoint, ContentType="image/jpeg", Body=b"x")["Body"].read())


def test_making_a_model_and_a_config_twice_finds_the_first(config: Any, name: str) -> None:
    assert config(name, ECHO.format(answer=1)) == config(name, ECHO.format(answer=1))


def test_creates_updates_and_then_leaves_the_endpoint(local_aws: Any, config: Any, name: str) -> None:
    assert deploy(name, config(name, ECHO.format(answer=1)))["Endpoint"]["EndpointStatus"] == "InService"
    assert b"1" in answer(local_aws, name)
    result = deploy(name, config(f"{name}-b", ECHO.format(answer=2)))
    assert result["EndpointConfig"]["EndpointConfigName"] == f"{name}-b"
    assert b"2" in answer(local_aws, name)
    before = local_aws.client("sagemaker").describe_endpoint(EndpointName=name)["LastModifiedTime"]
    deploy(name, f"{name}-b")
    assert local_aws.client("sagemaker").describe_endpoint(EndpointName=name)["LastModifiedTime"] == before


def test_a_rolled_back_update_fails_and_the_old_model_still_answers(local_aws: Any, config: Any, name: str) -> None:
    deploy(name, config(name, ECHO.format(answer=1)))
    with pytest.raises(AirflowException, match=f"InService with {name}, not in service with {name}-broken"):
        deploy(name, config(f"{name}-broken", BROKEN))
    assert b"1" in answer(local_aws, name)


def test_another_instance_type_takes_a_scaled_endpoint_out_of_scaling_first(
    local_aws: Any, config: Any, name: str
) -> None:
    deploy(name, config(name, ECHO.format(answer=1)))
    scaling = local_aws.client("application-autoscaling")
    target = {"ServiceNamespace": "sagemaker", "ResourceId": f"endpoint/{name}/variant/AllTraffic"}
    dimension = {"ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
    scaling.register_scalable_target(**target, **dimension, MinCapacity=1, MaxCapacity=2)
    deploy(name, config(f"{name}-big", ECHO.format(answer=2), "ml.m5.xlarge"))
    assert b"2" in answer(local_aws, name)
    found = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[target["ResourceId"]])
    assert found["ScalableTargets"] == []


def test_waits_for_a_change_under_way_before_its_own(local_aws: Any, config: Any, name: str) -> None:
    first, second = config(name, ECHO.format(answer=1)), config(f"{name}-b", ECHO.format(answer=2))
    local_aws.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=first)
    deploy(name, second)
    assert b"2" in answer(local_aws, name)


def test_a_failed_endpoint_is_made_again(local_aws: Any, config: Any, name: str) -> None:
    with pytest.raises(AirflowException, match="is Failed"):
        deploy(name, config(name, BROKEN))
    deploy(name, config(f"{name}-good", ECHO.format(answer=3)))
    assert b"3" in answer(local_aws, name)


def test_registers_scaling_and_reads_it_back(config: Any, name: str) -> None:
    deploy(name, config(name, ECHO.format(answer=1)))
    scaled = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    tracking = {
        "TargetValue": 30.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    }
    policy = {"PolicyName": "p", "PolicyType": "TargetTrackingScaling"}
    operator = RegisterScalingOperator(
        task_id="scale",
        target={**scaled, "MinCapacity": 1, "MaxCapacity": 2},
        policy={**scaled, **policy, "TargetTrackingScalingPolicyConfiguration": tracking},
    )
    expected = {"resource": scaled["ResourceId"], "min": 1, "max": 2, "target": 30.0}
    assert operator.execute(NO_CONTEXT) == expected
    assert operator.execute(NO_CONTEXT) == expected


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
