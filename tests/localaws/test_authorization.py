"""What IAM lets a role do with our services."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws.authorization import resources
from localaws.cloud import Cloud, Credentials
from localaws.store import Store
from tests.conftest import LocalAws

SAGEMAKER = "arn:aws:sagemaker:us-east-1:000000000000:"
SCALING = "arn:aws:application-autoscaling:us-east-1:000000000000:"
CONTAINER = {"Image": "image:1"}


def allow(action: str | list[str], resource: str | list[str], **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def denial(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    return str(caught.value.response["Error"]["Message"])


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    root = Credentials("AKIA", "secret")
    return Cloud(Store(tmp_path / "db"), tmp_path, "http://127.0.0.1:1", "000000000000", "us-east-1", root)


@pytest.mark.parametrize(
    ("operation", "request_", "expected"),
    [
        ("CreateTrainingJob", {"TrainingJobName": "t"}, ["training-job/t"]),
        ("DescribeProcessingJob", {"ProcessingJobName": "p"}, ["processing-job/p"]),
        ("StopHyperParameterTuningJob", {"HyperParameterTuningJobName": "h"}, ["hyper-parameter-tuning-job/h"]),
        (
            "ListTrainingJobsForHyperParameterTuningJob",
            {"HyperParameterTuningJobName": "h"},
            ["hyper-parameter-tuning-job/h"],
        ),
        ("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"}, ["endpoint/e", "endpoint-config/c"]),
        ("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"}, ["endpoint/e", "endpoint-config/c"]),
        ("InvokeEndpoint", {"EndpointName": "e"}, ["endpoint/e"]),
        ("CreateModelPackage", {"ModelPackageGroupName": "g"}, ["model-package/g/*"]),
        ("CreateModelPackage", {"ModelPackageGroupName": f"{SAGEMAKER}model-package-group/g"}, ["model-package/g/*"]),
        ("CreateModelPackage", {"ModelPackageName": "p"}, ["model-package/p"]),
        ("UpdateModelPackage", {"ModelPackageArn": f"{SAGEMAKER}model-package/g/1"}, ["model-package/g/1"]),
        ("DescribeModelPackageGroup", {"ModelPackageGroupName": "g"}, ["model-package-group/g"]),
        ("AddTags", {"ResourceArn": f"{SAGEMAKER}model/m"}, ["model/m"]),
        ("ListModelPackages", {"ModelPackageGroupName": "g"}, ["model-package-group/g"]),
        ("ListTags", {"ResourceArn": f"{SAGEMAKER}model/m"}, ["model/m"]),
    ],
)
def test_an_operation_acts_on_what_it_names(
    cloud: Cloud, operation: str, request_: dict[str, Any], expected: list[str]
) -> None:
    assert resources(cloud, "sagemaker", operation, request_) == [SAGEMAKER + resource for resource in expected]


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("ListModels", {}),
        ("ListModelPackages", {}),
        ("ListEndpoints", {"NameContains": "e"}),
    ],
)
def test_a_listing_acts_on_everything(cloud: Cloud, operation: str, request_: dict[str, Any]) -> None:
    assert resources(cloud, "sagemaker", operation, request_) == ["*"]


def test_scaling_acts_on_scalable_targets(cloud: Cloud) -> None:
    request = {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/e/variant/v"}
    expected = [f"{SCALING}scalable-target/*"]
    assert resources(cloud, "application-autoscaling", "RegisterScalableTarget", request) == expected
    assert resources(cloud, "application-autoscaling", "DescribeScalableTargets", {}) == ["*"]


def test_a_role_without_a_policy_may_do_nothing(local_aws: LocalAws) -> None:
    role = local_aws.role()
    message = denial(local_aws.client("sagemaker", **role).list_models)
    assert "assumed-role/" in message
    assert "is not authorized to perform: sagemaker:ListModels on resource: *" in message
    denial(local_aws.client("application-autoscaling", **role).describe_scalable_targets, ServiceNamespace="sagemaker")


def test_a_role_may_touch_only_the_resources_it_was_given(local_aws: LocalAws) -> None:
    sagemaker = local_aws.client("sagemaker", **local_aws.role(allow("sagemaker:*Model", f"{SAGEMAKER}model/mine-*")))
    sagemaker.create_model(ModelName="mine-1", PrimaryContainer=CONTAINER)
    assert sagemaker.describe_model(ModelName="mine-1")["ModelName"] == "mine-1"
    assert f"on resource: {SAGEMAKER}model/yours-1" in denial(
        sagemaker.create_model, ModelName="yours-1", PrimaryContainer=CONTAINER
    )
    sagemaker.delete_model(ModelName="mine-1")


def test_an_explicit_deny_wins(local_aws: LocalAws) -> None:
    deny = {"Effect": "Deny", "Action": "sagemaker:DeleteModel", "Resource": "*"}
    sagemaker = local_aws.client("sagemaker", **local_aws.role(allow("sagemaker:*", "*"), deny))
    assert "explicit deny" in denial(sagemaker.delete_model, ModelName="any")


def test_invoking_needs_the_right_on_that_endpoint(local_aws: LocalAws) -> None:
    role = local_aws.role(allow("sagemaker:InvokeEndpoint", f"{SAGEMAKER}endpoint/mine"))
    runtime = local_aws.client("sagemaker-runtime", **role)
    denial(runtime.invoke_endpoint, EndpointName="yours", Body=b"")
    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint(EndpointName="mine", Body=b"")
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    denial(local_aws.client("sagemaker", **role).delete_endpoint, EndpointName="mine")


def test_handing_a_role_over_needs_pass_role_on_it(local_aws: LocalAws) -> None:
    role = "arn:aws:iam::000000000000:role/executes"
    pass_role = allow(
        "iam:PassRole", role, Condition={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    )
    model = {"ModelName": "passed", "PrimaryContainer": CONTAINER, "ExecutionRoleArn": role}
    without = local_aws.client("sagemaker", **local_aws.role(allow("sagemaker:*", "*")))
    assert f"iam:PassRole on resource: {role}" in denial(without.create_model, **model)
    local_aws.client("sagemaker", **local_aws.role(allow("sagemaker:*", "*"), pass_role)).create_model(**model)
    denial(
        without.create_hyper_parameter_tuning_job,
        HyperParameterTuningJobName="passed",
        HyperParameterTuningJobConfig={
            "Strategy": "Random",
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1},
        },
        TrainingJobDefinition={
            "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "image:1"},
            "RoleArn": role,
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        },
    )


def test_creating_with_tags_needs_add_tags_on_what_is_created(local_aws: LocalAws) -> None:
    model = {"ModelName": "carries-tags", "PrimaryContainer": CONTAINER, "Tags": [{"Key": "team", "Value": "dogs"}]}
    creates = allow("sagemaker:CreateModel", "*")
    message = denial(local_aws.client("sagemaker", **local_aws.role(creates)).create_model, **model)
    assert f"sagemaker:AddTags on resource: {SAGEMAKER}model/carries-tags" in message
    both = local_aws.role(creates, allow("sagemaker:AddTags", f"{SAGEMAKER}model/carries-tags"))
    local_aws.client("sagemaker", **both).create_model(**model)


def test_a_condition_on_request_tags_holds(local_aws: LocalAws) -> None:
    condition = {"StringEquals": {"aws:RequestTag/team": "dogs"}}
    tagged = allow(["sagemaker:CreateModel", "sagemaker:AddTags"], "*", Condition=condition)
    sagemaker = local_aws.client("sagemaker", **local_aws.role(tagged))
    model = {"ModelName": "tagged", "PrimaryContainer": CONTAINER}
    denial(sagemaker.create_model, **model, Tags=[{"Key": "team", "Value": "cats"}])
    sagemaker.create_model(**model, Tags=[{"Key": "team", "Value": "dogs"}])


def test_a_condition_on_resource_tags_holds(local_aws: LocalAws) -> None:
    ours = allow("sagemaker:DescribeModel", "*", Condition={"StringEquals": {"aws:ResourceTag/owner": "us"}})
    sagemaker = local_aws.client("sagemaker", **local_aws.role(ours))
    root = local_aws.client("sagemaker")
    for name, owner in (("owned-by-us", "us"), ("owned-by-them", "them")):
        tags = [{"Key": "owner", "Value": owner}]
        root.create_model(ModelName=name, PrimaryContainer=CONTAINER, Tags=tags)
    assert sagemaker.describe_model(ModelName="owned-by-us")
    denial(sagemaker.describe_model, ModelName="owned-by-them")


def test_a_condition_on_the_scaled_service_holds(local_aws: LocalAws) -> None:
    condition = {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}
    scaling = local_aws.client(
        "application-autoscaling",
        **local_aws.role(allow("application-autoscaling:DeregisterScalableTarget", "*", Condition=condition)),
    )
    with pytest.raises(ClientError, match="ObjectNotFoundException"):
        scaling.deregister_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId="endpoint/absent/variant/AllTraffic",
            ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        )
    denial(
        scaling.deregister_scalable_target,
        ServiceNamespace="ecs",
        ResourceId="service/default/web",
        ScalableDimension="ecs:service:DesiredCount",
    )


def test_the_query_cannot_name_another_action(local_aws: LocalAws) -> None:
    """The action that is authorised is the one that is done, whatever `Action` the URL adds."""
    role = local_aws.role(allow("sagemaker:ListModels", "*"))
    sagemaker = local_aws.client("sagemaker", **role)
    sagemaker.meta.events.register(
        "before-sign.sagemaker.*", lambda request, **_: setattr(request, "url", request.url + "?Action=ListModels")
    )
    assert sagemaker.list_models()["Models"] is not None
    assert "sagemaker:ListEndpoints" in denial(sagemaker.list_endpoints)
