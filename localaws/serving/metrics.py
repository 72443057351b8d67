"""What endpoints did, as datapoints of a minute each in CloudWatch's namespace AWS/SageMaker."""

import datetime
import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localaws.clock import every_minute
from localaws.cloud import Cloud
from localaws.jobs.clients import root_client
from localaws.serving.fleet import router

NAMESPACE = "AWS/SageMaker"

log = logging.getLogger(__name__)


@dataclass
class Tally:
    """One variant's minute; latencies in microseconds."""

    invocations: int = 0
    client_errors: int = 0
    server_errors: int = 0
    model_latency: list[float] = field(default_factory=list)
    overhead_latency: list[float] = field(default_factory=list)


class Recorder:
    """Counts invocations off the way of the requests, until they are published."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tallies: dict[tuple[str, str], Tally] = {}

    def record(self, endpoint: str, variant: str, status: int, model_seconds: float, overhead_seconds: float) -> None:
        """Count one invocation and the status that the instance answered."""
        with self._lock:
            tally = self._tallies.setdefault((endpoint, variant), Tally())
            tally.invocations += 1
            tally.client_errors += 400 <= status < 500
            tally.server_errors += status >= 500
            tally.model_latency.append(model_seconds * 1e6)
            tally.overhead_latency.append(overhead_seconds * 1e6)

    def publish(self, cloud: Cloud, sizes: Iterable[tuple[str, str, int]], minute: float) -> None:
        """Publish the minute that began at `minute`; `sizes` are the (endpoint, variant, instances) in service.

        A variant without traffic gets its zeros too: they are what scales it in.
        """
        with self._lock:
            tallies, self._tallies = self._tallies, {}
        at = datetime.datetime.fromtimestamp(minute, datetime.UTC)
        for endpoint, variant, instances in sizes:
            tally = tallies.get((endpoint, variant), Tally())
            dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
            data = [{**datum, "Dimensions": dimensions, "Timestamp": at} for datum in _data(tally, instances)]
            root_client(cloud, "cloudwatch").put_metric_data(Namespace=NAMESPACE, MetricData=data)


recorder = Recorder()
_stop = threading.Event()


def start(cloud: Cloud) -> None:
    """Publish every minute from now on."""
    _stop.clear()
    threading.Thread(target=_publish, args=(cloud,), name="metrics", daemon=True).start()


def stop() -> None:
    """Publish no more."""
    _stop.set()


def _publish(cloud: Cloud) -> None:
    for minute in every_minute(_stop):
        try:
            recorder.publish(cloud, router.sizes(), minute)
        except (BotoCoreError, ClientError) as error:
            log.warning("A minute of metrics was lost: %s", error)


def _data(tally: Tally, instances: int) -> list[dict[str, Any]]:
    counts = {
        "Invocations": tally.invocations,
        "InvocationsPerInstance": tally.invocations / max(1, instances),
        "Invocation4XXErrors": tally.client_errors,
        "Invocation5XXErrors": tally.server_errors,
    }
    latencies = {"ModelLatency": tally.model_latency, "OverheadLatency": tally.overhead_latency}
    return [
        *({"MetricName": name, "Value": value, "Unit": "None"} for name, value in counts.items()),
        *(
            {"MetricName": name, "StatisticValues": _statistics(values), "Unit": "Microseconds"}
            for name, values in latencies.items()
            if values
        ),
    ]


def _statistics(values: list[float]) -> dict[str, float]:
    return {"SampleCount": len(values), "Sum": sum(values), "Minimum": min(values), "Maximum": max(values)}
