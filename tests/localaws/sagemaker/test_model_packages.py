"""Model package groups and their versions, over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import LocalAws

ARN = "arn:aws:sagemaker:us-east-1:000000000000:"
SPECIFICATION = {
    "Containers": [{"Image": "image:1", "ModelDataUrl": "s3://bucket/model.tar.gz"}],
    "SupportedContentTypes": ["image/jpeg"],
    "SupportedResponseMIMETypes": ["application/json"],
}
METRICS = {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://bucket/report.json"}}}


@pytest.fixture
def sagemaker(local_aws: LocalAws) -> Any:
    return local_aws.client("sagemaker")


@pytest.fixture
def group(sagemaker: Any, request: pytest.FixtureRequest) -> str:
    name = str(request.node.originalname).removeprefix("test_").replace("_", "-")[:63].rstrip("-")
    sagemaker.create_model_package_group(ModelPackageGroupName=name, ModelPackageGroupDescription="Dogs")
    return name


def refused(call: Any, code: str = "ValidationException", **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == code
    return str(caught.value.response["Error"]["Message"])


def register(sagemaker: Any, group: str, **more: Any) -> str:
    answer = sagemaker.create_model_package(ModelPackageGroupName=group, InferenceSpecification=SPECIFICATION, **more)
    return str(answer["ModelPackageArn"])


def versions(sagemaker: Any, **wanted: Any) -> list[int]:
    packages = sagemaker.list_model_packages(**wanted)["ModelPackageSummaryList"]
    return [package["ModelPackageVersion"] for package in packages]


def test_describes_a_group_by_name_and_arn(sagemaker: Any, group: str) -> None:
    arn = f"{ARN}model-package-group/{group}"
    for name in (group, arn):
        described = sagemaker.describe_model_package_group(ModelPackageGroupName=name)
        assert (described["ModelPackageGroupName"], described["ModelPackageGroupArn"]) == (group, arn)
        assert described["ModelPackageGroupStatus"] == "Completed"
        assert described["ModelPackageGroupDescription"] == "Dogs"
        assert "Versions" not in described
    assert refused(sagemaker.create_model_package_group, ModelPackageGroupName=group).endswith(f"exists: {arn}.")
    elsewhere = arn.replace("us-east-1", "eu-west-1")
    assert "does not exist" in refused(sagemaker.describe_model_package_group, ModelPackageGroupName=elsewhere)


def test_numbers_versions_from_one_and_never_again(sagemaker: Any, group: str) -> None:
    first, second = register(sagemaker, group), register(sagemaker, group)
    assert (first, second) == tuple(f"{ARN}model-package/{group}/{number}" for number in (1, 2))
    sagemaker.delete_model_package(ModelPackageName=second)
    assert register(sagemaker, group).endswith("/3")


def test_versions_made_at_once_differ(sagemaker: Any, group: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        arns = list(pool.map(lambda _: register(sagemaker, group), range(24)))
    assert sorted(int(arn.rsplit("/", 1)[-1]) for arn in arns) == list(range(1, 25))


def test_a_request_repeated_with_its_token_makes_no_second_version(sagemaker: Any, group: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        arns = list(pool.map(lambda _: register(sagemaker, group, ClientToken=f"{group[:30]}-1"), range(4)))
    assert set(arns) == {f"{ARN}model-package/{group}/1"}
    sagemaker.update_model_package(ModelPackageArn=arns[0], ModelApprovalStatus="Approved")
    assert register(sagemaker, group, ClientToken=f"{group[:30]}-1") == arns[0]
    assert versions(sagemaker, ModelPackageGroupName=group, ModelApprovalStatus="Approved") == [1]
    other = {"ModelPackageGroupName": group, "ModelPackageDescription": "other", "ClientToken": f"{group[:30]}-1"}
    assert "other parameters" in refused(sagemaker.create_model_package, "ConflictException", **other)
    assert register(sagemaker, group, ClientToken=f"{group[:30]}-2").endswith("/2")


def test_an_update_repeated_with_its_token_is_made_once(sagemaker: Any, group: str) -> None:
    arn = register(sagemaker, group)
    added = {"AdditionalInferenceSpecificationsToAdd": [{"Name": "large", "Containers": SPECIFICATION["Containers"]}]}
    for token in ("one", "one", "two"):
        sagemaker.update_model_package(ModelPackageArn=arn, ClientToken=token, **added)
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    assert [one["Name"] for one in package["AdditionalInferenceSpecifications"]] == ["large", "large"]


def test_needs_either_a_name_or_a_group(sagemaker: Any, group: str) -> None:
    both = {"ModelPackageGroupName": group, "ModelPackageName": "name"}
    assert "Cannot determine which one to use" in refused(sagemaker.create_model_package, **both)
    assert refused(sagemaker.create_model_package) == "Missing ARN."


def test_describes_a_version_with_all_it_was_given(sagemaker: Any, group: str) -> None:
    arn = register(
        sagemaker,
        group,
        ModelMetrics=METRICS,
        CustomerMetadataProperties={"top1": "0.907"},
        ModelPackageDescription="One run",
    )
    for name in (arn, f"{group}/1"):
        package = sagemaker.describe_model_package(ModelPackageName=name)
        assert package["ModelPackageArn"] == arn
        assert (package["ModelPackageGroupName"], package["ModelPackageVersion"]) == (group, 1)
        assert package["ModelApprovalStatus"] == "PendingManualApproval"
        assert package["ModelPackageStatus"] == "Completed"
        assert package["ModelMetrics"] == METRICS
        assert package["InferenceSpecification"] == SPECIFICATION
        assert package["CustomerMetadataProperties"] == {"top1": "0.907"}
        assert "Asked" not in package


def test_an_update_changes_approval_and_metadata(sagemaker: Any, group: str) -> None:
    arn = register(sagemaker, group, CustomerMetadataProperties={"kept": "1", "gone": "2", "changed": "3"})
    sagemaker.update_model_package(
        ModelPackageArn=arn,
        ModelApprovalStatus="Approved",
        ApprovalDescription="better",
        CustomerMetadataProperties={"changed": "4", "added": "5"},
        CustomerMetadataPropertiesToRemove=["gone"],
    )
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    assert (package["ModelApprovalStatus"], package["ApprovalDescription"]) == ("Approved", "better")
    assert package["CustomerMetadataProperties"] == {"kept": "1", "changed": "4", "added": "5"}
    assert package["LastModifiedTime"] >= package["CreationTime"]


def test_an_update_of_a_version_without_metadata_makes_none(sagemaker: Any, group: str) -> None:
    arn = register(sagemaker, group)
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
    assert "CustomerMetadataProperties" not in sagemaker.describe_model_package(ModelPackageName=arn)


def test_lists_a_groups_versions_by_approval_and_age(sagemaker: Any, group: str) -> None:
    for status in ("Approved", "Rejected", "Approved"):
        register(sagemaker, group, ModelApprovalStatus=status)
    of_group = {"ModelPackageGroupName": group}
    assert versions(sagemaker, **of_group) == [1, 2, 3]
    newest = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 1}
    assert versions(sagemaker, **of_group, ModelApprovalStatus="Approved", **newest) == [3]
    assert versions(sagemaker, **of_group, ModelApprovalStatus="PendingManualApproval") == []
    assert "does not exist" in refused(sagemaker.list_model_packages, ModelPackageGroupName="no-group")


def test_a_package_without_a_group_has_no_version(sagemaker: Any) -> None:
    arn = sagemaker.create_model_package(ModelPackageName="alone", InferenceSpecification=SPECIFICATION)
    assert arn["ModelPackageArn"] == f"{ARN}model-package/alone"
    assert "ModelPackageVersion" not in sagemaker.describe_model_package(ModelPackageName="alone")
    alone = sagemaker.list_model_packages(NameContains="alone")["ModelPackageSummaryList"]
    assert [package["ModelPackageName"] for package in alone] == ["alone"]
    again = {"ModelPackageName": "alone", "InferenceSpecification": SPECIFICATION}
    assert "already exists" in refused(sagemaker.create_model_package, "ConflictException", **again)


def test_a_group_is_deleted_only_when_empty(sagemaker: Any, group: str) -> None:
    arn = register(sagemaker, group)
    delete = sagemaker.delete_model_package_group
    assert "still holds 1" in refused(delete, "ConflictException", ModelPackageGroupName=group)
    sagemaker.delete_model_package(ModelPackageName=arn)
    assert "does not exist" in refused(sagemaker.describe_model_package, ModelPackageName=arn)
    delete(ModelPackageGroupName=group)
    assert "does not exist" in refused(sagemaker.describe_model_package_group, ModelPackageGroupName=group)
    refused(sagemaker.create_model_package, ModelPackageGroupName=group, InferenceSpecification=SPECIFICATION)


def test_lists_groups_by_name(sagemaker: Any) -> None:
    for letter in "ba":
        sagemaker.create_model_package_group(ModelPackageGroupName=f"sorted-{letter}")
    groups = sagemaker.list_model_package_groups(NameContains="sorted-", SortBy="Name")["ModelPackageGroupSummaryList"]
    assert [one["ModelPackageGroupName"] for one in groups] == ["sorted-a", "sorted-b"]
