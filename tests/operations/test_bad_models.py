"""A model that does not load, is slow or is wrong: its deploy fails with the reason, what served before serves on."""

import datetime
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from kennel import registry
from kennel.registry import Package
from tests.operations.callers import Caller
from tests.operations.machine import Machine
from tests.operations.runs import RUN_SECONDS, Run, in_service
from tests.stores import eventually

# What is put at the end of the inference.py that serves, and what the run must say of it.
pytestmark = pytest.mark.timeout(1800)  # whole runs, on a machine that may be busy
FAULTS = {
    "raises on load": (
        "def model_fn(model_dir): raise RuntimeError('weights of another network')",
        "health check",
    ),
    "answers slowly": (
        "import time\nquick = predict_fn\ndef predict_fn(photo, model): time.sleep(3); return quick(photo, model)",
        "more than endpoint.max_latency_ms",
    ),
    "answers wrongly": (
        "right = predict_fn\n"
        "def predict_fn(photo, model):\n"
        "    answer = right(photo, model)\n"
        "    return {**answer, 'labels': answer['labels'][1:] + answer['labels'][:1]}",
        "at its evaluation it said",
    ),
}


def spoiled(model: bytes, fault: str) -> bytes:
    """A model.tar.gz with code at the end of its inference.py."""
    body = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(model)) as old, tarfile.open(fileobj=body, mode="w:gz") as new:
        for member in filter(tarfile.TarInfo.isfile, old):
            file = old.extractfile(member)
            assert file
            content = file.read()
            if member.name.endswith("code/inference.py"):
                content += f"\n\n{fault}\n".encode()
                member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return body.getvalue()


def registered_as_newest(machine: Machine, good: Package, kind: str) -> Package:
    """An approved package, of photos known up to now, that is the good one but for its fault."""
    s3, sagemaker, names = machine.client("s3"), machine.client("sagemaker"), machine.aws.names
    served = s3.get_object(Bucket=names.bucket, Key=good.model_data.removeprefix(names.uri("")))["Body"].read()
    key = f"{names.run_key(good.run, 'training')}{kind.replace(' ', '-')}/output/model.tar.gz"
    s3.put_object(Bucket=names.bucket, Key=key, Body=spoiled(served, FAULTS[kind][0]))
    found = sagemaker.describe_model_package(ModelPackageName=good.arn)
    container = {"Image": good.image, "ModelDataUrl": names.uri(key)}
    cutoff = datetime.datetime.now(datetime.UTC).isoformat()
    made = sagemaker.create_model_package(
        ModelPackageGroupName=names.package_group,
        InferenceSpecification={**found["InferenceSpecification"], "Containers": [container]},
        ModelApprovalStatus="Approved",
        CustomerMetadataProperties={**good.metadata, "cutoff": cutoff},
    )
    return replace(good, arn=made["ModelPackageArn"], model_data=container["ModelDataUrl"])


@pytest.mark.parametrize("kind", FAULTS)
def test_a_bad_model_never_takes_traffic(machine: Machine, served: Package, photos: Path, kind: str) -> None:
    sagemaker, endpoint = machine.client("sagemaker"), machine.aws.names.endpoint
    good = in_service(machine)
    assert good
    before = sagemaker.describe_endpoint(EndpointName=endpoint)
    caller = Caller(machine, next(photos.rglob("*.jpg")))
    caller.ask()
    bad = registered_as_newest(machine, good, kind)
    with caller.calling():
        run = Run.started(machine, "deploy")
        eventually(lambda: run.state in ("success", "failed"), RUN_SECONDS, run.said)
    assert run.state == "failed", run.said()
    assert run.xcom("choose_model")["package_arn"] == bad.arn
    assert run.task("deploy_endpoint")["state"] == "upstream_failed"

    reason = FAULTS[kind][1]
    told = machine.api.log("deploy", run.run_id, "roll_back", run.task("roll_back")["try_number"], errors=True)
    assert any(reason in line and "has served on" in line for line in told), run.said()
    rejected = sagemaker.describe_model_package(ModelPackageName=bad.arn)
    assert rejected["ModelApprovalStatus"] == "Rejected"
    assert reason in rejected["ApprovalDescription"]

    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=endpoint)  # it may be scaling for the caller
    after = sagemaker.describe_endpoint(EndpointName=endpoint)
    assert after["EndpointConfigName"] == before["EndpointConfigName"]
    assert caller.failures == []
    assert caller.answers > 1
    assert len(caller.labels) == 1  # as before the run
    left = registry.described(sagemaker.describe_endpoint, EndpointName=machine.aws.names.rehearsal)
    assert left.get("EndpointStatus") in (None, "Deleting")
