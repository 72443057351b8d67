"""Trying a model out before the endpoint in service gets it."""

import statistics
import time
from collections.abc import Sequence
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import Context
from botocore.config import Config
from botocore.exceptions import ClientError

from kennel import hosting, photos, registry
from kennel.defaults import ModelAtFaultError
from kennel.operators.hosting import EndpointOperator

CONTENT_TYPES = {"jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png"}
# SageMaker gives a model 60 seconds; its own answer to one that takes longer tells more than our giving up.
PATIENCE = Config(read_timeout=70)


class RehearsalOperator(EndpointOperator):
    """Serve known photos from an endpoint of its own, before another endpoint is updated to the same model.

    SageMaker's blue/green gives a new fleet traffic before anything has asked it a question. So a model that does not
    load, is slow or wrong is found out here. The endpoint is deleted at the end; one that a try killed on the way left
    behind is taken over by the next. There is no rehearsal when nothing is in service that could be hurt, nor for the
    config that is in service.

    :param config: CreateEndpoint's request for the rehearsal (templated).
    :param endpoint: the endpoint that is to be updated.
    :param endpoint_config: the config that it is to be updated to (templated).
    :param bucket: where the photos are.
    :param samples: the photos, `{"photo": key, "label"}` (templated).
    :param classes: how many the model knows (templated).
    :param max_latency_ms: the most that the median answer may take.
    """

    template_fields: Sequence[str] = (*EndpointOperator.template_fields, "endpoint_config", "samples", "classes")

    def __init__(
        self,
        *,
        endpoint: str,
        endpoint_config: str,
        bucket: str,
        samples: list[dict[str, Any]],
        classes: int,
        max_latency_ms: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.endpoint_config = endpoint_config
        self.bucket = bucket
        self.samples = samples
        self.classes = classes
        self.max_latency_ms = max_latency_ms

    def execute(self, context: Context) -> Any:
        """Rehearse unless there is no need to."""
        found = registry.described(self.hook.conn.describe_endpoint, EndpointName=self.endpoint)
        if found.get("EndpointStatus") in (None, "Creating", "Failed"):
            self.log.info("Nothing serves yet: no rehearsal")
        elif found["EndpointConfigName"] == self.endpoint_config:
            self.log.info("%s is in service with %s: no rehearsal", self.endpoint, self.endpoint_config)
        else:
            return super().execute(context)
        hosting.end(self.hook.conn, self.config["EndpointName"])
        return None

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Ask about the photos once the endpoint is there."""
        try:
            return super().execute_complete(context, event)
        except ModelAtFaultError:
            hosting.end(self.hook.conn, self.config["EndpointName"])
            raise

    def done(self, context: Context, found: dict[str, Any], *, changed: bool) -> dict[str, Any]:
        """Return `{"photos", "median_ms"}`. Raises ModelAtFaultError for a wrong answer, or slow ones."""
        try:
            result = self._rehearse()
        except ModelAtFaultError:
            hosting.end(self.hook.conn, self.config["EndpointName"])
            raise
        hosting.end(self.hook.conn, self.config["EndpointName"])
        return result

    def _rehearse(self) -> dict[str, Any]:
        s3, runtime = self._client("s3"), self._client("sagemaker-runtime", PATIENCE)
        self._ask(s3, runtime, self.samples[0])  # the first answer of a process takes longer than all others
        median = round(statistics.median(self._ask(s3, runtime, sample) for sample in self.samples) * 1000)
        self.log.info("%d photos, right labels, a median of %d ms", len(self.samples), median)
        if median > self.max_latency_ms:
            raise ModelAtFaultError(
                f"the model takes {median} ms to answer, more than endpoint.max_latency_ms = {self.max_latency_ms}"
            )
        return {"photos": len(self.samples), "median_ms": median}

    def _ask(self, s3: Any, runtime: Any, sample: dict[str, Any]) -> float:
        """The seconds that the right answer took."""
        photo = s3.get_object(Bucket=self.bucket, Key=sample["photo"])["Body"].read()
        kind = CONTENT_TYPES[sample["photo"].rpartition(".")[2].lower()]
        began = time.perf_counter()
        try:
            answer = runtime.invoke_endpoint(EndpointName=self.config["EndpointName"], ContentType=kind, Body=photo)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ModelError":
                raise
            raise ModelAtFaultError(f"the model fails on {sample['photo']}: {error}") from error
        body = answer["Body"].read()
        seconds = time.perf_counter() - began
        photos.check_endpoints(body, sample, self.classes)
        return seconds

    def _client(self, service: str, config: Config | None = None) -> Any:
        return AwsBaseHook(
            client_type=service, aws_conn_id=self.aws_conn_id, region_name=self.region_name, config=config
        ).conn
