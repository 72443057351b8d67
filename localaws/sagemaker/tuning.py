"""Hyperparameter tuning jobs. Their search and their training jobs are in localaws.jobs.tuning."""

from collections.abc import Iterator
from typing import Any

from localaws.cloud import Cloud, Handler, Request, Response, now
from localaws.errors import AwsError
from localaws.jobs import live
from localaws.jobs import training as training_jobs
from localaws.jobs.live import FINAL
from localaws.jobs.tuning import KIND, TITLE, TuningJob, children, objective_value, training_definition
from localaws.sagemaker import jobs, tags, training
from localaws.store import Document

NOT_DESCRIBED = ("TrainingJobNames",)
CHILD = (
    "TrainingJobName",
    "TrainingJobArn",
    "CreationTime",
    "TrainingStartTime",
    "TrainingEndTime",
    "TrainingJobStatus",
    "FailureReason",
    "TunedHyperParameters",
)
CHILD_SUMMARY = (*CHILD, "FinalHyperParameterTuningJobObjectiveMetric", "ObjectiveStatus")
SUMMARY = (
    "HyperParameterTuningJobName",
    "HyperParameterTuningJobArn",
    "HyperParameterTuningJobStatus",
    "Strategy",
    "CreationTime",
    "LastModifiedTime",
    "HyperParameterTuningEndTime",
    "TrainingJobStatusCounters",
    "ObjectiveStatusCounters",
    "ResourceLimits",
)


def find(cloud: Cloud, name: str) -> Document:
    """A job's record. ResourceNotFound when there is none."""
    document = cloud.store.get(KIND, name)
    if document is None:
        arn = cloud.arn("sagemaker", f"hyper-parameter-tuning-job/{name}")
        raise AwsError("ResourceNotFound", f"Amazon SageMaker can't find a tuning job with the name {arn}.")
    return document


def create_hyper_parameter_tuning_job(cloud: Cloud, request: Request) -> Response:
    """CreateHyperParameterTuningJob."""
    for problem in _problems(cloud, request):
        raise AwsError("ValidationException", problem)
    training.check(training_definition(request))
    name, moment = request["HyperParameterTuningJobName"], now()
    arn = cloud.arn("sagemaker", f"hyper-parameter-tuning-job/{name}")
    credentials = jobs.role_credentials(cloud, request["TrainingJobDefinition"]["RoleArn"], name)
    config = request["HyperParameterTuningJobConfig"]
    limits = {"MaxNumberOfTrainingJobs": _combinations(config), **config["ResourceLimits"]}
    document = {key: value for key, value in request.items() if key != "Tags"}
    document |= {
        "HyperParameterTuningJobConfig": {**config, "ResourceLimits": limits},
        "HyperParameterTuningJobArn": arn,
        "HyperParameterTuningJobStatus": "InProgress",
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "TrainingJobNames": [],
    }
    if not cloud.store.add(KIND, name, document):
        raise jobs.taken(arn)
    tags.replace(cloud, arn, request.get("Tags", ()))
    live.start(cloud, KIND, name, TuningJob(cloud, name, credentials))
    return {"HyperParameterTuningJobArn": arn}


def describe_hyper_parameter_tuning_job(cloud: Cloud, request: Request) -> Response:
    """DescribeHyperParameterTuningJob."""
    document = find(cloud, request["HyperParameterTuningJobName"])
    summaries = _summaries(cloud, document)
    described = {key: value for key, value in document.items() if key not in NOT_DESCRIBED}
    return {**described, **_counters(summaries), **_best(document, summaries)}


def stop_hyper_parameter_tuning_job(cloud: Cloud, request: Request) -> Response:
    """StopHyperParameterTuningJob: no more training jobs, and those that run are stopped."""
    name = find(cloud, request["HyperParameterTuningJobName"])["HyperParameterTuningJobName"]
    jobs.stop(cloud, KIND, TITLE, name)
    document = find(cloud, name)
    for child in document["TrainingJobNames"]:
        training_jobs.stop(cloud, child)
    return {}


def list_hyper_parameter_tuning_jobs(cloud: Cloud, request: Request) -> Response:
    """ListHyperParameterTuningJobs."""
    documents = [
        {
            **document,
            **_counters(_summaries(cloud, document)),
            "Strategy": document["HyperParameterTuningJobConfig"]["Strategy"],
            "ResourceLimits": document["HyperParameterTuningJobConfig"]["ResourceLimits"],
        }
        for document in cloud.store.all(KIND)
    ]
    return jobs.jobs_listing(
        documents,
        {"SortBy": "Name", **request},
        into="HyperParameterTuningJobSummaries",
        title=TITLE,
        members=SUMMARY,
    )


def list_training_jobs_for_tuning_job(cloud: Cloud, request: Request) -> Response:
    """ListTrainingJobsForHyperParameterTuningJob."""
    summaries = _summaries(cloud, find(cloud, request["HyperParameterTuningJobName"]))
    if request.get("SortBy") == "FinalObjectiveMetricValue":
        summaries = sorted((summary for summary in summaries if _value(summary) is not None), key=_sort_value)
    return jobs.jobs_listing(
        summaries,
        {"SortBy": "Name", **request},
        into="TrainingJobSummaries",
        title=training_jobs.TITLE,
        members=CHILD_SUMMARY,
    )


def recover(cloud: Cloud) -> None:
    """Fail the jobs that an earlier server left unfinished."""
    jobs.recover(cloud, KIND, TITLE)


def shutdown(cloud: Cloud) -> None:
    """Kill every job, its training jobs first: it waits for them."""
    training.shutdown(cloud)
    live.shutdown(cloud, KIND)


def _problems(cloud: Cloud, request: Request) -> Iterator[str]:
    config = request["HyperParameterTuningJobConfig"]
    definition = request.get("TrainingJobDefinition")
    if definition is None:
        yield "The local AWS needs one TrainingJobDefinition; it has no TrainingJobDefinitions."
        return
    if "HyperParameterTuningJobObjective" not in config:
        yield "HyperParameterTuningJobConfig must have a HyperParameterTuningJobObjective."
        return
    metric = config["HyperParameterTuningJobObjective"]["MetricName"]
    if metric not in [entry["Name"] for entry in definition["AlgorithmSpecification"].get("MetricDefinitions", ())]:
        yield (
            "A metric is required for this hyperparameter tuning job objective. "
            f"Provide a metric named {metric} in the metric definitions."
        )
    if request.get("Autotune", {}).get("Mode") == "Enabled":
        yield "The local AWS has no Autotune."
    if set(config.get("TuningJobCompletionCriteria", {})) - {"TargetObjectiveMetricValue"}:
        yield "The local AWS knows only TargetObjectiveMetricValue of TuningJobCompletionCriteria."
    if "MaxRuntimeInSeconds" in config["ResourceLimits"]:
        yield "The local AWS has no ResourceLimits.MaxRuntimeInSeconds; give training jobs a StoppingCondition."
    yield from _range_problems(config, definition.get("StaticHyperParameters", {}))
    for parent in request.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", ()):
        if cloud.store.get(KIND, parent["HyperParameterTuningJobName"]) is None:
            yield f"The parent tuning job {parent['HyperParameterTuningJobName']} does not exist."


def _range_problems(config: dict[str, Any], static: dict[str, str]) -> Iterator[str]:
    kinds = {kind: config.get("ParameterRanges", {}).get(f"{kind}ParameterRanges", ()) for kind in _KINDS}
    specs = [spec for of_kind in kinds.values() for spec in of_kind]
    names = [spec["Name"] for spec in specs]
    if not specs:
        yield "ParameterRanges must hold at least one range."
    if twice := {name for name in names if names.count(name) > 1 or name in static}:
        yield f"Hyperparameters must be given once, as a range or as static: {', '.join(sorted(twice))}."
    for kind in ("Continuous", "Integer"):
        for spec in kinds[kind]:
            yield from _number_problems(spec, float if kind == "Continuous" else int)
    if config["Strategy"] == "Grid":
        if kinds["Continuous"] or kinds["Integer"]:
            yield "The strategy Grid takes only CategoricalParameterRanges."
        elif config["ResourceLimits"].get("MaxNumberOfTrainingJobs", count := _combinations(config)) != count:
            yield f"With the strategy Grid MaxNumberOfTrainingJobs is the number of combinations, {count}."
    elif "MaxNumberOfTrainingJobs" not in config["ResourceLimits"]:
        yield "ResourceLimits must have MaxNumberOfTrainingJobs."


def _number_problems(spec: dict[str, str], number: type[float] | type[int]) -> Iterator[str]:
    name, scaling = spec["Name"], spec.get("ScalingType", "Auto")
    try:
        low, high = number(spec["MinValue"]), number(spec["MaxValue"])
    except ValueError:
        yield f"Range {name}: MinValue and MaxValue must be numbers, not {spec['MinValue']} and {spec['MaxValue']}."
        return
    if low >= high:
        yield f"Range {name}: MinValue {low} must be less than MaxValue {high}."
    if scaling == "Logarithmic" and low <= 0:
        yield f"Range {name}: ScalingType Logarithmic needs a MinValue greater than 0."
    if scaling == "ReverseLogarithmic" and (number is int or not 0 <= low < high < 1):
        yield f"Range {name}: ScalingType ReverseLogarithmic needs a continuous range within 0 <= x < 1."


_KINDS = ("Continuous", "Integer", "Categorical")


def _combinations(config: dict[str, Any]) -> int:
    count = 1
    for spec in config.get("ParameterRanges", {}).get("CategoricalParameterRanges", ()):
        count *= len(spec["Values"])
    return count


def _summaries(cloud: Cloud, document: Document) -> list[dict[str, Any]]:
    """Its training jobs as HyperParameterTrainingJobSummary."""
    return [_summary(document, child) for child in children(cloud, document)]


def _summary(document: Document, child: Document) -> dict[str, Any]:
    summary = {key: child[key] for key in CHILD if key in child}
    value = objective_value(document, child)
    if child["TrainingJobStatus"] not in FINAL:
        summary["ObjectiveStatus"] = "Pending"
    else:
        summary["ObjectiveStatus"] = "Failed" if value is None else "Succeeded"
    if value is not None:
        objective = document["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
        summary["FinalHyperParameterTuningJobObjectiveMetric"] = {**objective, "Value": value}
    return summary


def _counters(summaries: list[dict[str, Any]]) -> dict[str, Any]:
    statuses = [summary["TrainingJobStatus"] for summary in summaries]
    objectives = [summary["ObjectiveStatus"] for summary in summaries]
    return {
        "TrainingJobStatusCounters": {
            "Completed": statuses.count("Completed"),
            "InProgress": len(statuses) - sum(statuses.count(status) for status in FINAL),
            "RetryableError": 0,
            "NonRetryableError": statuses.count("Failed"),
            "Stopped": statuses.count("Stopped"),
        },
        "ObjectiveStatusCounters": {status: objectives.count(status) for status in ("Succeeded", "Pending", "Failed")},
    }


def _best(document: Document, summaries: list[dict[str, Any]]) -> dict[str, Any]:
    maximize = document["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"] == "Maximize"
    scored = [summary for summary in summaries if _value(summary) is not None]
    if not scored:
        return {}
    return {"BestTrainingJob": max(scored, key=_sort_value) if maximize else min(scored, key=_sort_value)}


def _value(summary: dict[str, Any]) -> float | None:
    metric = summary.get("FinalHyperParameterTuningJobObjectiveMetric")
    return metric["Value"] if metric else None


def _sort_value(summary: dict[str, Any]) -> float:
    return _value(summary) or 0.0


OPERATIONS: dict[str, Handler] = {
    "CreateHyperParameterTuningJob": create_hyper_parameter_tuning_job,
    "DescribeHyperParameterTuningJob": describe_hyper_parameter_tuning_job,
    "StopHyperParameterTuningJob": stop_hyper_parameter_tuning_job,
    "ListHyperParameterTuningJobs": list_hyper_parameter_tuning_jobs,
    "ListTrainingJobsForHyperParameterTuningJob": list_training_jobs_for_tuning_job,
}
SIMPLIFIED = {
    "CreateHyperParameterTuningJob": (
        "One TrainingJobDefinition with one objective; no Autotune, no ResourceLimits.MaxRuntimeInSeconds, and of the "
        "TuningJobCompletionCriteria only TargetObjectiveMetricValue. Optuna's samplers search in place of SageMaker's."
    ),
}
