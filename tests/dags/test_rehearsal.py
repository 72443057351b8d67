"""A model is tried out on an endpoint of its own: what fails there never reaches the one in service."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from kennel.defaults import ModelAtFaultError
from kennel.operators.hosting import EndpointOperator
from kennel.operators.rehearsal import RehearsalOperator
from tests.dags.hosting import BROKEN, label, run, says

PHOTO = "photos/a.jpg"


def serve(endpoint: str, config: str) -> None:
    body = {"EndpointName": endpoint, "EndpointConfigName": config}
    run(lambda: EndpointOperator(task_id="deploy", check_interval=1, max_ingestion_time=120, config=body))


def rehearse(local_aws: Any, bucket: str, name: str, config: str) -> Any:
    """Rehearse a config for the endpoint `name`, with a photo that is a pug's."""
    local_aws.client("s3").put_object(Bucket=bucket, Key=PHOTO, Body=b"x")
    return run(
        lambda: RehearsalOperator(
            task_id="rehearse",
            check_interval=1,
            max_ingestion_time=120,
            config={"EndpointName": f"{name}-rehearsal", "EndpointConfigName": config},
            endpoint=name,
            endpoint_config=config,
            bucket=bucket,
            samples=[{"photo": PHOTO, "label": "pug"}],
            classes=2,
            max_latency_ms=1000,
        )
    )


def left_over(local_aws: Any, name: str) -> bool:
    """Whether the rehearsal's endpoint is there and not on its way out."""
    try:
        found = local_aws.client("sagemaker").describe_endpoint(EndpointName=f"{name}-rehearsal")
    except ClientError:
        return False
    return bool(found["EndpointStatus"] != "Deleting")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (BROKEN, "health check"),
        (says("pug", before="time.sleep(1.5)"), r"takes \d{4,} ms to answer, more than endpoint.max_latency_ms"),
        (says("boxer"), "calls photos/a.jpg boxer; at its evaluation it said pug"),
        (says("pug", before="raise ValueError('no such layer')"), "fails on photos/a.jpg.*no such layer"),
        (says("pug", before="return '{}'"), "are not scores and labels"),
        (says("pug", before='return \'{"scores": [[1.0]], "labels": ["pug"]}\''), "not a score for each of 2 classes"),
    ],
    ids=["does-not-load", "slow", "wrong", "raises", "no-scores", "another-number-of-classes"],
)
def test_a_bad_model_is_found_out_while_the_old_one_serves_on(
    local_aws: Any, config: Any, bucket: str, name: str, source: str, reason: str
) -> None:
    serve(name, config(name, says("pug")))
    before = local_aws.client("sagemaker").describe_endpoint(EndpointName=name)
    with pytest.raises(ModelAtFaultError, match=reason):
        rehearse(local_aws, bucket, name, config(f"{name}-b", source))
    after = local_aws.client("sagemaker").describe_endpoint(EndpointName=name)
    assert (after["LastModifiedTime"], label(local_aws, name)) == (before["LastModifiedTime"], "pug")
    assert not left_over(local_aws, name)


def test_a_good_model_passes_and_leaves_nothing_behind(local_aws: Any, config: Any, bucket: str, name: str) -> None:
    serve(name, config(name, says("boxer")))
    result = rehearse(local_aws, bucket, name, config(f"{name}-b", says("pug")))
    assert result["photos"] == 1
    assert not left_over(local_aws, name)


def test_takes_over_what_a_try_that_was_killed_has_left(local_aws: Any, config: Any, bucket: str, name: str) -> None:
    serve(name, config(name, says("boxer")))
    sagemaker = local_aws.client("sagemaker")
    left, wanted = config(f"{name}-a", says("boxer")), config(f"{name}-b", says("pug"))
    sagemaker.create_endpoint(EndpointName=f"{name}-rehearsal", EndpointConfigName=left)
    assert rehearse(local_aws, bucket, name, wanted)["photos"] == 1
    assert not left_over(local_aws, name)


def test_nothing_is_rehearsed_when_nothing_serves_or_the_config_does_already(
    local_aws: Any, config: Any, bucket: str, name: str
) -> None:
    first = config(name, BROKEN)
    assert rehearse(local_aws, bucket, name, first) is None
    served = config(f"{name}-b", says("boxer"))
    serve(name, served)
    assert rehearse(local_aws, bucket, name, served) is None
    assert not left_over(local_aws, name)
