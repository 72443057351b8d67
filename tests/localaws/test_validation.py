"""Requests against botocore's model, in AWS's words."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import UnknownServiceError
from botocore.model import OperationNotFoundError
from hypothesis import given
from hypothesis import strategies as st

from localaws.validation import compiled, known, service_model, validate

ROLE = "arn:aws:iam::000000000000:role/job"
TRAINING = {
    "TrainingJobName": "dogs-1",
    "RoleArn": ROLE,
    "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "image:1"},
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


def problems(**changes: Any) -> list[str]:
    return validate("sagemaker", "CreateTrainingJob", TRAINING | changes)


def constraint(shown: str, path: str, rule: str) -> str:
    return f"Value {shown} at '{path}' failed to satisfy constraint: {rule}"


def test_takes_a_good_request() -> None:
    assert problems() == []


def test_takes_what_the_model_does_not_know() -> None:
    assert problems(Novelty=1) == []


def test_takes_python_values_as_a_client_does() -> None:
    assert validate("sagemaker", "ListModels", {"CreationTimeAfter": datetime.now(UTC)}) == []
    assert validate("sagemaker-runtime", "InvokeEndpoint", {"EndpointName": "e", "Body": b"\xff"}) == []


def test_an_absent_optional_member_may_be_none() -> None:
    assert problems(Tags=None) == []


def test_a_time_is_a_number() -> None:
    expected = constraint("'yesterday'", "creationTimeAfter", "Member must be of type timestamp")
    assert validate("sagemaker", "ListModels", {"CreationTimeAfter": "yesterday"}) == [expected]
    assert validate("sagemaker", "ListModels", {"CreationTimeAfter": 1.5e9}) == []


def test_what_aws_ignores_is_not_kept() -> None:
    tags = [{"Key": "team", "Value": "pets", "Colour": "red"}]
    request = {"ModelName": "dogs", "Novelty": 1, "PrimaryContainer": None, "Tags": tags}
    assert known("sagemaker", "CreateModel", request) == {
        "ModelName": "dogs",
        "Tags": [{"Key": "team", "Value": "pets"}],
    }


def test_names_a_missing_member() -> None:
    request = {name: value for name, value in TRAINING.items() if name != "RoleArn"}
    expected = constraint("null", "roleArn", "Member must not be null")
    assert validate("sagemaker", "CreateTrainingJob", request) == [expected]


def test_a_pattern_holds_for_the_whole_value() -> None:
    rule = "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
    assert problems(TrainingJobName="dogs_1") == [constraint("'dogs_1'", "trainingJobName", rule)]
    assert problems(TrainingJobName="dogs-1\n") != []


def test_names_lengths_at_both_ends() -> None:
    assert constraint("'x'", "roleArn", "Member must have length greater than or equal to 20") in problems(RoleArn="x")
    long = "d" * 64
    rule = "Member must have length less than or equal to 63"
    assert constraint(f"'{long}'", "trainingJobName", rule) in problems(TrainingJobName=long)


def test_names_ranges_deep_inside() -> None:
    found = problems(ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": -1, "VolumeSizeInGB": 10})
    rule = "Member must have value greater than or equal to 0"
    assert found == [constraint("'-1'", "resourceConfig.instanceCount", rule)]


def test_names_an_enums_values() -> None:
    found = problems(AlgorithmSpecification={"TrainingInputMode": "Tape", "TrainingImage": "image:1"})
    path = "algorithmSpecification.trainingInputMode"
    assert found == [constraint("'Tape'", path, "Member must satisfy enum value set: [Pipe, File, FastFile]")]


def test_counts_list_items_from_one() -> None:
    (found,) = problems(Tags=[{"Key": "a", "Value": "b"}, {"Key": "a"}])
    assert found == constraint("null", "tags.2.member.value", "Member must not be null")


def test_names_a_maps_keys_and_values() -> None:
    (key,) = problems(HyperParameters={"k" * 257: "v"})
    assert "Map keys must satisfy constraint: [Member must have length less than or equal to 256]" in key
    (value,) = problems(HyperParameters={"k": "v" * 2501})
    assert "Map value must satisfy constraint: [Member must have length less than or equal to 2500]" in value


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"TrainingJobName": 1}, "string"),
        ({"Tags": "a"}, "list"),
        ({"HyperParameters": ["a"]}, "map"),
        ({"HyperParameters": {"epochs": 3}}, "string"),
        ({"ResourceConfig": "big"}, "structure"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": "60"}}, "integer"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": True}}, "integer"),
        ({"EnableNetworkIsolation": "yes"}, "boolean"),
    ],
)
def test_names_a_wrong_type(changes: dict[str, Any], kind: str) -> None:
    (found,) = problems(**changes)
    assert found.endswith(f"Member must be of type {kind}")


def test_reports_all_that_is_wrong() -> None:
    assert len(problems(TrainingJobName="_", RoleArn="role", StoppingCondition={"MaxRuntimeInSeconds": 0})) == 4


@pytest.mark.parametrize("value", ["Größe: 3/4+x=y@z", "犬", ""])
def test_tags_take_letters_of_every_script(value: str) -> None:
    assert problems(Tags=[{"Key": "k", "Value": value}]) == []


def test_tags_refuse_what_is_no_letter() -> None:
    assert problems(Tags=[{"Key": "k", "Value": "50%"}]) != []


@pytest.mark.parametrize("service", ["sagemaker", "sagemaker-runtime", "application-autoscaling"])
def test_reads_every_pattern_of_its_services(service: str) -> None:
    model = service_model(service)
    patterns = {model.shape_for(name).metadata.get("pattern") for name in model.shape_names} - {None}
    assert all(compiled(pattern).flags for pattern in patterns)
    assert len(patterns) > 3


@given(st.text(max_size=80))
def test_a_name_is_good_exactly_when_it_reads_like_one(name: str) -> None:
    letters = all(part.isascii() and part.isalnum() for part in name.replace("-", ""))
    good = bool(name) and letters and len(name) <= 63 and name[0] != "-" and name[-1] != "-"
    assert (problems(TrainingJobName=name) == []) == good


def test_an_unknown_operation_or_service_is_the_callers_mistake() -> None:
    with pytest.raises(OperationNotFoundError):
        validate("sagemaker", "MakeCoffee", {})
    with pytest.raises(UnknownServiceError):
        validate("coffee", "MakeCoffee", {})
