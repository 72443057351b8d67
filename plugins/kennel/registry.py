"""What the model registry knows: which model serves, which is the champion, and whether a new one may follow."""

import datetime
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from kennel import names
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


def package(client: Any, arn: str) -> Package:
    """Look one up by ARN."""
    found = client.describe_model_package(ModelPackageName=arn)
    container = found["InferenceSpecification"]["Containers"][0]
    return Package(
        arn=found["ModelPackageArn"],
        status=found["ModelApprovalStatus"],
        image=container["Image"],
        model_data=container["ModelDataUrl"],
        metadata=found.get("CustomerMetadataProperties", {}),
    )


def packages(client: Any, group: str, **filters: Any) -> Iterator[Package]:
    """The packages of a group that Kennel registered, newest first; none when there is no such group yet."""
    pages = client.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, SortBy="CreationTime", SortOrder="Descending", **filters
    )
    try:
        for page in pages:
            for summary in page["ModelPackageSummaryList"]:
                found = package(client, summary["ModelPackageArn"])
                if "run" in found.metadata:
                    yield found
    except ClientError as error:
        if error.response["Error"]["Code"] not in MISSING:
            raise


def in_service(client: Any, at: Names) -> Package | None:
    """The package that the endpoint serves, or None when there is no endpoint or its model is not of the registry."""
    endpoint = described(client.describe_endpoint, EndpointName=at.endpoint)
    if not endpoint:
        return None
    config = client.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    served = config["ProductionVariants"][0]["ModelName"]
    return next((found for found in packages(client, at.package_group) if names.fit(found.run) == served), None)


def obstacle(package: Package, serving: Package | None, *, force: bool) -> str | None:
    """Why a model may not go into service, or None. `force` overrules the one in service, not the approval."""
    if package.status != "Approved":
        return f"{package.arn} is {package.status}: approve it, then trigger deploy"
    if serving and serving.cutoff > package.cutoff and not force:
        return (
            f"{package.run} knows photos up to {package.cutoff:%Y-%m-%d}, and {serving.run}, in service, up to "
            f"{serving.cutoff:%Y-%m-%d}; trigger with its package_arn and force to deploy it all the same"
        )
    return None


def made_of(found: Iterable[Package], parts: dict[str, str]) -> Package | None:
    """The first package whose metadata has all of these values, or None."""
    return next((package for package in found if parts.items() <= package.metadata.items()), None)


def newest(found: Iterable[Package]) -> Package | None:
    """The one that knows the latest photos; of equals the first."""
    return max(found, key=lambda candidate: candidate.cutoff, default=None)


def read_report(client: Any, at: Names, run: str, part: str = "evaluation") -> dict[str, Any]:
    """The report of a run's `evaluation`, or its own one: `report`."""
    body = client.get_object(Bucket=at.bucket, Key=f"{at.run_key(run, part)}report.json")["Body"]
    report: dict[str, Any] = json.load(body)
    return report


def champion(client: Any, at: Names) -> Package | None:
    """The model to beat: the one in service, else the newest approved one, else none."""
    return in_service(client, at) or newest(packages(client, at.package_group, ModelApprovalStatus="Approved"))


def settle(client: Any, arn: str, *, approved: bool, why: str) -> None:
    """Mark a model Approved or Rejected, with the reason (cut to the 1,024 characters that AWS keeps)."""
    client.update_model_package(
        ModelPackageArn=arn,
        ModelApprovalStatus="Approved" if approved else "Rejected",
        ApprovalDescription=why[:1024],
    )
