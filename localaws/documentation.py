"""Writes docs/local-aws.md from the tables that the server works by: `python -m localaws.documentation > FILE`."""

import sys
from collections.abc import Iterator, Sequence

from localaws.services import MODULES

BEGINNING = """\
# The local AWS

`python -m localaws` is an AWS account in one process, on one port of the loopback address. It really runs what it is
asked to run: training jobs, endpoints, functions and instances are processes of this machine. It needs no AWS account,
no Docker and no network. Nothing in it knows of Kennel.

This page is written by `python -m localaws.documentation`; a test sees to it that the two agree.

    python -m localaws --port 4566 --home DIR

prints `localaws ready: http://127.0.0.1:4566` when it serves and stops on SIGTERM with all that it started.
"""

SETTINGS = (
    ("setting", "what it is", "default"),
    ("`--host`", "the address to listen on; another only in a container", "127.0.0.1"),
    ("`--port`", "the port there; 0 takes a free one", "4566"),
    ("`--home`, `LOCALAWS_HOME`", "the directory for all its files; one server at a time uses it", "required"),
    ("`AWS_DEFAULT_REGION`", "the region it is in", "us-east-1"),
    (
        "`LOCALAWS_CLOCK_SPEED`",
        "1 to 60: so many times shorter are the minutes of metrics, alarms, cooldowns, schedules and traffic shifts",
        "1",
    ),
    (
        "`LOCALAWS_JOB_MEMORY_MB`",
        "what each process of a job or an endpoint may fill; one that asks for more gets a MemoryError",
        "no limit",
    ),
    ("`LOCALAWS_JOB_THREADS`", "the threads that one job's containers compute with, all together", "the cores"),
)

FILES = (
    ("in the home directory", "what it is"),
    ("`credentials`", "the root key, an AWS shared credentials file; deleted, it is made anew at the next start"),
    ("`localaws.db`", "what our own services remember (SQLite)"),
    ("`state/`, `s3/`", "what MiniStack's services remember, and the objects in S3"),
    (
        "`access.log`, `access.log.1`",
        "what IAM decided: time, principal, action, resource and whether it was allowed, a line of JSON for each; "
        "32 MiB a file, the older of the two is given up",
    ),
    ("`jobs/`, `endpoints/`, `instances/`, `tmp/`", "the directories of what runs"),
    ("`quotas.json`", "if you make one, the quotas that Service Quotas answers: `{quota code: value}`"),
    ("`capacity.json`", 'if you make one, how many instances EC2 has room for: `{"spot": 0, "on-demand": 4}`'),
    ("`lock`", "held while a server uses the directory"),
)

USE = """\
## Using it

The account is `000000000000`. Every request must be signed with a key of this account: the root key in
`DIR/credentials`, the key of an IAM user made here, or a role's temporary keys. IAM policies are enforced.
Unsigned, only `GET /_localaws/health` is answered, and a function's URL with AuthType NONE once the function's policy
lets everybody call lambda:InvokeFunctionUrl.

    export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_DEFAULT_REGION=us-east-1
    export AWS_SHARED_CREDENTIALS_FILE=DIR/credentials
    aws s3 mb s3://my-bucket                      # the AWS CLI
    python -c "import boto3; print(boto3.client('sagemaker').list_endpoints()['Endpoints'])"

- **boto3 and the AWS CLI** need nothing more. Presigned URLs work, of signature version 4 and 2, until they expire.
- **The SageMaker Python SDK**, v2 and v3, takes the same variables, but asks AWS's own STS for the account when it is
  to name a default bucket. Name one: `sagemaker.Session(default_bucket="my-bucket")`, or
  `SageMaker.PythonSDK.Modules.Session.DefaultS3Bucket` in the file of `SAGEMAKER_USER_CONFIG_OVERRIDE`.
- **Containers** are those of the PyTorch deep learning images, on the Python that runs the server: script mode with
  `SM_CHANNEL_*`, `SM_MODEL_DIR` and the rest for training, `model_fn`, `input_fn`, `predict_fn` and `output_fn` for
  serving. Of links in a tar.gz only those that lead down are unpacked. Each sees its own `/opt/ml` and has its role's
  keys and no others. (Where neither `unshare` nor `bwrap` may make a mount namespace there is no `/opt/ml`: scripts
  must then go by the `SM_*` variables.) Any other image ends a job as Failed.
- **Managed Spot training** is interrupted once, so many seconds after it began, when the job's Environment has
  `LOCALAWS_INTERRUPT_AFTER`, and goes on after another `LOCALAWS_INTERRUPT_FOR` seconds (0).

## What is kept

Everything that was created is there again after a stop and after `kill -9`: what an answer told of is on disk before
the answer goes out, but for log events, metrics and what a request sets going by itself, which follow within a second
or two (later when the logs have grown large). Endpoints serve again; a job, a function's call or an instance's command
that ran is not run a second time, and a job says so in its FailureReason.
"""

HEADER = """\
## Operations of our own

Requests are checked against botocore's model of the operation: required members, types, enums, patterns, lengths and
ranges. An operation that is not in these tables answers UnknownOperationException. Where the second column is empty,
the operation does what AWS documents.
"""

TITLES = {
    "sagemaker": "SageMaker",
    "sagemaker-runtime": "SageMaker Runtime",
    "application-autoscaling": "Application Auto Scaling",
    "service-quotas": "Service Quotas",
    "ec2": "EC2: instances that run (the rest is MiniStack's)",
    "ssm": "Systems Manager: Run Command (the rest is MiniStack's)",
}

MINISTACK = (
    ("service", "what it does here"),
    ("S3", "buckets, objects, versions, multipart uploads, policies, encryption settings, lifecycle rules (kept)"),
    ("IAM", "users, roles, policies, instance profiles; enforced on every request"),
    ("STS", "AssumeRole, GetCallerIdentity; whoever has assumed a role goes on with it after a restart"),
    (
        "Lambda",
        "Python functions run in warm processes with their role's keys; versions, aliases, concurrency settings; "
        "function URLs, which answer at `http://127.0.0.1:4566/_aws/lambda-url/<id>/`",
    ),
    ("CloudFormation", "stacks of S3, IAM, SNS, Logs, CloudWatch and other resources, though none of SageMaker"),
    ("CloudWatch", "metrics, and alarms that change state with them"),
    ("CloudWatch Logs", "groups, streams and events; the logs of jobs, endpoints and functions are there"),
    ("SNS", "topics, subscriptions, publishing"),
    ("EC2", "networks, security groups and the like, as records"),
    ("Systems Manager", "parameters, with those of the deep learning AMIs"),
)

END = """\
MiniStack has more services than these, as they come: https://pypi.org/project/ministack/ tells of them.
"""


def pages() -> Iterator[str]:
    """The document, part by part."""
    yield from (BEGINNING, table(SETTINGS), table(FILES), USE, HEADER)
    for service, modules in MODULES.items():
        simplified = {name: text for module in modules for name, text in getattr(module, "SIMPLIFIED", {}).items()}
        operations = sorted(name for module in modules for name in module.OPERATIONS)
        yield f"### {TITLES[service]}\n"
        yield table(
            [("operation", "what differs from AWS"), *((name, simplified.get(name, "")) for name in operations)]
        )
    yield "## MiniStack's services that Kennel uses\n"
    yield from (table(MINISTACK), END)


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its header."""
    header, *body = (f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows)
    return "\n".join((header, "| --- " * len(rows[0]) + "|", *body)) + "\n"


def main() -> None:
    """Write the document to stdout."""
    sys.stdout.write("\n".join(pages()))


if __name__ == "__main__":
    main()
