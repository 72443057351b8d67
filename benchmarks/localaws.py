"""What the local AWS costs: memory, start, a describe, an invocation, and invocations at 200 a second.

    python -m benchmarks.localaws

Measured with boto3 against servers of its own, which keep to two cores. Each figure is the best of several tries, since
what else the machine has to do comes and goes.
"""

import configparser
import contextlib
import http.client
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.config
import httpx
import psutil

from benchmarks.figures import Figure, main
from localaws.__main__ import ACCOUNT_ID, HOST, REGION, environment
from localaws.cloud import Cloud, Credentials
from localaws.store import Store

CORES = 2
LIMITS = {
    "memory added to bare MiniStack, MB": 80.0,
    "ready after, s": 3.0,
    "describe, ms": 5.0,
    "invocation less model, ms": 8.0,
    "invocations that failed": 0.0,
    "seconds that 200 invocations took": 1.05,
}
STARTS = 3
BATCHES = 20
CALLS = 25  # in a batch
RATE = 200  # invocations a second
SECONDS = 5
ROUNDS = 3
CALLERS = 16
CONNECTIONS = 256  # of a client, at most
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
# A trivial model that tells how long it took itself, from the bytes that came to those that go.
MODEL = """
import json, time

def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return time.perf_counter(), json.loads(body)

def predict_fn(given, model):
    return given

def output_fn(given, accept):
    began, data = given
    return json.dumps({"data": data, "seconds": time.perf_counter() - began})
"""
TRUST = {
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}]
}
READ = {"Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}]}


def measure() -> Iterator[Figure]:
    """Every figure of `measured`, with its unit and its limit."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory() as directory:
        for name, value in dict(measured(Path(directory))).items():
            what, _, unit = name.rpartition(", ")
            measured_as = "best of several tries, the local AWS on two cores"
            yield Figure(f"local AWS: {what or unit}", measured_as, value, unit if what else "", LIMITS.get(name))


def measured(directory: Path) -> Iterator[tuple[str, float]]:
    """Every figure by its name."""
    with bare_ministack(directory / "bare") as process:
        bare = resident(process)
    starts = []
    for _ in range(STARTS):
        began = time.monotonic()
        with local_aws(directory / "aws") as (process, _):
            starts.append(time.monotonic() - began)
            ours = resident(process)
    yield "bare MiniStack, MB", bare
    yield "memory added to bare MiniStack, MB", ours - bare
    yield "ready after, s", min(starts)
    with local_aws(directory / "aws") as (process, client):
        endpoint = serve(client)
        sagemaker, runtime = client("sagemaker"), client("sagemaker-runtime")
        yield "describe, ms", 1000 * median(lambda: timed(sagemaker.describe_endpoint, EndpointName=endpoint))
        yield "invocation less model, ms", 1000 * median(lambda: overhead(runtime, endpoint))
        rounds = [dict(sustained(runtime, endpoint)) for _ in range(ROUNDS)]
        yield from min(rounds, key=lambda figures: figures["seconds that 200 invocations took"]).items()
        yield "invocations that failed", sum(figures["invocations that failed"] for figures in rounds)
        yield "memory afterwards, without the endpoint's process, MB", process.memory_info().rss / 1e6


def resident(process: psutil.Process) -> float:
    """The megabytes of an idle server and its children, once they no longer change."""
    last = 0
    while True:
        now = sum(part.memory_info().rss for part in (process, *process.children(recursive=True)))
        if abs(now - last) < 100_000:
            return now / 1e6
        last = now
        time.sleep(1)


@contextlib.contextmanager
def bare_ministack(home: Path) -> Iterator[psutil.Process]:
    """MiniStack alone, with the settings that the local AWS gives it, when it answers."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    cloud = Cloud(Store(home / "db"), home, f"http://{HOST}:{port}", ACCOUNT_ID, REGION, Credentials("AKIA", "secret"))
    settings = {"PATH": os.environ["PATH"], **environment(cloud, port)}
    (home / "tmp").mkdir()
    with stopped([sys.executable, "-m", "ministack"], settings, subprocess.DEVNULL) as process:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{cloud.url}/_ministack/health", trust_env=False).status_code:
                    break
            time.sleep(0.05)
        yield psutil.Process(process.pid)


@contextlib.contextmanager
def local_aws(home: Path, **settings: str) -> Iterator[tuple[psutil.Process, Callable[..., Any]]]:
    """The local AWS with these settings when it serves, and what makes clients of it; they try once by default."""
    settings |= {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LOCALAWS_"))}
    command = [sys.executable, "-m", "localaws", "--port", "0", "--home", str(home)]
    with stopped(command, settings, subprocess.PIPE) as process:
        output: Any = process.stdout
        url = output.readline().split()[-1]
        file = configparser.RawConfigParser()
        file.read(home / "credentials")
        session = boto3.session.Session(**file["default"], region_name=REGION)
        once = {"total_max_attempts": 1}

        def client(name: str, retries: dict[str, Any] = once) -> Any:
            config = botocore.config.Config(max_pool_connections=CONNECTIONS, retries=retries, proxies={})
            return session.client(name, endpoint_url=url, config=config)

        yield psutil.Process(process.pid), client


@contextlib.contextmanager
def stopped(command: list[str], settings: dict[str, str], stdout: int) -> Iterator[subprocess.Popen[str]]:
    """A process that is stopped at the end."""
    process = subprocess.Popen(command, env=settings, stdout=stdout, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def serve(client: Callable[[str], Any]) -> str:
    """An endpoint of the trivial model, in service."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        member = tarfile.TarInfo("code/inference.py")
        member.size = len(MODEL)
        tar.addfile(member, io.BytesIO(MODEL.encode()))
    client("s3").create_bucket(Bucket="bench")
    client("s3").put_object(Bucket="bench", Key="model.tar.gz", Body=archive.getvalue())
    role = client("iam").create_role(RoleName="bench", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    client("iam").put_role_policy(RoleName="bench", PolicyName="read", PolicyDocument=json.dumps(READ))
    sagemaker = client("sagemaker")
    container = {"Image": IMAGE, "ModelDataUrl": "s3://bench/model.tar.gz"}
    sagemaker.create_model(ModelName="bench", ExecutionRoleArn=role, PrimaryContainer=container)
    variant = {"ModelName": "bench", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(
        EndpointConfigName="bench", ProductionVariants=[{"VariantName": "AllTraffic", **variant}]
    )
    sagemaker.create_endpoint(EndpointName="bench", EndpointConfigName="bench")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="bench", WaiterConfig={"Delay": 1})
    return "bench"


def median(figure: Callable[[], float]) -> float:
    """The median of the fastest of several batches: what else the machine has to do comes and goes."""
    for _ in range(CALLS):
        figure()
    return min(statistics.median(figure() for _ in range(CALLS)) for _ in range(BATCHES))


def timed(call: Callable[..., Any], **request: Any) -> float:
    """Seconds until the answer is there."""
    began = time.perf_counter()
    call(**request)
    return time.perf_counter() - began


def overhead(runtime: Any, endpoint: str) -> float:
    """Seconds of one invocation that are not the model's."""
    began = time.perf_counter()
    answer = runtime.invoke_endpoint(EndpointName=endpoint, ContentType="application/json", Body=b"[1, 2, 3]")
    body = json.loads(answer["Body"].read())
    return time.perf_counter() - began - float(body["seconds"])


def signed(runtime: Any, endpoint: str) -> Any:
    """An invocation as the client sends it."""
    sent: list[Any] = []
    runtime.meta.events.register_first("before-send", lambda request, **_: sent.append(request), unique_id="signed")
    overhead(runtime, endpoint)
    runtime.meta.events.unregister("before-send", unique_id="signed")
    return sent[0]


def sustained(runtime: Any, endpoint: str) -> Iterator[tuple[str, float]]:
    """Invocations that fall due at a steady rate, whether earlier ones have been answered or not.

    They are all the same request, signed once: who calls AWS does not take its processors.
    """
    request = signed(runtime, endpoint)
    connections = threading.local()
    latencies: list[float] = []
    failures: list[object] = []
    begin = time.monotonic() + 0.5

    def one(number: int) -> None:
        due = begin + number / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            if not hasattr(connections, "mine"):
                connections.mine = http.client.HTTPConnection(urlsplit(request.url).netloc, timeout=60)
            connections.mine.request("POST", urlsplit(request.url).path, request.body, dict(request.headers))
            answer = connections.mine.getresponse()
            if (body := answer.read()) and answer.status != 200:
                failures.append(body)
        except (OSError, http.client.HTTPException) as error:
            del connections.mine
            failures.append(error)
        latencies.append(time.monotonic() - due)

    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(one, range(RATE * SECONDS)))
    took = time.monotonic() - begin
    yield "invocations that failed", len(failures)
    yield "seconds that 200 invocations took", took / SECONDS
    yield f"latency at {RATE} a second, median, ms", 1000 * statistics.median(latencies)
    yield f"latency at {RATE} a second, 99th percentile, ms", 1000 * statistics.quantiles(latencies, n=100)[98]


if __name__ == "__main__":
    main(measure)
