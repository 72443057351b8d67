"""Endpoints as their users see them: what comes into service, what does not and why, what a change leaves behind."""

import importlib.util
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from botocore.config import Config

from tests.conftest import LocalAws
from tests.localaws.hosting import IMAGE, Hosting, archive, eventually, named, refusal, unique


@pytest.fixture(scope="module")
def hosting(local_aws: LocalAws) -> Hosting:
    return Hosting.prepare(local_aws)


@pytest.fixture(scope="module")
def endpoint(hosting: Hosting) -> Iterator[str]:
    """An endpoint in service that tests read and invoke."""
    name = hosting.endpoint(hosting.config(hosting.model(named("shared"))))
    yield name
    hosting.delete(name)


def failure(hosting: Hosting, data: bytes | str, image: str | None = None) -> str:
    """Why an endpoint of this model does not come into service."""
    model = hosting.model(data, image) if image else hosting.model(data)
    name = hosting.endpoint(hosting.config(model))
    description = hosting.at_rest(name)
    assert description["EndpointStatus"] == "Failed"
    hosting.delete(name)
    reason: str = description["FailureReason"]
    return reason


def test_comes_into_service_and_answers(hosting: Hosting, endpoint: str) -> None:
    description = hosting.sagemaker.describe_endpoint(EndpointName=endpoint)
    [variant] = description["ProductionVariants"]

    assert description["EndpointStatus"] == "InService"
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (1, 1)
    assert (variant["CurrentWeight"], variant["DesiredWeight"]) == (1.0, 1.0)
    assert "pytorch-inference" in variant["DeployedImages"][0]["SpecifiedImage"]
    assert hosting.invoke(endpoint, {"a": 1}) == {
        "name": "shared",
        "data": {"a": 1},
        "pid": hosting.invoke(endpoint)["pid"],
    }


def test_sends_what_the_model_prints_to_its_log_group(hosting: Hosting) -> None:
    name = hosting.endpoint(hosting.config(hosting.model("print('the model is here')\n" + named("loud"))))
    group = f"/aws/sagemaker/Endpoints/{name}"

    def events() -> list[dict[str, str]]:
        found: list[dict[str, str]] = hosting.aws.client("logs").filter_log_events(logGroupName=group)["events"]
        return found

    [event] = eventually(events)
    hosting.delete(name)

    assert event["message"] == "the model is here"
    assert event["logStreamName"].startswith("AllTraffic/i-")


def test_lists_by_status_and_name(hosting: Hosting, endpoint: str) -> None:
    [listed] = hosting.sagemaker.list_endpoints(NameContains=endpoint, StatusEquals="InService")["Endpoints"]

    assert listed["EndpointName"] == endpoint
    assert hosting.sagemaker.list_endpoints(NameContains=endpoint, StatusEquals="Failed")["Endpoints"] == []


def test_lists_in_the_order_of_the_status(hosting: Hosting, endpoint: str) -> None:
    failed = hosting.endpoint(hosting.config(hosting.model("raise ValueError")))

    listed = hosting.sagemaker.list_endpoints(SortBy="Status", SortOrder="Ascending", MaxResults=100)["Endpoints"]
    hosting.delete(failed)

    statuses = [one["EndpointStatus"] for one in listed]
    assert statuses == sorted(statuses)
    assert {"Failed", "InService"} <= set(statuses)


def test_refuses_a_name_that_is_taken(hosting: Hosting, endpoint: str) -> None:
    config = hosting.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]

    code, message = refusal(hosting.sagemaker.create_endpoint, EndpointName=endpoint, EndpointConfigName=config)

    assert code == "ValidationException"
    assert message.startswith(
        f'Cannot create already existing endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/{endpoint}"'
    )


def test_names_what_it_could_not_find(hosting: Hosting, endpoint: str) -> None:
    arn = "arn:aws:sagemaker:us-east-1:000000000000"
    for operation in ("describe_endpoint", "delete_endpoint"):
        code, message = refusal(getattr(hosting.sagemaker, operation), EndpointName="nowhere")
        assert (code, message) == ("ValidationException", f'Could not find endpoint "{arn}:endpoint/nowhere".')
    missing = f'Could not find endpoint configuration "{arn}:endpoint-config/nothing".'
    for operation, name in (("create_endpoint", unique("endpoint")), ("update_endpoint", endpoint)):
        call = getattr(hosting.sagemaker, operation)
        assert refusal(call, EndpointName=name, EndpointConfigName="nothing")[1] == missing


def test_fails_for_model_data_that_is_no_archive(hosting: Hosting) -> None:
    assert "is not a tar.gz archive" in failure(hosting, b"this is not a tar")


def test_fails_for_an_archive_that_leads_outside(hosting: Hosting) -> None:
    reason = failure(hosting, archive({"../../escaped": "x", "code/inference.py": named("outside")}))

    assert "Failed to extract model data" in reason
    assert "leads up, perhaps out of its directory" in reason


def test_fails_for_model_data_that_is_not_there(hosting: Hosting) -> None:
    model = hosting.model(named("gone"))
    hosting.aws.client("s3").delete_object(Bucket=hosting.bucket, Key=f"{model}/model.tar.gz")

    description = hosting.at_rest(hosting.endpoint(hosting.config(model)))

    assert description["EndpointStatus"] == "Failed"
    assert (
        f"Failed to download model data for production variant AllTraffic: s3://{hosting.bucket}/{model}/"
        in description["FailureReason"]
    )


def test_fails_with_the_last_line_of_a_model_fn_that_raises(hosting: Hosting) -> None:
    reason = failure(hosting, "def model_fn(model_dir):\n    raise RuntimeError('no weights in ' + model_dir)")

    assert reason.startswith(
        "The primary container for production variant AllTraffic did not pass the ping health check."
    )
    assert reason.endswith("RuntimeError: no weights in /opt/ml/model")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            named("two") + "def transform_fn(model, body, content_type, accept): pass",
            "defines transform_fn, so it must not",
        ),
        ("def model_fn(): pass", "model_fn takes 0 arguments, not 1"),
        ("import nothing_of_the_kind", "ModuleNotFoundError: No module named 'nothing_of_the_kind'"),
        ("import os\nos.kill(os.getpid(), 9)", "did not pass the ping health check"),
    ],
)
def test_fails_for_a_script_that_breaks_the_contract(hosting: Hosting, source: str, reason: str) -> None:
    assert reason in failure(hosting, source)


def test_fails_without_an_inference_script(hosting: Hosting) -> None:
    reason = failure(hosting, archive({"weights.bin": b"\0"}))

    assert "model.tar.gz holds neither code/inference.py nor a TorchScript model.pt" in reason


def test_installs_what_a_model_requires_and_lacks(hosting: Hosting) -> None:
    """From a wheel beside the script, so that no network is needed."""
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("kennels.py", "WORD = 'installed'")
        file.writestr("kennels-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: kennels\nVersion: 1.0\n")
        file.writestr("kennels-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("kennels-1.0.dist-info/RECORD", "")
    path = "code/kennels-1.0-py3-none-any.whl"
    files: dict[str, bytes | str] = {
        "code/inference.py": "import kennels\n" + named("needy").replace("**model", "'word': kennels.WORD"),
        "code/requirements.txt": f"/opt/ml/model/{path}\n",
        path: wheel.getvalue(),
    }

    name = hosting.endpoint(hosting.config(hosting.model(archive(files))))
    description = hosting.at_rest(name)
    assert description["EndpointStatus"] == "InService", description["FailureReason"]
    answer = hosting.invoke(name)["word"]
    hosting.delete(name)

    assert answer == "installed"
    assert importlib.util.find_spec("kennels") is None


def test_refuses_a_model_of_several_containers(hosting: Hosting) -> None:
    name = unique("pipeline")
    hosting.sagemaker.create_model(
        ModelName=name, ExecutionRoleArn=hosting.role, Containers=[{"Image": IMAGE}, {"Image": IMAGE}]
    )
    config = hosting.config(name)

    code, message = refusal(hosting.sagemaker.create_endpoint, EndpointName=name, EndpointConfigName=config)

    assert (code, name in message) == ("ValidationException", True)


def test_fails_for_an_image_that_cannot_run_here(hosting: Hosting) -> None:
    image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"

    assert image in failure(hosting, named("xgboost"), image)


def test_fails_when_the_role_may_not_read_the_model(hosting: Hosting) -> None:
    iam = hosting.aws.client("iam")
    name = unique("powerless")
    trust = iam.get_role(RoleName=hosting.bucket)["Role"]["AssumeRolePolicyDocument"]
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    powerless = Hosting(hosting.aws, hosting.sagemaker, hosting.runtime, hosting.bucket, role)

    reason = failure(powerless, named("secret"))

    assert "Failed to download model data" in reason
    assert role in reason


def test_update_replaces_the_fleet_without_losing_a_request(hosting: Hosting) -> None:
    name = hosting.endpoint(hosting.config(hosting.model(named("old"))))
    new = hosting.config(hosting.model(named("new")))
    no_retries = Config(retries={"total_max_attempts": 1}, max_pool_connections=3)
    caller = replace(hosting, runtime=hosting.aws.client("sagemaker-runtime", config=no_retries))
    done = threading.Event()

    def invoke_on_and_on() -> list[str]:
        names = []
        while not done.is_set():
            names.append(caller.invoke(name, {"seconds": 0.02})["name"])
        return names

    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(invoke_on_and_on) for _ in range(3)]
        hosting.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new)
        description = hosting.at_rest(name)
        after = hosting.invoke(name)["name"]
        done.set()
        answers = [call.result() for call in calls]
    hosting.delete(name)

    assert (description["EndpointStatus"], description["EndpointConfigName"]) == ("InService", new)
    assert "FailureReason" not in description
    assert after == "new"
    for names in answers:
        assert names[0] == "old"
        assert names == sorted(names, reverse=True)  # old until the shift, new from then on


def test_update_to_a_broken_model_leaves_the_old_one_in_service(hosting: Hosting) -> None:
    old = hosting.config(hosting.model(named("old")))
    name = hosting.endpoint(old)
    processes = hosting.processes()
    broken = hosting.config(hosting.model("import time\ntime.sleep(2)\nraise ImportError('broken on purpose')"))

    hosting.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=broken)
    updating = hosting.sagemaker.describe_endpoint(EndpointName=name)
    description = hosting.at_rest(name)

    assert updating["EndpointStatus"] == "Updating"
    assert updating["PendingDeploymentSummary"]["EndpointConfigName"] == broken
    assert (description["EndpointStatus"], description["EndpointConfigName"]) == ("InService", old)
    assert "ImportError: broken on purpose" in description["FailureReason"]
    assert "PendingDeploymentSummary" not in description
    assert hosting.invoke(name)["name"] == "old"
    assert hosting.processes() == processes
    hosting.delete(name)


def test_update_keeps_instance_counts_and_weights_only_when_asked(hosting: Hosting) -> None:
    model = hosting.model(named("counted"))
    name = hosting.endpoint(hosting.config(model))
    hosting.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name,
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 2, "DesiredWeight": 0.5}],
    )
    [grown] = hosting.at_rest(name)["ProductionVariants"]

    hosting.sagemaker.update_endpoint(
        EndpointName=name, EndpointConfigName=hosting.config(model), RetainAllVariantProperties=True
    )
    [retained] = hosting.at_rest(name)["ProductionVariants"]
    hosting.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=hosting.config(model))
    [reset] = hosting.at_rest(name)["ProductionVariants"]
    hosting.delete(name)

    keys = ("CurrentInstanceCount", "DesiredInstanceCount", "CurrentWeight", "DesiredWeight")
    assert [grown[key] for key in keys] == [2, 2, 0.5, 0.5]
    assert [retained[key] for key in keys] == [2, 2, 0.5, 0.5]
    assert [reset[key] for key in keys] == [1, 1, 1.0, 1.0]


def test_update_may_retain_all_but_the_weights(hosting: Hosting) -> None:
    model = hosting.model(named("counted"))
    name = hosting.endpoint(hosting.config(model, model))
    hosting.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name,
        DesiredWeightsAndCapacities=[
            {"VariantName": "v0", "DesiredInstanceCount": 2, "DesiredWeight": 0.5},
            {"VariantName": "v1", "DesiredWeight": 3.0},
        ],
    )
    hosting.at_rest(name)

    config = hosting.config(model, model)
    only_weights = [{"VariantPropertyType": "DesiredWeight"}]
    alone = refusal(
        hosting.sagemaker.update_endpoint,
        EndpointName=name,
        EndpointConfigName=config,
        ExcludeRetainedVariantProperties=only_weights,
    )
    hosting.sagemaker.update_endpoint(
        EndpointName=name,
        EndpointConfigName=config,
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=only_weights,
    )
    variants = hosting.at_rest(name)["ProductionVariants"]
    hosting.delete(name)

    assert alone[0] == "ValidationException"
    assert [(one["CurrentInstanceCount"], one["CurrentWeight"]) for one in variants] == [(2, 1.0), (1, 1.0)]


def test_capacity_is_processes(hosting: Hosting) -> None:
    before = hosting.processes()
    name = hosting.endpoint(hosting.config(hosting.model(named("many")), count=2))
    assert len(hosting.processes() - before) == 2

    hosting.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 1}]
    )
    hosting.at_rest(name)
    assert len(hosting.processes() - before) == 1

    hosting.delete(name)
    assert hosting.processes() == before


def test_refuses_more_instances_than_a_machine_holds(hosting: Hosting) -> None:
    config = hosting.config(hosting.model(named("crowd")), count=1000)

    code, _ = refusal(hosting.sagemaker.create_endpoint, EndpointName=unique("crowd"), EndpointConfigName=config)

    assert code == "ResourceLimitExceeded"


def test_refuses_a_change_while_another_is_under_way(hosting: Hosting) -> None:
    slow = hosting.config(hosting.model("import time\ntime.sleep(5)\n" + named("slow")))
    name = unique("endpoint")
    hosting.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=slow)

    for call, members in (
        (hosting.sagemaker.update_endpoint, {"EndpointConfigName": slow}),
        (hosting.sagemaker.delete_endpoint, {}),
    ):
        code, message = refusal(call, EndpointName=name, **members)
        assert code == "ValidationException"
        assert message.startswith("Cannot update in-progress endpoint")
    assert hosting.at_rest(name)["EndpointStatus"] == "InService"
    hosting.delete(name)


def test_restarts_an_instance_that_dies(hosting: Hosting) -> None:
    name = hosting.endpoint(hosting.config(hosting.model(named("mortal"))))
    first = hosting.invoke(name)["pid"]

    code, message = refusal(lambda: hosting.invoke(name, {"exit": 3}))

    assert code == "ModelError"
    assert "Received server error (500) from primary" in message
    assert hosting.invoke(name)["pid"] != first  # the client tries a 503 again by itself
    hosting.delete(name)


def test_delete_leaves_no_process_and_no_file(hosting: Hosting) -> None:
    before = hosting.processes()
    name = hosting.endpoint(hosting.config(hosting.model(named("brief"))))

    hosting.delete(name)

    assert hosting.processes() == before
    assert not (hosting.aws.home / "endpoints" / name).exists()
    assert refusal(hosting.sagemaker.describe_endpoint, EndpointName=name)[0] == "ValidationException"
