"""Data capture: what an endpoint was asked and answered, in the bucket."""

import base64
import json
import re
from typing import Any

import pytest

from tests.conftest import LocalAws
from tests.localaws.hosting import Hosting, eventually, named

WRITE = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}],
}


@pytest.fixture(scope="module")
def hosting(local_aws: LocalAws) -> Hosting:
    hosting = Hosting.prepare(local_aws)
    iam = local_aws.client("iam")
    iam.put_role_policy(RoleName=hosting.bucket, PolicyName="capture", PolicyDocument=json.dumps(WRITE))
    return hosting


def capturing(hosting: Hosting, model: str, *modes: str, percent: int = 100, **members: Any) -> str:
    """An endpoint config that captures to its bucket's `captured`."""
    return hosting.config(
        model,
        capture={
            "InitialSamplingPercentage": percent,
            "DestinationS3Uri": f"s3://{hosting.bucket}/captured",
            "CaptureOptions": [{"CaptureMode": mode} for mode in modes],
            **members,
        },
    )


def captured(hosting: Hosting, endpoint: str) -> dict[str, list[dict[str, Any]]]:
    """The events of an endpoint's files, by key."""
    s3 = hosting.aws.client("s3")
    listed = s3.list_objects_v2(Bucket=hosting.bucket, Prefix=f"captured/{endpoint}/").get("Contents", [])
    bodies = {file["Key"]: s3.get_object(Bucket=hosting.bucket, Key=file["Key"])["Body"].read() for file in listed}
    return {key: [json.loads(line) for line in body.decode().splitlines()] for key, body in bodies.items()}


def test_writes_both_sides_as_json_lines(hosting: Hosting) -> None:
    config = capturing(
        hosting,
        hosting.model(named("seen")),
        "Input",
        "Output",
        CaptureContentTypeHeader={"JsonContentTypes": ["application/json"]},
    )
    name = hosting.endpoint(config)
    answer = hosting.invoke(name, {"breed": "Pug"}, InferenceId="photo-7", CustomAttributes="who=me")
    summary = hosting.sagemaker.describe_endpoint(EndpointName=name)["DataCaptureConfig"]
    [(key, [event])] = eventually(lambda: captured(hosting, name)).items()
    hosting.delete(name)

    assert summary == {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{hosting.bucket}/captured",
        "KmsKeyId": "",
    }
    assert re.fullmatch(
        rf"captured/{name}/AllTraffic/\d{{4}}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{{3}}-[-0-9a-f]{{36}}\.jsonl", key
    )
    assert event["captureData"]["endpointInput"] == {
        "observedContentType": "application/json",
        "mode": "INPUT",
        "data": '{"breed": "Pug"}',
        "encoding": "JSON",
    }
    output = event["captureData"]["endpointOutput"]
    assert (output["mode"], output["encoding"], json.loads(output["data"])) == ("OUTPUT", "JSON", answer)
    assert event["eventVersion"] == "0"
    assert event["eventMetadata"]["inferenceId"] == "photo-7"
    assert event["eventMetadata"]["customAttributes"] == ["who=me"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event["eventMetadata"]["inferenceTime"])


def test_a_new_config_may_keep_the_capture_or_change_it(hosting: Hosting) -> None:
    model = hosting.model(named("seen"))
    name = hosting.endpoint(capturing(hosting, model, "Input"))
    hosting.invoke(name, {"number": 1})
    eventually(lambda: len(captured(hosting, name)) == 1)

    plain = hosting.config(model)
    hosting.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=plain, RetainAllVariantProperties=True)
    kept = hosting.at_rest(name)
    hosting.invoke(name, {"number": 2})
    eventually(lambda: len(captured(hosting, name)) == 2)
    hosting.sagemaker.update_endpoint(
        EndpointName=name,
        EndpointConfigName=capturing(hosting, model, "Output", percent=0),
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DataCaptureConfig"}],
    )
    changed = hosting.at_rest(name)
    hosting.delete(name)

    events = [event["captureData"] for events in captured(hosting, name).values() for event in events]
    assert [list(event) for event in events] == [["endpointInput"], ["endpointInput"]]
    assert {base64.b64decode(event["endpointInput"]["data"]) for event in events} == {
        b'{"number": 1}',
        b'{"number": 2}',
    }
    assert {event["endpointInput"]["encoding"] for event in events} == {"BASE64"}
    assert (kept["EndpointConfigName"], kept["DataCaptureConfig"]["CurrentSamplingPercentage"]) == (plain, 100)
    assert changed["DataCaptureConfig"]["CurrentSamplingPercentage"] == 0
