import pytest
from rich.console import Console

from kennel.local.models import table
from kennel.registry import Package


def package(version: int, status: str, compute: str, **metadata: str) -> Package:
    known = {
        "run": f"dogs-20261101t030000-00000{version}",
        "compute": compute,
        "cutoff": "2026-11-01T03:00:00+00:00",
        "top1": "0.9167",
        "top5": "1.0000",
        "billable_seconds": "1234",
        "usd": "0.0789",
    }
    return Package(f"arn:x/dogs/{version}", status, "image", "s3://b/model.tar.gz", {**known, **metadata})


@pytest.fixture
def console() -> Console:
    return Console(width=80)


def test_models_of_both_kinds_stand_beside_one_another_and_one_is_in_service(console: Console) -> None:
    models = [package(2, "PendingManualApproval", "ec2"), package(1, "Approved", "sagemaker", usd="0.5")]
    with console.capture() as captured:
        console.print(table(models, serving=models[1]))
    assert [line.split() for line in captured.get().splitlines()[1:]] == [
        ["2", "pending", "ec2", models[0].run, "2026-11-01", "91.7%", "0.08"],
        ["●", "1", "approved", "sagemaker", models[1].run, "2026-11-01", "91.7%", "0.50"],
    ]


def test_nothing_need_be_in_service(console: Console) -> None:
    with console.capture() as captured:
        console.print(table([package(1, "Rejected", "ec2")], serving=None))
    assert "●" not in captured.get()
