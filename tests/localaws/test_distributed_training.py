"""The real ml/train.py as a training job on two hosts: one model, that of one host."""

import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.clients.artifacts import files
from tests.conftest import REPOSITORY, LocalAws, start_local_aws, stop_local_aws
from tests.localaws.jobs import Workbench
from tests.vectors import write_vectors

GROUP = "/aws/sagemaker/TrainingJobs"
EPOCH = re.compile(r"epoch=(\d+) train_loss=([\d.]+) valid_loss=([\d.]+) valid_accuracy=([\d.]+)")
TORCHRUN = {"sagemaker_torch_distributed_enabled": "true", "sagemaker_instance_type": "ml.m5.large"}
TOGETHER = """
import os, torch, torch.distributed
torch.distributed.init_process_group("gloo")
total = torch.tensor(float(os.environ["RANK"]) + 1)
torch.distributed.all_reduce(total)
torch.distributed.destroy_process_group()
print("the sum is", total.item())
"""


@pytest.fixture(scope="module")
def bench(local_aws: LocalAws) -> Workbench:
    return Workbench(local_aws)


@pytest.fixture(scope="module")
def embeddings(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Vectors of two classes in the bucket, as embed.py writes them: 50 rows to train with."""
    folder = tmp_path_factory.mktemp("embeddings")
    noise = np.random.default_rng(0)
    centres = noise.normal(0, 1, (2, 1280))
    for split, photos, views in (("train", 25, 2), ("valid", 8, 1), ("test", 2, 1)):
        labels = np.arange(photos) % 2
        features = centres[labels][:, None] + noise.normal(0, 4, (photos, views, 1280))
        write_vectors(folder, split, [("Beagle", "Pug")[label] for label in labels], features)
        bench.put(f"embeddings/{split}/algo-1.npz", (folder / split / "algo-1.npz").read_bytes())
    return bench.uri("embeddings/")


def train(bench: Workbench, instances: int, *channels: dict[str, Any]) -> dict[str, Any]:
    """Run ml/train.py to its end; returns the job's description."""
    code = {path.name: path.read_text() for path in (REPOSITORY / "ml").glob("*.py")}
    source = bench.source(code.pop("train.py"), **code)
    options = {"backbone": "efficientnet_lite0", "epochs": "3", "batch_size": "15", "seed": "1"}
    request = bench.training_request(
        source | options | (TORCHRUN if instances > 1 else {}),
        InputDataConfig=list(channels),
        ResourceConfig={"InstanceCount": instances, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 240},
    )
    bench.sagemaker.create_training_job(**request)
    return bench.finished("TrainingJob", request["TrainingJobName"], seconds=240)


@pytest.fixture(scope="module")
def jobs(bench: Workbench, embeddings: str) -> dict[int, dict[str, Any]]:
    """The same training by one instance and by two, at the same time."""
    channel = bench.channel("embeddings", embeddings)
    with ThreadPoolExecutor() as pool:
        done = dict(zip((1, 2), pool.map(lambda count: train(bench, count, channel), (1, 2)), strict=True))
    for job in done.values():
        assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
    return done


def test_two_hosts_train_the_model_of_one(local_aws: LocalAws, jobs: dict[int, dict[str, Any]]) -> None:
    models = {count: files(local_aws, job["ModelArtifacts"]["S3ModelArtifacts"]) for count, job in jobs.items()}
    assert sorted(models[2]) == ["classes.json", "head.pth", "model.json"]
    heads = {count: torch.load(io.BytesIO(model["head.pth"]), weights_only=True) for count, model in models.items()}
    torch.testing.assert_close(heads[2], heads[1], rtol=1e-4, atol=1e-6)


def test_both_hosts_take_part_and_one_of_them_reports(bench: Workbench, jobs: dict[int, dict[str, Any]]) -> None:
    name = jobs[2]["TrainingJobName"]
    said = {host: "\n".join(bench.lines(GROUP, name, host)) for host in ("algo-1", "algo-2")}
    assert "process 0 of 2 took 27 of 50 rows" in said["algo-1"]
    assert "process 1 of 2 took 23 of 50 rows" in said["algo-2"]
    alone = EPOCH.findall("\n".join(bench.lines(GROUP, jobs[1]["TrainingJobName"])))
    epochs = EPOCH.findall(said["algo-1"])
    assert len(epochs) == 5  # the start, an epoch each, and that of the model kept
    np.testing.assert_allclose(np.array(epochs, float), np.array(alone, float), atol=1.01e-4)
    assert not EPOCH.search(said["algo-2"])


def test_the_job_fails_with_the_reason_of_the_host_that_failed(bench: Workbench, embeddings: str) -> None:
    """The first host alone saves, so it alone misses the weights."""
    weights = bench.channel("weights", bench.put("no weights/README", "none"))
    job = train(bench, 2, bench.channel("embeddings", embeddings), weights)
    assert job["TrainingJobStatus"] == "Failed"
    assert "efficientnet_lite0.pth is missing: the weights channel must hold" in job["FailureReason"]


def test_hosts_do_not_wait_for_one_that_failed(bench: Workbench, embeddings: str) -> None:
    """Sharded by key, no host gets the vectors of all splits."""
    channel = bench.channel("embeddings", embeddings)
    channel["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    job = train(bench, 2, channel)
    assert job["TrainingJobStatus"] == "Failed"
    assert re.search(r"(train|valid|test) has no vectors: the embeddings channel must hold", job["FailureReason"])


def test_torchrun_works_without_namespaces_too(tmp_path: Path) -> None:
    local = start_local_aws(tmp_path / "home", PATH="/nowhere")
    try:
        bench = Workbench(local)
        request = bench.training_request(
            bench.source(TOGETHER) | TORCHRUN,
            ResourceConfig={"InstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
        )
        bench.sagemaker.create_training_job(**request)
        job = bench.finished("TrainingJob", request["TrainingJobName"])
        assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
        assert "the sum is 3.0" in bench.lines(GROUP, job["TrainingJobName"], "algo-2")
    finally:
        stop_local_aws(local)
