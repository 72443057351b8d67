"""Endpoints across a restart of the local AWS."""

import os
import signal
from pathlib import Path

import psutil

from tests.conftest import LocalAws, start_local_aws, stop_local_aws
from tests.localaws.hosting import Hosting, eventually, named, unique


def hosting_of(aws: LocalAws, before: Hosting) -> Hosting:
    """The same bucket and role, seen through the server that was started again."""
    return Hosting(aws, aws.client("sagemaker"), aws.client("sagemaker-runtime"), before.bucket, before.role)


def test_endpoints_come_back_after_a_stop(tmp_path: Path) -> None:
    first = start_local_aws(tmp_path)
    hosting = Hosting.prepare(first)
    old = hosting.config(hosting.model(named("steady")))
    steady = hosting.endpoint(old)
    hosting.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=steady, DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}]
    )
    hosting.at_rest(steady)
    slow = hosting.config(hosting.model("import time\ntime.sleep(4)\n" + named("slow")))
    unfinished = unique("endpoint")
    hosting.sagemaker.create_endpoint(EndpointName=unfinished, EndpointConfigName=slow)
    hosting.sagemaker.update_endpoint(EndpointName=steady, EndpointConfigName=slow)
    hosting.sagemaker.delete_endpoint_config(EndpointConfigName=old)  # an endpoint does without it once it runs
    serving = eventually(lambda: len(pids := hosting.processes()) >= 3 and pids)
    stop_local_aws(first)
    assert not [pid for pid in serving if psutil.pid_exists(pid)]

    second = start_local_aws(tmp_path)
    hosting = hosting_of(second, hosting)
    description, created = hosting.at_rest(steady), hosting.at_rest(unfinished)
    answers = {hosting.invoke(steady)["pid"] for _ in range(4)}
    stop_local_aws(second)

    assert (description["EndpointStatus"], description["EndpointConfigName"]) == ("InService", old)
    assert description["FailureReason"] == f"The local AWS stopped during the update to {slow}."
    assert "PendingDeploymentSummary" not in description
    assert len(answers) == 2
    assert (created["EndpointStatus"], created["EndpointConfigName"]) == ("InService", slow)


def test_a_killed_server_takes_its_instances_along(tmp_path: Path) -> None:
    aws = start_local_aws(tmp_path)
    hosting = Hosting.prepare(aws)
    hosting.endpoint(hosting.config(hosting.model(named("orphan"))))
    [serving] = hosting.processes()

    os.kill(aws.process.pid, signal.SIGKILL)
    aws.process.wait()

    eventually(lambda: not psutil.pid_exists(serving))
    eventually(lambda: not in_group(aws.process.pid))


def in_group(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
