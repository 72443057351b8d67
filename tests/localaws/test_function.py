"""The invocation function deployed as it is on AWS: its own role, a real endpoint, photos in S3."""

import base64
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from PIL import Image

from tests.conftest import LocalAws
from tests.localaws.hosting import Hosting, unique

PACKAGE = Path(__file__).parents[2] / "lambda"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
# Tells red from blue photos, by the contract of the classifier's inference.py.
COLOURS = """
import io, json
from PIL import Image

class Unreadable(ValueError):
    status_code = 422

def model_fn(model_dir):
    return ["Red", "Green", "Blue"]

def input_fn(body, content_type):
    try:
        return Image.open(io.BytesIO(body)).convert("RGB").resize((1, 1)).getpixel((0, 0))
    except OSError as error:
        raise Unreadable(str(error)) from error

def predict_fn(pixel, labels):
    return {"scores": [[value / 25.5 for value in pixel]], "labels": labels}

def output_fn(prediction, accept):
    return json.dumps(prediction)
"""


def photo(colour: str, kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(stream, kind)
    return stream.getvalue()


def package() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(PACKAGE.glob("invoke_endpoint/*.py")):
            archive.write(path, path.relative_to(PACKAGE))
    return stream.getvalue()


@pytest.fixture(scope="module")
def hosting(local_aws: LocalAws) -> Hosting:
    return Hosting.prepare(local_aws)


@pytest.fixture(scope="module")
def endpoint(hosting: Hosting) -> Iterator[str]:
    name = hosting.endpoint(hosting.config(hosting.model(COLOURS)))
    yield name
    hosting.delete(name)


@pytest.fixture(scope="module")
def deploy(local_aws: LocalAws, endpoint: str) -> Iterator[Callable[..., str]]:
    """Creates functions that may invoke `endpoint` and nothing else."""
    role = unique("function")
    iam, client = local_aws.client("iam"), local_aws.client("lambda")
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    allowed = f"arn:aws:sagemaker:{local_aws.region}:{local_aws.account_id}:endpoint/{endpoint}"
    statement = {"Effect": "Allow", "Action": "sagemaker:InvokeEndpoint", "Resource": allowed}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_role_policy(RoleName=role, PolicyName="invoke", PolicyDocument=json.dumps(policy))
    names: list[str] = []

    def create(**environment: str) -> str:
        names.append(unique("function"))
        client.create_function(
            FunctionName=names[-1],
            Runtime="python3.12",
            Handler="invoke_endpoint.handler.lambda_handler",
            Role=arn,
            Code={"ZipFile": package()},
            Timeout=20,
            Environment={"Variables": environment},
        )
        client.get_waiter("function_active_v2").wait(FunctionName=names[-1], WaiterConfig={"Delay": 1})
        return names[-1]

    yield create
    for name in names:
        client.delete_function(FunctionName=name)


@pytest.fixture(scope="module")
def function(deploy: Callable[..., str], local_aws: LocalAws, endpoint: str) -> str:
    return deploy(ENDPOINT_NAME=endpoint, ALLOWED_HOSTS=local_aws.url.split("//")[1])


def invoke(aws: LocalAws, function: str, event: object) -> tuple[dict[str, Any], str]:
    """The function's answer and the end of its log."""
    answer = aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event), LogType="Tail")
    return json.loads(answer["Payload"].read()), base64.b64decode(answer["LogResult"]).decode()


def error_code(answer: dict[str, Any]) -> tuple[int, str]:
    return answer["statusCode"], json.loads(answer["body"])["error"]["code"]


@pytest.mark.parametrize("colour", ["Red", "Blue"])
def test_names_a_photo_by_its_url(local_aws: LocalAws, hosting: Hosting, function: str, colour: str) -> None:
    s3 = local_aws.client("s3")
    s3.put_object(Bucket=hosting.bucket, Key="photo.jpg", Body=photo(colour), ContentType="image/jpeg")
    url = s3.generate_presigned_url("get_object", {"Bucket": hosting.bucket, "Key": "photo.jpg"}, ExpiresIn=60)

    answer, log = invoke(local_aws, function, {"url": url, "top_k": 2})

    assert answer["statusCode"] == 200, answer
    assert len(json.loads(answer["body"])[0]) == 3
    assert len(answer["predictions"]) == 2
    assert answer["predictions"][0]["label"] == colour
    assert answer["predictions"][0]["probability"] > 0.9
    assert f"{hosting.bucket}/photo.jpg" in log
    assert "Signature" not in log


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_names_a_photo_it_is_given(local_aws: LocalAws, function: str, kind: str) -> None:
    answer, _ = invoke(local_aws, function, {"image": base64.b64encode(photo("lime", kind)).decode()})
    assert answer["predictions"][0]["label"] == "Green"


def test_answers_over_its_function_url(local_aws: LocalAws, function: str) -> None:
    created = local_aws.client("lambda").create_function_url_config(FunctionName=function, AuthType="AWS_IAM")
    url = created["FunctionUrl"]
    body = json.dumps({"image": base64.b64encode(photo("blue")).decode()})
    request = AWSRequest("POST", url, {"Content-Type": "application/json"}, body)
    keys = Credentials(local_aws.env["AWS_ACCESS_KEY_ID"], local_aws.env["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(keys, "lambda", local_aws.region).add_auth(request)

    answer = httpx.post(url, headers=dict(request.headers.items()), content=body)

    assert (answer.status_code, len(answer.json()[0])) == (200, 3)
    assert json.loads(answer.headers["X-Predictions"])[0]["label"] == "Blue"


def test_a_photo_that_is_not_public_is_unavailable(local_aws: LocalAws, hosting: Hosting, function: str) -> None:
    local_aws.client("s3").put_object(Bucket=hosting.bucket, Key="private.jpg", Body=photo("red"))
    answer, _ = invoke(local_aws, function, {"url": f"{local_aws.url}/{hosting.bucket}/private.jpg"})
    assert error_code(answer) == (400, "photo_unavailable")


def test_refuses_an_event_without_a_photo(local_aws: LocalAws, function: str) -> None:
    answer, _ = invoke(local_aws, function, {})
    assert error_code(answer) == (400, "bad_request")


def test_refuses_half_a_photo(local_aws: LocalAws, function: str) -> None:
    answer, log = invoke(local_aws, function, {"image": base64.b64encode(photo("red")[:300]).decode()})
    assert error_code(answer) == (422, "unreadable_image")
    assert "ModelError" in log


def test_shows_nothing_of_an_endpoint_it_may_not_invoke(local_aws: LocalAws, deploy: Callable[..., str]) -> None:
    function = deploy(ENDPOINT_NAME="somebody-elses")
    answer, log = invoke(local_aws, function, {"image": base64.b64encode(photo("red")).decode()})
    assert error_code(answer) == (502, "endpoint_failed")
    assert "AccessDenied" in log
    for word in ("AccessDenied", "arn:", "somebody-elses", local_aws.account_id):
        assert word not in json.dumps(answer)


def test_fails_by_the_name_of_a_missing_variable(local_aws: LocalAws, deploy: Callable[..., str]) -> None:
    answer, _ = invoke(local_aws, deploy(), {"url": "https://example.com/dog.jpg"})
    assert "ENDPOINT_NAME" in answer["errorMessage"]
