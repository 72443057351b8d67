"""What the instances of a production variant run, and their model's files."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from botocore.exceptions import BotoCoreError, ClientError

from localaws.cloud import Cloud, Credentials
from localaws.errors import AwsError
from localaws.jobs.clients import assume, client
from localaws.jobs.environment import image_problem
from localaws.jobs.s3 import TransferError, download_file, unpack_tar
from localaws.sagemaker import models
from localaws.store import Document

STARTUP_SECONDS = 480  # how long SageMaker waits for the first answer to /ping unless the variant says otherwise


class StartError(Exception):
    """Why an instance did not come into service, in the words of an endpoint's FailureReason."""


@dataclass(frozen=True)
class Variant:
    """A production variant as its instances need it, whatever becomes of its endpoint config and its model."""

    host: ClassVar[str] = "endpoint"

    name: str
    instance_type: str
    image: str
    model_data_url: str
    environment: dict[str, str]
    role_arn: str
    startup_seconds: int
    capture: Document | None = None  # its endpoint config's DataCaptureConfig

    @classmethod
    def of(cls, cloud: Cloud, production_variant: Document, capture: Document | None) -> "Variant":
        """From an endpoint config's variant and DataCaptureConfig.

        ValidationException when its model is gone or has several containers.
        """
        model = models.find(cloud, production_variant["ModelName"])
        container, *others = models.containers(cloud, model)
        if others:
            raise AwsError("ValidationException", f"The local AWS serves one container; {model['ModelName']} has more.")
        return cls(
            name=production_variant["VariantName"],
            instance_type=production_variant.get("InstanceType", ""),
            image=container["Image"],
            model_data_url=container.get("ModelDataUrl", ""),
            environment=container.get("Environment", {}),
            role_arn=model.get("ExecutionRoleArn", ""),
            startup_seconds=production_variant.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS),
            capture=capture,
        )

    @property
    def title(self) -> str:
        """What it is called where something is wrong with it."""
        return f"production variant {self.name}"

    def check(self) -> None:
        """StartError when it cannot run here."""
        if problem := image_problem(self.image):
            raise StartError(problem)
        if not self.model_data_url:
            raise StartError(f"The model of {self.title} has no ModelDataUrl.")

    def credentials(self, cloud: Cloud, session: str) -> Credentials:
        """Twelve hours of the model's role. StartError when SageMaker may not assume it."""
        try:
            return assume(cloud, self.role_arn, session)
        except (BotoCoreError, ClientError) as error:
            raise StartError(f"Could not assume role {self.role_arn}: {error}") from error

    def unpack(self, cloud: Cloud, credentials: Credentials, directory: Path) -> None:
        """Bring the model into `directory`. StartError when it cannot be read, or is no archive that stays there."""
        archive = directory.with_name("model.tar.gz")
        try:
            download_file(client(cloud, "s3", credentials), self.model_data_url, archive)
        except TransferError as error:
            raise StartError(
                f"Failed to download model data for {self.title}: {error}. "
                f"Please ensure that the object exists and that {self.role_arn} may read it."
            ) from error
        try:
            unpack_tar(archive, directory)
        except TransferError as error:
            raise StartError(
                f"Failed to extract model data for {self.title}: {self.model_data_url} is {error}"
            ) from error
        archive.unlink()
