"""InvokeEndpoint: who answers, what the model's functions are given, and what their failures become."""

import io
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from botocore.exceptions import ClientError

from tests.conftest import LocalAws
from tests.localaws.hosting import Hosting, archive, named, refusal, unique

# Tells what its functions were given; what input_fn raises is chosen by the request.
ECHO = """
import json

class Unreadable(ValueError):
    status_code = 400

def model_fn(model_dir, context):
    return {"model_dir": model_dir, "from_context": context.system_properties["model_dir"]}

def input_fn(body, content_type):
    if body == "unreadable":
        raise Unreadable("this is no picture")
    if body == "broken":
        raise KeyError("breed")
    return {"type": type(body).__name__, "length": len(body), "content_type": content_type}

def predict_fn(data, model):
    return {**data, **model}

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"

def output_fn(prediction, accept, context):
    if given := context.get_request_header(0, ATTRIBUTES):
        context.set_response_header(0, ATTRIBUTES, given.upper())
    return json.dumps({**prediction, "accept": accept}), "application/x-echo"
"""
TRANSFORM = """
def model_fn(model_dir):
    return 3

def transform_fn(model, body, content_type, accept):
    return str(model * int(body))
"""
TORCH = """
import torch

def model_fn(model_dir):
    model = torch.nn.Linear(2, 3)
    model.load_state_dict(torch.load(f"{model_dir}/model.pth", weights_only=True))
    return model.eval()
"""


@pytest.fixture(scope="module")
def hosting(local_aws: LocalAws) -> Hosting:
    return Hosting.prepare(local_aws)


@pytest.fixture(scope="module")
def echo(hosting: Hosting) -> Iterator[str]:
    name = hosting.endpoint(hosting.config(hosting.model(ECHO)))
    yield name
    hosting.delete(name)


@pytest.fixture(scope="module")
def transforming(hosting: Hosting) -> Iterator[str]:
    name = hosting.endpoint(hosting.config(hosting.model(TRANSFORM)))
    yield name
    hosting.delete(name)


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [("image/jpeg", "bytearray"), ("application/json", "str"), ("application/json; charset=utf-8", "str")],
)
def test_gives_text_as_text_and_images_as_bytes(hosting: Hosting, echo: str, content_type: str, kind: str) -> None:
    answer = hosting.runtime.invoke_endpoint(EndpointName=echo, ContentType=content_type, Accept="a/b", Body=b"12345")

    assert answer["ContentType"] == "application/x-echo"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert json.loads(answer["Body"].read()) == {
        "type": kind,
        "length": 5,
        "content_type": content_type.split(";")[0],
        "accept": "a/b",
        "model_dir": "/opt/ml/model",
        "from_context": "/opt/ml/model",
    }


def test_custom_attributes_go_in_and_come_back(hosting: Hosting, echo: str) -> None:
    call = {"EndpointName": echo, "ContentType": "image/png", "Body": b"1"}
    answer = hosting.runtime.invoke_endpoint(**call, CustomAttributes="trace=7")
    another = hosting.runtime.invoke_endpoint(**call)

    assert answer["CustomAttributes"] == "TRACE=7"
    assert "CustomAttributes" not in another


def test_asks_for_json_when_the_caller_does_not_say(hosting: Hosting, echo: str) -> None:
    answer = hosting.runtime.invoke_endpoint(EndpointName=echo, ContentType="image/png", Body=b"1")

    assert json.loads(answer["Body"].read())["accept"] == "application/json"


@pytest.mark.parametrize(
    ("body", "status", "kind", "reason"),
    [("unreadable", 400, "client", "this is no picture"), ("broken", 500, "server", "'breed'")],
)
def test_an_exception_is_a_model_error(
    hosting: Hosting, echo: str, body: str, status: int, kind: str, reason: str
) -> None:
    with pytest.raises(ClientError) as refused:
        hosting.runtime.invoke_endpoint(EndpointName=echo, ContentType="application/json", Body=body)

    answer = refused.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["Error"]["Message"].startswith(
        f'Received {kind} error ({status}) from primary with message "{reason}'
    )
    assert f"/aws/sagemaker/Endpoints/{echo} in account 000000000000" in answer["Error"]["Message"]
    assert answer["OriginalStatusCode"] == status
    assert answer["OriginalMessage"].startswith(reason)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424


def test_takes_a_body_of_megabytes(hosting: Hosting, echo: str) -> None:
    answer = hosting.runtime.invoke_endpoint(EndpointName=echo, ContentType="image/png", Body=bytes(5_000_000))

    assert json.loads(answer["Body"].read())["length"] == 5_000_000


def test_a_body_of_more_than_six_megabytes_is_too_large(hosting: Hosting, echo: str) -> None:
    with pytest.raises(ClientError) as refused:
        hosting.runtime.invoke_endpoint(EndpointName=echo, ContentType="image/png", Body=bytes((6 << 20) + 1))

    assert refused.value.response["Error"]["Code"] == "413"
    assert refused.value.response["Error"]["Message"] == "HTTP content length exceeded 6291456 bytes."
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_refuses_to_choose_a_model_or_container(hosting: Hosting, echo: str) -> None:
    code, message = refusal(hosting.runtime.invoke_endpoint, EndpointName=echo, Body=b"1", TargetModel="a.tar.gz")

    assert (code, message.startswith("TargetModel is not built")) == ("ValidationError", True)


def test_an_endpoint_that_is_not_in_service_is_not_found(hosting: Hosting) -> None:
    slow = unique("slow")
    config = hosting.config(hosting.model("import time\ntime.sleep(2)\n" + named("slow")))
    hosting.sagemaker.create_endpoint(EndpointName=slow, EndpointConfigName=config)

    for name in (slow, "nowhere"):
        code, message = refusal(hosting.runtime.invoke_endpoint, EndpointName=name, Body=b"{}")
        assert (code, message) == ("ValidationError", f"Endpoint {name} of account 000000000000 not found.")
    hosting.at_rest(slow)
    hosting.delete(slow)


def test_variants_share_the_traffic_by_weight(hosting: Hosting) -> None:
    config = hosting.config(hosting.model(named("first")), hosting.model(named("second")))
    name = hosting.endpoint(config)
    weights = [{"VariantName": "v0", "DesiredWeight": 3.0}, {"VariantName": "v1", "DesiredWeight": 1.0}]
    hosting.sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=weights)
    hosting.at_rest(name)

    answers = Counter(hosting.invoke(name)["name"] for _ in range(200))

    assert 120 <= answers["first"] <= 180  # 150 expected; further away once in a million runs
    assert {hosting.invoke(name, TargetVariant="v1")["name"] for _ in range(10)} == {"second"}
    assert refusal(lambda: hosting.invoke(name, TargetVariant="v9"))[0] == "ValidationError"
    hosting.delete(name)


def test_the_least_busy_instance_answers(hosting: Hosting) -> None:
    name = hosting.endpoint(hosting.config(hosting.model(named("pair")), count=2))

    with ThreadPoolExecutor() as pool:
        busy = pool.submit(hosting.invoke, name, {"seconds": 5})
        while not (quick := {hosting.invoke(name)["pid"] for _ in range(4)}) or len(quick) > 1:
            assert not busy.done()  # the slow request has not arrived yet
        assert not busy.done()
        slow = busy.result()["pid"]
    hosting.delete(name)

    assert slow not in quick


@pytest.mark.parametrize("accept", ["text/plain", "text/xml", "application/json", "application/json; charset=utf-8"])
def test_transform_fn_stands_for_the_three_and_the_answer_has_its_type(
    hosting: Hosting, transforming: str, accept: str
) -> None:
    answer = hosting.runtime.invoke_endpoint(
        EndpointName=transforming, ContentType="application/json", Accept=accept, Body=b"14"
    )
    assert (answer["ContentType"], answer["Body"].read()) == (accept, b"42")


def test_an_error_derived_from_the_packages_own_is_answered_with_its_status(hosting: Hosting) -> None:
    script = """
from sagemaker_inference.errors import BaseInferenceToolkitError

class Refusal(BaseInferenceToolkitError):
    def __init__(self):
        super().__init__(422, "no dog in it", "no dog")

def model_fn(model_dir):
    return None

def predict_fn(array, model):
    raise Refusal
"""
    endpoint = hosting.endpoint(hosting.config(hosting.model(script)))
    with pytest.raises(ClientError) as caught:
        hosting.runtime.invoke_endpoint(EndpointName=endpoint, ContentType="application/json", Body=b"[3]")
    assert caught.value.response["OriginalStatusCode"] == 422
    assert "no dog in it" in caught.value.response["OriginalMessage"]


def test_scripts_find_the_package_of_the_images(hosting: Hosting) -> None:
    script = """
from sagemaker_inference import content_types, decoder, encoder, errors

def model_fn(model_dir):
    return 2

def input_fn(body, content_type):
    if content_type not in content_types.UTF8_TYPES:
        raise errors.UnsupportedFormatError(content_type)
    return decoder.decode(body, content_type)

def predict_fn(array, model):
    return array * model

def output_fn(prediction, accept):
    return encoder.encode(prediction, accept), accept
"""
    endpoint = hosting.endpoint(hosting.config(hosting.model(script)))
    invoke = hosting.runtime.invoke_endpoint
    answer = invoke(EndpointName=endpoint, ContentType="text/csv", Accept="text/csv", Body=b"1,2.5\n3,4\n")
    assert answer["Body"].read() == b"2.0,5.0\n6.0,8.0\n"
    assert json.loads(invoke(EndpointName=endpoint, ContentType="application/json", Body=b"[3]")["Body"].read()) == [6]
    with pytest.raises(ClientError) as caught:
        invoke(EndpointName=endpoint, ContentType="image/png", Body=b"")
    assert caught.value.response["OriginalStatusCode"] == 415
    hosting.delete(endpoint)


def test_runs_the_program_and_the_modules_that_a_model_brings(hosting: Hosting) -> None:
    files = {
        "code/serve.py": "import os, helper\ndef model_fn(d): return helper.word + os.environ['ENDING']\n"
        "def input_fn(body, content_type): return body\n"
        "def predict_fn(data, model): return [model]",
        "code/helper.py": "word = 'wood'",
    }
    model = hosting.model(archive(files), SAGEMAKER_PROGRAM="serve.py", ENDING="work")
    name = hosting.endpoint(hosting.config(model))

    answer = hosting.invoke(name)
    hosting.delete(name)

    assert answer == ["woodwork"]


def test_serves_torch_by_the_defaults_of_its_container(hosting: Hosting) -> None:
    import torch

    model = torch.nn.Linear(2, 3)
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    name = hosting.endpoint(
        hosting.config(hosting.model(archive({"code/inference.py": TORCH, "model.pth": buffer.getvalue()})))
    )
    rows = np.array([[1.0, 2.0], [3.0, -4.0]], dtype=np.float32)
    expected = model(torch.from_numpy(rows)).detach().numpy()
    npy = io.BytesIO()
    np.save(npy, rows)

    as_json = hosting.invoke(name, rows.tolist())
    answer = hosting.runtime.invoke_endpoint(
        EndpointName=name, ContentType="application/x-npy", Accept="application/x-npy", Body=npy.getvalue()
    )
    as_npy = np.load(io.BytesIO(answer["Body"].read()))
    with pytest.raises(ClientError) as unreadable:
        hosting.runtime.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=b"{")
    with pytest.raises(ClientError) as unsupported:
        hosting.runtime.invoke_endpoint(EndpointName=name, ContentType="image/png", Body=b"x")
    hosting.delete(name)

    np.testing.assert_allclose(as_json, expected, rtol=1e-5)
    np.testing.assert_allclose(as_npy, expected, rtol=1e-5)
    assert unreadable.value.response["OriginalStatusCode"] == 400
    assert unsupported.value.response["OriginalStatusCode"] == 415
