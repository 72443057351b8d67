"""AWS names and S3 keys, derived from the classifier and the run, so that a retry and a stranger find the same."""

import datetime
import hashlib
import re
from dataclasses import dataclass

from kennel.config import Classifier

TUNING_JOB_LIMIT = 32
JOB_LIMIT = 63
VARIANT = "AllTraffic"
# Airflow's pool of the tasks that have a SageMaker job, one slot an instance at work. Deferred tasks count, so it
# bounds the jobs; `kennel up` and the compose file make it so.
POOL = "sagemaker_jobs"


@dataclass(frozen=True)
class Names:
    """The names of one classifier in one account and region."""

    classifier: str
    account_id: str
    region: str

    @classmethod
    def of(cls, classifier: Classifier) -> "Names":
        """The names of a configured classifier."""
        return cls(classifier.name, classifier.environment.account_id, classifier.region)

    @property
    def stack(self) -> str:
        """The CloudFormation stack, and the stem of what it makes."""
        return f"kennel-{self.classifier}"

    @property
    def endpoint(self) -> str:
        """The SageMaker endpoint."""
        return self.stack

    @property
    def endpoint_arn(self) -> str:
        """The endpoint's ARN."""
        return f"arn:aws:sagemaker:{self.region}:{self.account_id}:endpoint/{self.endpoint}"

    @property
    def rehearsal(self) -> str:
        """The endpoint that tries a model out before the endpoint in service gets it; it lasts for minutes."""
        return f"{self.endpoint}-rehearsal"

    def model(self, version: int) -> str:
        """SageMaker's model of a version in the registry, and the stem of its endpoint configs."""
        return f"{self.classifier}-v{version}"

    def version_of(self, model: str) -> int | None:
        """The version that a model's name tells; None for a model that is not Kennel's."""
        found = re.fullmatch(rf"{self.classifier}-v(\d+)", model)
        return int(found[1]) if found else None

    @property
    def function(self) -> str:
        """The Lambda function."""
        return self.stack

    @property
    def package_group(self) -> str:
        """The SageMaker model package group."""
        return self.stack

    def package_arn(self, version: int) -> str:
        """A version in the registry."""
        return f"arn:aws:sagemaker:{self.region}:{self.account_id}:model-package/{self.package_group}/{version}"

    def alarm(self, kind: str) -> str:
        """The CloudWatch alarm of a kind, `5xx` or `latency`, that calls an update of the endpoint back."""
        return f"{self.endpoint}-{kind}"

    @property
    def bucket(self) -> str:
        """The one bucket."""
        return f"{self.stack}-{self.account_id}-{self.region}"

    @property
    def topic_arn(self) -> str:
        """The SNS topic that hears of failures."""
        return f"arn:aws:sns:{self.region}:{self.account_id}:{self.stack}-failures"

    def role_arn(self, part: str) -> str:
        """The role of one part: `sagemaker`, `lambda`, `airflow` or `ec2`."""
        return f"arn:aws:iam::{self.account_id}:role/{self.stack}-{part}"

    @property
    def ec2(self) -> str:
        """The instance profile and the security group of instances that train outside SageMaker."""
        return f"{self.stack}-ec2"

    @property
    def ec2_log_group(self) -> str:
        """The log group of what runs on them."""
        return f"/{self.stack}/ec2"

    @property
    def scalable_target(self) -> str:
        """The endpoint's only variant, as Application Auto Scaling names it."""
        return f"endpoint/{self.endpoint}/variant/{VARIANT}"

    def uri(self, key: str) -> str:
        """`s3://<bucket>/<key>`."""
        return f"s3://{self.bucket}/{key}"

    @property
    def datasets(self) -> str:
        """The key prefix of all photos."""
        return f"datasets/{self.classifier}/"

    def snapshot(self, version: str) -> str:
        """The key prefix of a snapshot."""
        return f"snapshots/{self.classifier}/{version}/"

    def embeddings(self, version: str, backbone: str, recipe: str) -> str:
        """The key prefix of a snapshot's vectors, made by a recipe."""
        return f"embeddings/{self.classifier}/{version}-{backbone}-{recipe}/"

    def embed_job(self, version: str, recipe: str) -> str:
        """The job that makes them: the same for every run that would make the same, so it is found, not repeated."""
        return f"{self.classifier}-embed-{version}-{recipe}"

    def run(self, moment: datetime.datetime, run_id: str) -> str:
        """`dogs-20261122t030000-3fa9c1`: the same on every retry of an Airflow run, and no other run's."""
        digest = hashlib.sha256(f"{self.classifier} {run_id}".encode()).hexdigest()[:6]
        return f"{self.classifier}-{moment.astimezone(datetime.UTC):%Y%m%dt%H%M%S}-{digest}"

    def run_key(self, run: str, part: str) -> str:
        """The key prefix of one part of what a run made."""
        return f"runs/{self.classifier}/{run}/{part}/"

    def samples(self, run: str) -> str:
        """The key prefix of the photos that a run's model can be tried on."""
        return f"{self.run_key(run, 'evaluation')}samples/"


def code(digest: str) -> str:
    """The key prefix of the published `ml/`, by content."""
    return f"code/{digest}/"


def weights(backbone: str) -> str:
    """The key of a backbone's ImageNet weights."""
    return f"weights/{backbone}.pth"


def fit(name: str, limit: int = JOB_LIMIT, attempt: int = 1) -> str:
    """A job's name within its API's limit; `-r2` is the next attempt after a real failure.

    Too long a name loses its date. It keeps the classifier, which the roles' rights go by, and the digest, which is
    of this run alone.
    """
    suffix = f"-r{attempt}" if attempt > 1 else ""
    if len(name) + len("-r99") > limit:
        classifier, _, *rest = name.split("-")
        name = "-".join([classifier, *rest])
    return name + suffix


def attempts(name: str) -> list[str]:
    """The names of a job's earlier attempts, and its own: of `x-r3` they are `x`, `x-r2` and `x-r3`."""
    base, found, number = name.rpartition("-r")
    if not (found and number.isdecimal()):
        return [name]
    return [base, *(f"{base}-r{attempt}" for attempt in range(2, int(number) + 1))]
