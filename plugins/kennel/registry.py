"""What the model registry knows: which model serves, which is the champion, and whether a new one may follow."""

import datetime
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from kennel.names import Names

MISSING = ("ResourceNotFound", "ValidationException")


def described(describe: Any, **name: str) -> dict[str, Any]:
    """What a Describe call of SageMaker's says, or an empty dict when there is nothing of that name."""
    try:
        return dict(describe(**name))
    except ClientError as error:
        if error.response["Error"]["Code"] not in MISSING:
            raise
        return {}


@dataclass(frozen=True)
class Package:
    """A registered model: the package and what `register` wrote down of its run."""

    arn: str
    status: str
    image: str
    model_data: str
    metadata: dict[str, str]

    @property
    def run(self) -> str:
        """The run that made it."""
        return self.metadata["run"]

    @property
    def cutoff(self) -> datetime.datetime:
        """The moment up to which it knows photos."""
        return datetime.datetime.fromisoformat(self.metadata["cutoff"])

    @property
    def version(self) -> int:
        """Its number in the registry."""
        return int(self.arn.rpartition("/")[2])

    @property
    def age(self) -> tuple[datetime.datetime, int]:
        """What makes one model newer than another: later photos, and of equals the later registration."""
        return self.cutoff, self.version

    @property
    def title(self) -> str:
        """What a person is told of it."""
        return f"version {self.version} ({self.run}, photos up to {self.cutoff:%Y-%m-%d})"


def package(client: Any, arn: str) -> Package | None:
    """Look one up by ARN; None when there is none, or none that Kennel registered."""
    found = described(client.describe_model_package, ModelPackageName=arn)
    if "run" not in found.get("CustomerMetadataProperties", {}):
        return None
    container = found["InferenceSpecification"]["Containers"][0]
    return Package(
        arn=found["ModelPackageArn"],
        status=found["ModelApprovalStatus"],
        image=container["Image"],
        model_data=container["ModelDataUrl"],
        metadata=found["CustomerMetadataProperties"],
    )


def packages(client: Any, group: str, **filters: Any) -> Iterator[Package]:
    """The packages of a group that Kennel registered, newest first; none when there is no such group yet."""
    pages = client.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, SortBy="CreationTime", SortOrder="Descending", **filters
    )
    try:
        for page in pages:
            for summary in page["ModelPackageSummaryList"]:
                if found := package(client, summary["ModelPackageArn"]):
                    yield found
    except ClientError as error:
        if error.response["Error"]["Code"] not in MISSING:
            raise


def in_service(client: Any, at: Names) -> Package | None:
    """The package that the endpoint serves, or None when there is no endpoint or its model is not of the registry."""
    endpoint = described(client.describe_endpoint, EndpointName=at.endpoint)
    if not endpoint:
        return None
    config = described(client.describe_endpoint_config, EndpointConfigName=endpoint["EndpointConfigName"])
    version = at.version_of(config["ProductionVariants"][0]["ModelName"]) if config else None
    return package(client, at.package_arn(version)) if version else None


def named(client: Any, at: Names, version: int) -> Package:
    """The version that a person names. LookupError, one line that names the fix, when it may not go into service."""
    found = package(client, at.package_arn(version))
    if found is None:
        known = sorted(one.version for one in packages(client, at.package_group))
        raise LookupError(f"{at.package_group} has no version {version}; it has {', '.join(map(str, known)) or 'none'}")
    if found.status != "Approved":
        raise LookupError(
            f"{found.title} is {found.status}; to deploy it all the same, approve it first: aws sagemaker "
            f"update-model-package --model-package-arn {found.arn} --model-approval-status Approved"
        )
    return found


def obstacle(package: Package, serving: Package | None) -> str | None:
    """Why a model that nobody has named does not go into service, or None: a newer one is."""
    if serving and serving.age > package.age:
        return (
            f"{package.title} is the newest that is approved, and {serving.title} is in service and newer; "
            f'trigger deploy with {{"version": {package.version}}} to go back to the older one'
        )
    return None


def made_of(found: Iterable[Package], parts: dict[str, str]) -> Package | None:
    """The first package whose metadata has all of these values, or None."""
    return next((package for package in found if parts.items() <= package.metadata.items()), None)


def newest(found: Iterable[Package]) -> Package | None:
    """The one that knows the latest photos; of equals the one registered last."""
    return max(found, key=lambda candidate: candidate.age, default=None)


def read_report(client: Any, at: Names, run: str, part: str = "evaluation") -> dict[str, Any]:
    """The report of a run's `evaluation`, or its own one: `report`."""
    body = client.get_object(Bucket=at.bucket, Key=f"{at.run_key(run, part)}report.json")["Body"]
    report: dict[str, Any] = json.load(body)
    return report


def champion(client: Any, at: Names) -> Package | None:
    """The model to beat: the one in service, else the newest approved one, else none."""
    return in_service(client, at) or newest(packages(client, at.package_group, ModelApprovalStatus="Approved"))


def tuned(client: Any, at: Names, ranges: Iterable[str]) -> dict[str, str]:
    """What was tuned, by the names in `ranges`, for the newest approved model of SageMaker's; empty without one."""
    approved = packages(client, at.package_group, ModelApprovalStatus="Approved")
    package = newest(found for found in approved if found.metadata["compute"] == "sagemaker")
    if package is None:
        return {}
    *_, job, _, _ = package.model_data.split("/")  # .../<training job>/output/model.tar.gz
    given = described(client.describe_training_job, TrainingJobName=job).get("HyperParameters", {})
    return {name: given[name] for name in ranges if name in given}


def settle(client: Any, arn: str, *, approved: bool, why: str) -> None:
    """Mark a model Approved or Rejected, with the reason, of which AWS keeps one line of 1,024 characters."""
    client.update_model_package(
        ModelPackageArn=arn,
        ModelApprovalStatus="Approved" if approved else "Rejected",
        ApprovalDescription=" ".join(why.split())[:1024],
    )
