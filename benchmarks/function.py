"""What the invocation function adds: its cold start and its own time, beside a beginner's handler.

    python -m benchmarks.function

The endpoint is a server here that answers at once with 133 scores. A cold start is a fresh interpreter from the import
of the handler to its first answer, the memory the most that this interpreter had.
"""

import base64
import http.server
import json
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.figures import Figure, main
from benchmarks.photos import ROOT, photos

COLD_ROUNDS = 15
WARM_CALLS = 400
ANSWER = json.dumps({"scores": [[0.01 * i for i in range(133)]], "labels": [f"Breed_{i}" for i in range(133)]}).encode()
OURS = ("lambda", "invoke_endpoint.handler")
BASELINE = ("benchmarks/baseline", "lambda_function")
COLD = """
import json, sys, time
event = json.load(sys.stdin)
began = time.perf_counter()
import {module} as handler
assert handler.lambda_handler(event, None)["statusCode"] == 200
seconds = time.perf_counter() - began
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps([seconds, int(peak) / 1024]), file=sys.stderr)
"""
# The function's time, and that of nothing but the request that it makes, in turn on the same kind of connection.
WARM = """
import http.client, json, os, statistics, sys, time
from urllib.parse import urlsplit
from invoke_endpoint.handler import lambda_handler
import base64
event = json.load(sys.stdin)
photo, host = base64.b64decode(event["image"]), urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
connection = http.client.HTTPConnection(host)
def call():
    connection.request("POST", "/endpoints/dogs/invocations", photo, {{"Content-Type": "image/jpeg"}})
    connection.getresponse().read()
def timed(what):
    began = time.perf_counter()
    what()
    return time.perf_counter() - began
pairs = [(timed(lambda: lambda_handler(event, None)), timed(call)) for _ in range({calls})]
print(json.dumps([statistics.median(side) for side in zip(*pairs[20:])]), file=sys.stderr)
"""


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Answers every invocation with the same scores."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """One invocation."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def endpoint() -> Iterator[str]:
    """The address of a server of such answers."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


def told(code: str, folder: str, url: str, event: dict[str, str]) -> list[float]:
    """What a fresh interpreter says of itself."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / folder),
        "ENDPOINT_NAME": "dogs",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL": url,
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        input=json.dumps(event),
        capture_output=True,
        text=True,
        check=True,
    )
    answer: list[float] = json.loads(done.stderr.splitlines()[-1])
    return answer


def measure() -> Iterator[Figure]:
    """The sides take turns."""
    with photos() as data, endpoint() as url:
        photo = min((data / "test").glob("*/*.jpg"))
        event = {"image": base64.b64encode(photo.read_bytes()).decode()}
        cold: dict[str, list[list[float]]] = {"ours": [], "baseline": []}
        for _ in range(COLD_ROUNDS):
            for side, (folder, module) in (("ours", OURS), ("baseline", BASELINE)):
                cold[side].append(told(COLD.format(module=module), folder, url, event))
        function, call = told(WARM.format(calls=WARM_CALLS), OURS[0], url, event)
    seconds, memory = (
        {side: statistics.median(values[kind] for values in rounds) for side, rounds in cold.items()} for kind in (0, 1)
    )
    measured = "import to first answer, over a beginner's handler with a boto3 client a call; same interpreter"
    for name, goal, values, unit in (("time", 0.2, seconds, "s"), ("memory", 0.5, memory, "MB")):
        detail = {f"{side}, {unit}": value for side, value in values.items()}
        yield Figure(
            f"Lambda, cold, {name}", measured, values["ours"] / values["baseline"], "times", goal, detail=detail
        )
    yield Figure(
        "Lambda, warm",
        "the function's median less that of the request to the endpoint alone, photo in the event",
        1000 * (function - call),
        "ms",
        3,
        detail={"function, ms": 1000 * function, "request alone, ms": 1000 * call},
    )


if __name__ == "__main__":
    main(measure)
