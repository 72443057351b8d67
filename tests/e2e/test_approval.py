"""A model that a person decides about, by Airflow's own approval."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

RUN = "/dags/retrain/dagRuns/asked"


def eventually(found: Callable[[], Any], seconds: float = 240) -> Any:
    """What is found, once it is."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return result


def states(api: httpx.Client) -> dict[str, str]:
    return {task["task_id"]: task["state"] for task in api.get(f"{RUN}/taskInstances").json()["task_instances"]}


@pytest.fixture
def question(api: httpx.Client) -> dict[str, Any]:
    """What a person is asked about a model that is as good as the one in service."""
    conf = {"force": True, "max_jobs": 1, "max_parallel_jobs": 1, "approval": "ask"}
    created = api.post("/dags/retrain/dagRuns", json={"dag_run_id": "asked", "logical_date": None, "conf": conf})
    assert created.is_success, created.text
    eventually(lambda: states(api)["ask"] == "awaiting_input")
    open_questions = api.get("/dags/~/dagRuns/~/hitlDetails", params={"response_received": False}).json()
    (asked,) = open_questions["hitl_details"]
    return dict(asked)


def test_a_person_sees_the_comparison_and_a_rejected_model_is_marked_so(
    api: httpx.Client, demo: dict[str, Any], question: dict[str, Any], sagemaker: Any
) -> None:
    champion = sagemaker.describe_model_package(ModelPackageName=demo["model"]["package_arn"])
    body = question["body"]
    assert question["options"] == ["Approve", "Reject"]
    assert f"by the champion {champion['CustomerMetadataProperties']['run']}" in body
    assert "McNemar" in body
    assert "| embed | ml.c5.2xlarge | 0 | 0.0000 |" in body  # the demo's run has paid for it

    # Airflow 3.3 fails a task that is answered within the scheduler loop that parked it
    answer = {"chosen_options": ["Reject"], "params_input": {}}
    time.sleep(10)
    assert api.patch(f"{RUN}/taskInstances/ask/-1/hitlDetails", json=answer).is_success
    assert eventually(lambda: (state := api.get(RUN).json()["state"]) in ("success", "failed") and state) == "success"
    assert states(api)["promote"] == "skipped"

    arn = api.get(f"{RUN}/taskInstances/register/xcomEntries/return_value").json()["value"]
    rejected = sagemaker.describe_model_package(ModelPackageName=arn)
    assert rejected["ModelApprovalStatus"] == "Rejected"
    assert rejected["ApprovalDescription"] == "admin chose Reject in Airflow"
