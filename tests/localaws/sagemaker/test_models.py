"""Models, over HTTP."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import LocalAws

ROLE = "arn:aws:iam::000000000000:role/serves"
ARN = "arn:aws:sagemaker:us-east-1:000000000000:model/"


@pytest.fixture
def sagemaker(local_aws: LocalAws) -> Any:
    return local_aws.client("sagemaker")


def invalid(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    return str(caught.value.response["Error"]["Message"])


def test_describes_what_was_created(sagemaker: Any) -> None:
    container = {"Image": "image:1", "ModelDataUrl": "s3://bucket/model.tar.gz", "Environment": {"A": "b"}}
    created = sagemaker.create_model(
        ModelName="described",
        PrimaryContainer=container,
        ExecutionRoleArn=ROLE,
        EnableNetworkIsolation=True,
        Tags=[{"Key": "k", "Value": "v"}],
    )
    assert created["ModelArn"] == ARN + "described"
    model = sagemaker.describe_model(ModelName="described")
    assert model["PrimaryContainer"] == container
    assert (model["ExecutionRoleArn"], model["EnableNetworkIsolation"]) == (ROLE, True)
    assert model["ModelArn"] == ARN + "described"
    assert "Tags" not in model
    assert sagemaker.list_tags(ResourceArn=ARN + "described")["Tags"] == [{"Key": "k", "Value": "v"}]


def test_a_name_is_taken_until_its_model_is_deleted(sagemaker: Any) -> None:
    model = {"ModelName": "taken", "PrimaryContainer": {"Image": "image:1"}}
    sagemaker.create_model(**model)
    assert invalid(sagemaker.create_model, **model) == f'Cannot create already existing model "{ARN}taken".'
    sagemaker.delete_model(ModelName="taken")
    for call in (sagemaker.describe_model, sagemaker.delete_model):
        assert invalid(call, ModelName="taken") == f'Could not find model "{ARN}taken".'
    sagemaker.create_model(**model)


def test_needs_one_kind_of_container_with_an_image(sagemaker: Any) -> None:
    container = {"Image": "image:1"}
    assert "PrimaryContainer or Containers" in invalid(sagemaker.create_model, ModelName="none")
    both = {"PrimaryContainer": container, "Containers": [container]}
    assert "PrimaryContainer or Containers" in invalid(sagemaker.create_model, ModelName="both", **both)
    bare = {"ModelDataUrl": "s3://bucket/model.tar.gz"}
    assert "Image" in invalid(sagemaker.create_model, ModelName="bare", PrimaryContainer=bare)


def test_takes_its_container_from_an_approved_package_only(sagemaker: Any) -> None:
    sagemaker.create_model_package_group(ModelPackageGroupName="packaged")
    specification = {
        "Containers": [{"Image": "image:1", "ModelDataUrl": "s3://bucket/model.tar.gz"}],
        "SupportedContentTypes": ["image/jpeg"],
        "SupportedResponseMIMETypes": ["application/json"],
    }
    package = sagemaker.create_model_package(ModelPackageGroupName="packaged", InferenceSpecification=specification)
    arn = package["ModelPackageArn"]
    model = {"ModelName": "from-package", "PrimaryContainer": {"ModelPackageName": arn}}
    assert "is not approved" in invalid(sagemaker.create_model, **model)
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    sagemaker.create_model(**model)
    assert sagemaker.describe_model(ModelName="from-package")["PrimaryContainer"] == {"ModelPackageName": arn}
    missing = {"ModelPackageName": arn.replace("packaged/1", "packaged/9")}
    assert "does not exist" in invalid(sagemaker.create_model, ModelName="missing", PrimaryContainer=missing)


def test_lists_by_name_and_page(sagemaker: Any) -> None:
    for letter in "bca":
        sagemaker.create_model(ModelName=f"listed-{letter}", PrimaryContainer={"Image": "image:1"})
    wanted = {"NameContains": "Listed-", "SortBy": "Name", "SortOrder": "Ascending"}
    first = sagemaker.list_models(**wanted, MaxResults=2)
    assert [model["ModelName"] for model in first["Models"]] == ["listed-a", "listed-b"]
    second = sagemaker.list_models(**wanted, MaxResults=2, NextToken=first["NextToken"])
    assert [model["ModelName"] for model in second["Models"]] == ["listed-c"]
    assert "NextToken" not in second
    newest_first = [model["ModelName"] for model in sagemaker.list_models(NameContains="listed-")["Models"]]
    assert newest_first == ["listed-a", "listed-c", "listed-b"]
    created = second["Models"][0]["CreationTime"]
    later = sagemaker.list_models(NameContains="listed-", CreationTimeAfter=created)["Models"]
    assert [model["ModelName"] for model in later] == ["listed-a"]


def test_refuses_a_token_of_no_listing(sagemaker: Any) -> None:
    assert "NextToken" in invalid(sagemaker.list_models, NextToken="elsewhere")
