"""Which model serves and which may, read from a registry and an endpoint that are there."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from kennel import registry
from kennel.names import Names
from kennel.operators.hosting import EndpointOperator
from tests.dags.hosting import IMAGE, run, says

Register = Callable[..., str]


@pytest.fixture
def names(local_aws: Any) -> Names:
    """Of a classifier of the test's own."""
    return Names(f"d{uuid.uuid4().hex[:8]}", local_aws.account_id, local_aws.region)


@pytest.fixture
def register(local_aws: Any, names: Names) -> Register:
    """Register a version; its ARN."""

    def package(status: str = "Approved", month: int = 11, model_data: str = "s3://b/m.tar.gz", **members: Any) -> str:
        metadata = {"run": f"{names.classifier}-{month}", "cutoff": f"2026-{month}-01T00:00:00+00:00"}
        arn: str = local_aws.client("sagemaker").create_model_package(
            ModelPackageGroupName=names.package_group,
            ModelApprovalStatus=status,
            InferenceSpecification={
                "Containers": [{"Image": IMAGE, "ModelDataUrl": model_data}],
                "SupportedContentTypes": ["image/jpeg"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            **{"CustomerMetadataProperties": metadata, **members},
        )["ModelPackageArn"]
        return arn

    local_aws.client("sagemaker").create_model_package_group(ModelPackageGroupName=names.package_group)
    return package


def test_an_approved_version_may_be_named(local_aws: Any, names: Names, register: Register) -> None:
    arn = register()
    assert arn == names.package_arn(1)
    assert registry.named(local_aws.client("sagemaker"), names, 1).version == 1


def test_a_version_that_there_is_not_is_refused_with_those_there_are(
    local_aws: Any, names: Names, register: Register
) -> None:
    register(), register()
    with pytest.raises(LookupError, match=f"^{names.package_group} has no version 3; it has 1, 2$"):
        registry.named(local_aws.client("sagemaker"), names, 3)


@pytest.mark.parametrize("status", ["Rejected", "PendingManualApproval"])
def test_a_version_that_is_not_approved_is_refused_with_the_way_to_approve_it(
    local_aws: Any, names: Names, register: Register, status: str
) -> None:
    arn = register(status)
    with pytest.raises(
        LookupError, match=f"is {status}; .* --model-package-arn {arn} --model-approval-status Approved"
    ):
        registry.named(local_aws.client("sagemaker"), names, 1)


def test_a_version_that_kennel_did_not_register_is_none(local_aws: Any, names: Names, register: Register) -> None:
    register(CustomerMetadataProperties={"somebody": "else"})
    with pytest.raises(LookupError, match="it has none"):
        registry.named(local_aws.client("sagemaker"), names, 1)


def test_the_version_in_service_is_told_by_the_models_name(
    local_aws: Any, names: Names, register: Register, config: Any
) -> None:
    sagemaker = local_aws.client("sagemaker")
    assert registry.in_service(sagemaker, names) is None
    register(), register(month=12)
    body = {"EndpointName": names.endpoint, "EndpointConfigName": config(names.model(1), says("pug"))}
    run(lambda: EndpointOperator(task_id="deploy", check_interval=1, max_ingestion_time=120, config=body))
    serving = registry.in_service(sagemaker, names)
    assert serving and serving.version == 1
    champion = registry.champion(sagemaker, names)
    assert champion == serving


def test_a_model_that_is_not_of_the_registry_is_no_version(names: Names) -> None:
    assert names.version_of(names.model(12)) == 12
    assert names.version_of("somebody-elses") is None
    assert names.version_of(f"{names.classifier}-20261122t030000-3fa9c1") is None


def test_what_was_tuned_for_the_newest_model_of_sagemaker_is_found(
    local_aws: Any, names: Names, register: Register, role_arn: str, bucket: str, upload_script: Callable[[str], str]
) -> None:
    sagemaker = local_aws.client("sagemaker")
    assert registry.tuned(sagemaker, names, ["learning_rate"]) == {}
    for month, compute in ((10, "sagemaker"), (11, "sagemaker"), (12, "ec2")):
        job = f"{names.classifier}-{month}-train"
        sagemaker.create_training_job(
            TrainingJobName=job,
            AlgorithmSpecification={
                "TrainingImage": IMAGE.replace("inference", "training"),
                "TrainingInputMode": "File",
            },
            RoleArn=role_arn,
            OutputDataConfig={"S3OutputPath": f"s3://{bucket}/out"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
            HyperParameters={
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": upload_script("pass"),
                "learning_rate": f"0.{month}",
                "epochs": "3",
            },
        )
        register(
            model_data=f"s3://{bucket}/training/{job}/output/model.tar.gz",
            CustomerMetadataProperties={
                "run": f"{names.classifier}-{month}",
                "cutoff": f"2026-{month}-01T00:00:00+00:00",
                "compute": compute,
            },
        )
    assert registry.tuned(sagemaker, names, ["learning_rate", "batch_size"]) == {"learning_rate": "0.11"}
