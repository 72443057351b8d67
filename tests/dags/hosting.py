"""What the tests of endpoints share: tiny models that really serve, and operators run with their waits."""

import asyncio
import io
import json
import tarfile
from collections.abc import Callable
from typing import Any, cast

from airflow.sdk import Context
from airflow.sdk.exceptions import TaskDeferred

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
NO_CONTEXT = cast(Context, {})
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"},
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}
ALLOW = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:*", "logs:*", "cloudwatch:DescribeAlarms"], "Resource": "*"}],
}
# Answers any photo as the classifier would, with its one label first; {before} is what it does before that.
CLASSIFIER = """
import json, time

def model_fn(d):
    return json.dumps({{"scores": [[3.0, 1.0]], "labels": ["{label}", "other"]}})

def input_fn(b, c):
    return b

def predict_fn(d, m):
    {before}
    return m

def output_fn(p, a):
    return p
"""
BROKEN = "def model_fn(d): raise ValueError('weights of another network')\n"


def make_role(aws: Any) -> str:
    """The ARN of a role for endpoints and functions."""
    iam = aws.client("iam")
    role = iam.create_role(RoleName="operators", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    iam.put_role_policy(RoleName="operators", PolicyName="all", PolicyDocument=json.dumps(ALLOW))
    return str(role["Arn"])


def says(label: str, before: str = "pass") -> str:
    """The inference.py of a model that says this of each photo."""
    return CLASSIFIER.format(label=label, before=before)


def archive(source: str) -> bytes:
    """A model.tar.gz of an inference.py."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as tar:
        info = tarfile.TarInfo("code/inference.py")
        info.size = len(source)
        tar.addfile(info, io.BytesIO(source.encode()))
    return body.getvalue()


def run(operator: Callable[[], Any]) -> Any:
    """Run an operator as Airflow would: a new one for each time it resumes, its triggers awaited."""
    method, arguments = "execute", dict[str, Any]()
    while True:
        try:
            return getattr(operator(), method)(NO_CONTEXT, **arguments)
        except TaskDeferred as deferred:
            method = deferred.method_name
            arguments = {**(deferred.kwargs or {}), "event": asyncio.run(_first(deferred.trigger))}


async def _first(trigger: Any) -> Any:
    return (await anext(aiter(trigger.run()))).payload


def label(aws: Any, endpoint: str) -> str:
    """What the endpoint says of a photo."""
    runtime = aws.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(EndpointName=endpoint, ContentType="image/jpeg", Body=b"x")
    return str(json.load(answer["Body"])["labels"][0])
