"""Request bodies of CreateProcessingJob, CreateHyperParameterTuningJob and CreateTrainingJob."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from kennel import names
from kennel.config import Classifier, Embed, Instance, Range
from kennel.names import Names
from kennel.specs import tags

Body = dict[str, Any]

INPUT = "/opt/ml/processing/input"
SPLITS = ("train", "valid", "test")
TRAINED_ON = ("train", "valid")  # what fine-tuning reads photos of
# What train.py prints once an epoch; the tuner reads its objective with these.
METRICS = ("train_loss", "valid_loss", "valid_accuracy")


@dataclass(frozen=True)
class Data:
    """What a run works on: its name, its snapshot's version and the digest of the published `ml/`."""

    run: str
    version: str
    code: str


def embed_job(classifier: Classifier, data: Data) -> Body:
    """The processing job that turns a snapshot's photos into vectors, once for every run over them.

    The photos are sharded over its instances, however many: a job of another number of them made the same vectors.
    """
    at, embed = Names.of(classifier), classifier.embed
    return _processing_job(
        classifier,
        embed,
        name=at.embed_job(data.version, _recipe(classifier, data)),
        script="embed.py",
        arguments=_embed_arguments(embed),
        inputs=[
            _input("code", at.uri(names.code(data.code) + "src/")),
            _input("weights", at.uri(names.weights(embed.backbone))),
            *(_photos(classifier, data, split) for split in SPLITS),
        ],
        output=_embeddings(classifier, data),
        instances=embed.instance_count,
    )


def _embed_arguments(embed: Embed) -> list[str]:
    return [
        *("--backbone", embed.backbone),
        *("--views", str(embed.views)),
        *("--max_unreadable_share", str(embed.max_unreadable_share)),
        *("--seed", str(embed.seed)),
    ]


def _recipe(classifier: Classifier, data: Data) -> str:
    """A digest of all that the vectors are made by, besides the photos: other code or arguments make others."""
    parts = [data.code, classifier.images.training, *_embed_arguments(classifier.embed)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def evaluate_job(classifier: Classifier, data: Data, model_data: str, champion_data: str | None) -> Body:
    """The processing job that asks the trained model about every test photo, through its own inference.py.

    The champion, if there is one, is asked about the same photos.
    """
    at = Names.of(classifier)
    champion = [_input("champion", champion_data)] if champion_data else []
    return _processing_job(
        classifier,
        classifier.evaluate,
        name=names.fit(f"{data.run}-evaluate"),
        script="evaluate.py",
        arguments=[],
        inputs=[
            _input("code", at.uri(names.code(data.code) + "src/")),
            _input("model", model_data),
            *champion,
            _photos(classifier, data, "test"),
        ],
        output=at.uri(at.run_key(data.run, "evaluation")),
    )


def tuning_job(classifier: Classifier, data: Data, max_jobs: int, max_parallel_jobs: int, instance_type: str) -> Body:
    """The tuning job: each trial trains a head on the vectors and is judged by the objective at its last epoch."""
    tune = classifier.tune
    definition = _training(
        classifier, data, instance_type, part="tuning", channels=[_channel("embeddings", _embeddings(classifier, data))]
    )
    hyperparameters = {
        name: value for name, value in definition.pop("HyperParameters").items() if name not in tune.ranges
    }
    return {
        "HyperParameterTuningJobName": names.fit(data.run, names.TUNING_JOB_LIMIT),
        "HyperParameterTuningJobConfig": {
            "Strategy": tune.strategy,
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": tune.objective},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": max_jobs, "MaxParallelTrainingJobs": max_parallel_jobs},
            "ParameterRanges": _ranges(tune.ranges),
            "RandomSeed": classifier.train.seed,
            "TrainingJobEarlyStoppingType": "Off",
        },
        "TrainingJobDefinition": {
            **definition,
            "StaticHyperParameters": hyperparameters,
            "StoppingCondition": {"MaxRuntimeInSeconds": tune.max_runtime_minutes * 60},
        },
        "Tags": tags(classifier),
    }


def training_job(classifier: Classifier, data: Data, best: dict[str, str], instance_type: str) -> Body:
    """The final training with the tuner's best hyperparameters; its artifact serves by itself.

    On several instances it is one training of one model: without the hyperparameters that make the container start
    train.py by torchrun, each instance would train a model of its own, for as long as one alone takes.
    """
    at, count = Names.of(classifier), classifier.train.instance_count
    weights = _channel("weights", at.uri(names.weights(classifier.embed.backbone)))
    body = _training(
        classifier,
        data,
        instance_type,
        part="training",
        channels=[_channel("embeddings", _embeddings(classifier, data)), weights],
    )
    tuned = {name: value for name, value in best.items() if not name.startswith("_")}
    torchrun = {"sagemaker_torch_distributed_enabled": "true", "sagemaker_instance_type": instance_type}
    job = {
        **body,
        "TrainingJobName": names.fit(f"{data.run}-train"),
        "ResourceConfig": {**body["ResourceConfig"], "InstanceCount": count},
        "HyperParameters": {**body["HyperParameters"], **tuned, **(torchrun if count > 1 else {})},
        "StoppingCondition": {"MaxRuntimeInSeconds": classifier.train.max_runtime_minutes * 60},
        "Tags": tags(classifier),
    }
    return _finetuning(classifier, data, job) if classifier.train.finetune_epochs else job


def _finetuning(classifier: Classifier, data: Data, job: Body) -> Body:
    """The final training that trains the backbone too: with the photos, and checkpoints that a next attempt takes up.

    Their prefix has a digest of what the model is made of: a checkpoint of something else is not found.
    """
    at, train = Names.of(classifier), classifier.train
    photos = [
        _channel(split, at.uri(f"{at.snapshot(data.version)}{split}.manifest"), "ManifestFile") for split in TRAINED_ON
    ]
    made_of = {
        "InputDataConfig": [*job["InputDataConfig"], *photos],
        "HyperParameters": {
            **job["HyperParameters"],
            "finetune_epochs": str(train.finetune_epochs),
            "finetune_learning_rate": str(train.finetune_learning_rate),
        },
    }
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:8]
    checkpoints = at.uri(f"{at.run_key(data.run, 'checkpoints')}{digest}/")
    return {**job, **made_of, "CheckpointConfig": {"S3Uri": checkpoints, "LocalPath": "/opt/ml/checkpoints"}}


def _training(classifier: Classifier, data: Data, instance_type: str, part: str, channels: list[Body]) -> Body:
    """What a trial's definition and the final training have in common."""
    at, train = Names.of(classifier), classifier.train
    return {
        "AlgorithmSpecification": {
            "TrainingImage": classifier.images.training,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": name, "Regex": rf"\b{name}=([0-9.eE+-]+)"} for name in METRICS],
        },
        "RoleArn": at.role_arn("sagemaker"),
        "InputDataConfig": channels,
        "OutputDataConfig": {"S3OutputPath": at.uri(at.run_key(data.run, part))},
        "ResourceConfig": {
            "InstanceType": instance_type,
            "InstanceCount": 1,
            "VolumeSizeInGB": train.volume_gb,
        },
        "HyperParameters": {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": at.uri(f"{names.code(data.code)}sourcedir.tar.gz"),
            "backbone": classifier.embed.backbone,
            "epochs": str(train.epochs),
            "dropout": str(train.dropout),
            "seed": str(train.seed),
        },
    }


def _embeddings(classifier: Classifier, data: Data) -> str:
    at = Names.of(classifier)
    return at.uri(at.embeddings(data.version, classifier.embed.backbone, _recipe(classifier, data)))


def _channel(name: str, uri: str, data_type: str = "S3Prefix") -> Body:
    source = {"S3DataType": data_type, "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def _ranges(ranges: dict[str, Range]) -> Body:
    """ParameterRanges: lists of values are categorical, whole bounds integers, all others continuous."""
    sorted_by_kind: Body = {
        "CategoricalParameterRanges": [],
        "IntegerParameterRanges": [],
        "ContinuousParameterRanges": [],
    }
    for name, choice in ranges.items():
        if choice.values:
            values = [str(value) for value in choice.values]
            sorted_by_kind["CategoricalParameterRanges"].append({"Name": name, "Values": values})
        else:
            kind = "Integer" if isinstance(choice.min, int) and isinstance(choice.max, int) else "Continuous"
            bounds = {"MinValue": f"{choice.min:g}", "MaxValue": f"{choice.max:g}"}
            sorted_by_kind[f"{kind}ParameterRanges"].append({"Name": name, **bounds, "ScalingType": choice.scaling})
    return {kind: entries for kind, entries in sorted_by_kind.items() if entries}


def _processing_job(
    classifier: Classifier,
    instance: Instance,
    *,
    name: str,
    script: str,
    arguments: list[str],
    inputs: list[Body],
    output: str,
    instances: int = 1,
) -> Body:
    body: Body = {
        "ProcessingJobName": name,
        "AppSpecification": {
            "ImageUri": classifier.images.training,
            "ContainerEntrypoint": ["python3", f"{INPUT}/code/{script}"],
        },
        "RoleArn": Names.of(classifier).role_arn("sagemaker"),
        "ProcessingInputs": inputs,
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "output",
                    "S3Output": {"S3Uri": output, "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob"},
                }
            ]
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": instances,
                "InstanceType": instance.instance_type,
                "VolumeSizeInGB": instance.volume_gb,
            }
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": instance.max_runtime_minutes * 60},
        "Tags": tags(classifier),
    }
    if arguments:
        body["AppSpecification"]["ContainerArguments"] = arguments
    return body


def _photos(classifier: Classifier, data: Data, split: str) -> Body:
    """A split's photos by its manifest: to each instance its share."""
    at = Names.of(classifier)
    given = _input(split, at.uri(f"{at.snapshot(data.version)}{split}.manifest"))
    given["S3Input"] |= {"S3DataType": "ManifestFile", "S3DataDistributionType": "ShardedByS3Key"}
    return given


def _input(name: str, uri: str) -> Body:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"{INPUT}/{name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        },
    }
