"""Every request body passes the constraint check that the local AWS applies to what it serves."""

from typing import Any

import pytest

from kennel.config import Classifier, Range
from kennel.specs import jobs
from localaws.validation import validate

DATA = jobs.Data(run="dogs-20261122t030000-3fa9c1", version="0123456789ab", code="c" * 64)
MODEL = "s3://kennel-dogs-123456789012-us-east-1/runs/dogs/x/training/y/output/model.tar.gz"


def tuning(dogs: Classifier) -> dict[str, Any]:
    return jobs.tuning_job(dogs, DATA, max_jobs=8, max_parallel_jobs=2, instance_type="ml.m5.xlarge")


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("CreateProcessingJob", lambda dogs: jobs.embed_job(dogs, DATA)),
        ("CreateProcessingJob", lambda dogs: jobs.evaluate_job(dogs, DATA, MODEL, None)),
        ("CreateProcessingJob", lambda dogs: jobs.evaluate_job(dogs, DATA, MODEL, MODEL)),
        ("CreateHyperParameterTuningJob", tuning),
        ("CreateTrainingJob", lambda dogs: jobs.training_job(dogs, DATA, {"batch_size": "32"}, "ml.m5.xlarge")),
    ],
    ids=["embed", "evaluate", "evaluate beside a champion", "tune", "train"],
)
def test_the_body_passes_sagemakers_constraints(dogs: Classifier, operation: str, body: Any) -> None:
    assert validate("sagemaker", operation, body(dogs)) == []


def test_the_check_sees_a_wrong_name(dogs: Classifier) -> None:
    assert validate("sagemaker", "CreateProcessingJob", {**jobs.embed_job(dogs, DATA), "ProcessingJobName": "a_b"})


def test_what_is_tuned_is_not_given_as_static_too(dogs: Classifier) -> None:
    body = tuning(dogs)
    ranges = body["HyperParameterTuningJobConfig"]["ParameterRanges"]
    tuned = {entry["Name"] for entries in ranges.values() for entry in entries}
    assert {"learning_rate", "batch_size"} <= tuned
    assert not tuned & body["TrainingJobDefinition"]["StaticHyperParameters"].keys()


def test_other_code_or_arguments_make_other_vectors(dogs: Classifier) -> None:
    other_code = jobs.Data(DATA.run, DATA.version, "d" * 64)
    more_views = dogs.model_copy(update={"embed": dogs.embed.model_copy(update={"views": 8})})
    bodies = [jobs.embed_job(dogs, DATA), jobs.embed_job(dogs, other_code), jobs.embed_job(more_views, DATA)]
    assert len({body["ProcessingJobName"] for body in bodies}) == 3
    assert len({body["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"] for body in bodies}) == 3


def test_several_instances_make_the_same_vectors_of_their_shares_of_the_photos(dogs: Classifier) -> None:
    alone = jobs.embed_job(dogs, DATA)
    several = dogs.model_copy(update={"embed": dogs.embed.model_copy(update={"instance_count": 3})})
    body = jobs.embed_job(several, DATA)
    assert validate("sagemaker", "CreateProcessingJob", body) == []
    cluster = body.pop("ProcessingResources")["ClusterConfig"]
    assert cluster == {**alone.pop("ProcessingResources")["ClusterConfig"], "InstanceCount": 3}
    assert body == alone
    sharded = {
        given["InputName"]
        for given in body["ProcessingInputs"]
        if given["S3Input"].get("S3DataDistributionType") == "ShardedByS3Key"
    }
    assert sharded == set(jobs.SPLITS)


def test_whole_bounds_make_an_integer_range(dogs: Classifier) -> None:
    ranges = {"epochs": Range(min=10, max=50), "dropout": Range(min=0.1, max=0.5)}
    tune = dogs.tune.model_copy(update={"ranges": ranges})
    body = tuning(dogs.model_copy(update={"tune": tune}))
    assert validate("sagemaker", "CreateHyperParameterTuningJob", body) == []
    found = body["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert [entry["Name"] for entry in found["IntegerParameterRanges"]] == ["epochs"]
    assert [entry["Name"] for entry in found["ContinuousParameterRanges"]] == ["dropout"]


def test_the_final_training_takes_the_best_trials_values_and_the_weights(dogs: Classifier) -> None:
    best = {"learning_rate": "0.01", "_tuning_objective_metric": "valid_loss"}
    body = jobs.training_job(dogs, DATA, best, "ml.m5.xlarge")
    assert body["HyperParameters"]["learning_rate"] == "0.01"
    assert "_tuning_objective_metric" not in body["HyperParameters"]
    assert [channel["ChannelName"] for channel in body["InputDataConfig"]] == ["embeddings", "weights"]


def test_several_instances_train_one_model_by_torchrun(dogs: Classifier) -> None:
    alone = jobs.training_job(dogs, DATA, {}, "ml.m5.xlarge")
    assert alone["ResourceConfig"]["InstanceCount"] == 1
    assert not any("distributed" in name for name in alone["HyperParameters"])
    several = dogs.model_copy(update={"train": dogs.train.model_copy(update={"instance_count": 3})})
    body = jobs.training_job(several, DATA, {}, "ml.m5.xlarge")
    assert validate("sagemaker", "CreateTrainingJob", body) == []
    assert body["ResourceConfig"]["InstanceCount"] == 3
    assert body["HyperParameters"]["sagemaker_torch_distributed_enabled"] == "true"
    trial = tuning(several)["TrainingJobDefinition"]
    assert trial["ResourceConfig"]["InstanceCount"] == 1
    assert not any("distributed" in name for name in trial["StaticHyperParameters"])


def test_a_trial_has_no_weights(dogs: Classifier) -> None:
    channels = tuning(dogs)["TrainingJobDefinition"]["InputDataConfig"]
    assert [channel["ChannelName"] for channel in channels] == ["embeddings"]


def fine_tuned(dogs: Classifier, **changed: object) -> Classifier:
    train = dogs.train.model_copy(update={"finetune_epochs": 10, **changed})
    return dogs.model_copy(update={"train": train})


def test_fine_tuning_gets_the_photos_and_a_place_for_checkpoints(dogs: Classifier) -> None:
    body = jobs.training_job(fine_tuned(dogs), DATA, {"batch_size": "32"}, "ml.g5.xlarge")
    assert validate("sagemaker", "CreateTrainingJob", body) == []
    sources = {
        channel["ChannelName"]: channel["DataSource"]["S3DataSource"]
        for channel in body["InputDataConfig"]
        if channel["ChannelName"] in ("train", "valid")
    }
    for split, source in sources.items():
        assert source["S3DataType"] == "ManifestFile"
        assert source["S3Uri"].endswith(f"/snapshots/dogs/{DATA.version}/{split}.manifest")
    assert len(sources) == 2
    assert body["HyperParameters"]["finetune_epochs"] == "10"
    assert body["HyperParameters"]["batch_size"] == "32"
    assert body["CheckpointConfig"]["LocalPath"] == "/opt/ml/checkpoints"
    assert f"/runs/dogs/{DATA.run}/checkpoints/" in body["CheckpointConfig"]["S3Uri"]


def test_a_checkpoint_of_other_hyperparameters_is_not_found(dogs: Classifier) -> None:
    jobs_made = [
        jobs.training_job(fine_tuned(dogs), DATA, {"batch_size": "32"}, "ml.g5.xlarge"),
        jobs.training_job(fine_tuned(dogs), DATA, {"batch_size": "32"}, "ml.g5.2xlarge"),
        jobs.training_job(fine_tuned(dogs), DATA, {"batch_size": "64"}, "ml.g5.xlarge"),
        jobs.training_job(fine_tuned(dogs, finetune_epochs=12), DATA, {"batch_size": "32"}, "ml.g5.xlarge"),
    ]
    places = [job["CheckpointConfig"]["S3Uri"] for job in jobs_made]
    assert places[0] == places[1]
    assert len(set(places)) == 3


def test_neither_trials_nor_a_training_that_does_not_fine_tune_get_photos(dogs: Classifier) -> None:
    trial, plain = tuning(fine_tuned(dogs))["TrainingJobDefinition"], jobs.training_job(dogs, DATA, {}, "ml.m5.xlarge")
    for body in (trial, plain):
        assert not {"train", "valid"} & {channel["ChannelName"] for channel in body["InputDataConfig"]}
        assert "CheckpointConfig" not in body
    assert not any("finetune" in name for name in [*trial["StaticHyperParameters"], *plain["HyperParameters"]])
