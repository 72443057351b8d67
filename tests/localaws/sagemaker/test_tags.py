"""Tags of SageMaker resources, over HTTP."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import LocalAws


@pytest.fixture
def sagemaker(local_aws: LocalAws) -> Any:
    return local_aws.client("sagemaker")


def tags(**values: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in values.items()]


def model(sagemaker: Any, name: str, **tagged: str) -> str:
    answer = sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": "image:1"}, Tags=tags(**tagged))
    return str(answer["ModelArn"])


def test_adds_changes_and_removes(sagemaker: Any) -> None:
    arn = model(sagemaker, "tags", kept="1", changed="2")
    assert sagemaker.add_tags(ResourceArn=arn, Tags=tags(changed="3", added="4"))["Tags"] == tags(
        kept="1", changed="3", added="4"
    )
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["changed", "absent"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == tags(kept="1", added="4")


def test_a_resource_of_an_old_name_starts_without_the_old_tags(sagemaker: Any) -> None:
    arn = model(sagemaker, "again", old="1")
    sagemaker.delete_model(ModelName="again")
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == []
    model(sagemaker, "again", new="2")
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == tags(new="2")


def test_refuses_more_than_fifty(sagemaker: Any) -> None:
    arn = model(sagemaker, "many", **{f"key-{number}": "v" for number in range(50)})
    with pytest.raises(ClientError) as caught:
        sagemaker.add_tags(ResourceArn=arn, Tags=tags(more="v"))
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert len(sagemaker.list_tags(ResourceArn=arn)["Tags"]) == 50
