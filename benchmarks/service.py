"""The function and its endpoint, deployed on a local AWS by the requests that `deploy` makes."""

import contextlib
import io
import json
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psutil

from benchmarks.endpoint import our_model
from benchmarks.localaws import local_aws
from kennel import names
from kennel.config import ROOT, Classifier, load
from kennel.local.account import deploy_foundation
from kennel.names import Names
from kennel.operators.functions import archive
from kennel.specs import serving
from localaws.__main__ import ACCOUNT_ID

BACKBONE = "efficientnet_lite0"
ALIAS = "live"
# An alarm that goes off when it is told to.
DRILL: dict[str, Any] = {
    "AlarmName": "drill",
    "Namespace": "Drill",
    "MetricName": "Calls",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 0,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
}
BOTO3S_OWN = {"total_max_attempts": 5, "mode": "legacy"}
CLOCK_SPEED = 20  # as the demo's: minutes of metrics and of watching last three seconds


class Service:
    """Version 1 of a model in service on one instance, and the function in front of it; version 2 can be deployed."""

    def __init__(self, client: Callable[..., Any], dogs: Classifier, model: bytes, process: psutil.Process):
        self.dogs, self.at = dogs, Names.of(dogs)
        self.sagemaker, self.scaling = client("sagemaker"), client("application-autoscaling")
        self._cloudwatch, self._functions, self._process = client("cloudwatch"), client("lambda"), process
        self._patient = client("lambda", retries=BOTO3S_OWN)
        deploy_foundation(client, self.at)
        key = "runs/load/model.tar.gz"
        client("s3").put_object(Bucket=self.at.bucket, Key=key, Body=model)
        self._configs = [self._config(version, self.at.uri(key)) for version in (1, 2)]
        endpoint = serving.endpoint(dogs, self.at.endpoint, self._configs[0])
        self.sagemaker.create_endpoint(**endpoint)
        self.settle()
        self._deploy_function()
        self._cloudwatch.put_metric_alarm(**DRILL)

    def ask(self, event: bytes, patient: bool = False) -> str:
        """Invoke the function, again as boto3 does when `patient`; the status, 429 when Lambda itself refuses."""
        client = self._patient if patient else self._functions
        try:
            answer = client.invoke(FunctionName=self.at.function, Qualifier=ALIAS, Payload=event)
        except client.exceptions.ClientError as error:
            return str(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return str(json.load(answer["Payload"]).get("statusCode", answer.get("FunctionError")))

    def scale_by_itself(self) -> None:
        """Between the classifier's bounds, by its target of invocations an instance and minute."""
        self.scaling.register_scalable_target(**serving.scalable_target(self.dogs))
        self.scaling.put_scaling_policy(**serving.scaling_policy(self.dogs))

    def stop_scaling(self) -> None:
        """Keep the instances there are."""
        target = serving.scalable_target(self.dogs)
        del target["MinCapacity"], target["MaxCapacity"], target["SuspendedState"]
        self.scaling.deregister_scalable_target(**target)

    def scale(self, count: int) -> None:
        """So many instances."""
        self.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=self.at.endpoint,
            DesiredWeightsAndCapacities=[{"VariantName": names.VARIANT, "DesiredInstanceCount": count}],
        )
        self.settle()

    def deploy(self, version: int, alarm: bool = False) -> None:
        """Begin to put a version into service, as an update of the endpoint; an alarm may call it back."""
        kept = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": DRILL["AlarmName"]}]}} if alarm else {}
        self.sagemaker.update_endpoint(
            EndpointName=self.at.endpoint,
            EndpointConfigName=self._configs[version - 1],
            DeploymentConfig={"BlueGreenUpdatePolicy": serving.blue_green(self.dogs), **kept},
        )

    def baking(self) -> bool:
        """Whether an update has moved the traffic, and watches its alarms."""
        pending = self.sagemaker.describe_endpoint(EndpointName=self.at.endpoint).get("PendingDeploymentSummary", {})
        statuses = [one["Status"] for variant in pending["ProductionVariants"] for one in variant["VariantStatus"]]
        return "Baking" in statuses

    def ring(self) -> None:
        """The alarm goes off."""
        data = [{"MetricName": DRILL["MetricName"], "Value": 1}]
        self._cloudwatch.put_metric_data(Namespace=DRILL["Namespace"], MetricData=data)

    def settle(self) -> dict[str, Any]:
        """The endpoint when nothing is under way. Raises RuntimeError when it has failed."""
        describe = self.sagemaker.describe_endpoint
        while (found := describe(EndpointName=self.at.endpoint))["EndpointStatus"] != "InService":
            if found["EndpointStatus"] == "Failed":
                raise RuntimeError(found["FailureReason"])
            time.sleep(0.2)
        return dict(found)

    def instances(self) -> int:
        """How many instances serve."""
        [variant] = self.sagemaker.describe_endpoint(EndpointName=self.at.endpoint)["ProductionVariants"]
        return int(variant["CurrentInstanceCount"])

    def serving_processes(self) -> list[psutil.Process]:
        """The processes of the instances."""
        found = []
        for child in self._process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                if any(part.endswith("containers/serving.py") for part in child.cmdline()):
                    found.append(child)
        return found

    def _config(self, version: int, model_data: str) -> str:
        self.sagemaker.create_model(**serving.model(self.dogs, version, self.dogs.images.inference, model_data))
        config = serving.endpoint_config(self.dogs, version, self.dogs.endpoint.instance_type, 1)
        self.sagemaker.create_endpoint_config(**config)
        return str(config["EndpointConfigName"])

    def _deploy_function(self) -> None:
        functions, name = self._functions, self.at.function
        code = {"ZipFile": archive(ROOT / "lambda/invoke_endpoint")}
        made = functions.create_function(**serving.function_configuration(self.dogs), Code=code, Publish=True)
        functions.create_alias(FunctionName=name, Name=ALIAS, FunctionVersion=made["Version"])
        functions.put_function_concurrency(
            FunctionName=name, ReservedConcurrentExecutions=self.dogs.function.reserved_concurrency
        )


@contextlib.contextmanager
def service(photo: bytes) -> Iterator[tuple[Service, bytes]]:
    """A service on a local AWS of its own, and the event that asks about a photo which a server here hands out."""
    with tempfile.TemporaryDirectory() as name, photo_server(photo) as host:
        folder, settings = Path(name), {"KENNEL_BACKBONE": BACKBONE, "KENNEL_ALLOWED_HOSTS": host}
        dogs = load("dogs", {"KENNEL_ACCOUNT_ID": ACCOUNT_ID, **settings})
        with local_aws(folder / "aws", LOCALAWS_CLOCK_SPEED=str(CLOCK_SPEED)) as (process, client):
            event = json.dumps({"url": f"http://{host}/photo.jpg"}).encode()
            yield Service(client, dogs, model(folder / "model"), process), event


@contextlib.contextmanager
def photo_server(photo: bytes) -> Iterator[str]:
    """`host:port` of a server that answers every GET with this JPEG."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(photo)))
            self.end_headers()
            self.wfile.write(photo)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def model(folder: Path) -> bytes:
    """A model.tar.gz as the final training leaves it."""
    our_model(BACKBONE, folder)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(folder, "")
    return buffer.getvalue()
