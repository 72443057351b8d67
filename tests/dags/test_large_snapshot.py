"""A data set of a million photos is snapshotted in a task's process within 512 MB."""

import datetime
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

PHOTOS = 1_000_000
PAGE = 1000
LIMIT_KB = 512 * 1024
FIRST = datetime.date(2026, 1, 1)
SPLITS = ("test", "valid", *["train"] * 8)

# What the task `snapshot` does, with what its process has imported by then.
TASK = """
import datetime, json, re, sys
import airflow.sdk.execution_time.task_runner
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from kennel import registry, snapshot
from kennel.config import load
from kennel.names import Names
from kennel.operators import hosting, jobs

def peak_kb():
    # not getrusage: its figure starts with that of the process that started this one
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1])

names, s3 = Names.of(load("dogs")), AwsBaseHook(client_type="s3", region_name="us-east-1").conn
before = peak_kb()
chosen = snapshot.choose(snapshot.listed(s3, names), datetime.date(2026, 12, 31))
snapshot.write(s3, names, chosen)
print(json.dumps({"summary": chosen.summary(), "before_kb": before, "peak_kb": peak_kb()}))
"""


def key(number: int) -> str:
    """The photos lie in 100 partitions, three splits and 133 classes."""
    day = FIRST + datetime.timedelta(days=number * 100 // PHOTOS)
    breed = number % 133 + 1
    name = f"{breed:03}.Nova_scotia_duck_tolling_retriever_{breed}"
    return f"dt={day}/{SPLITS[number % 10]}/{name}/Nova_scotia_duck_tolling_retriever_{number:08}.jpg"


def is_copy(number: int) -> bool:
    """One photo in a hundred, of the training ones, has the content of a test photo."""
    return number % 100 == 5


class Bucket(BaseHTTPRequestHandler):
    """An S3 bucket of so many photos: ListObjectsV2 and PutObject."""

    protocol_version = "HTTP/1.1"
    stored: dict[str, bytes]

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        assert query["list-type"] == ["2"]
        start = int(query.get("continuation-token", ["0"])[0])
        items = "".join(
            f"<Contents><Key>{query['prefix'][0]}{key(number)}</Key><LastModified>2026-11-22T03:00:00.000Z"
            f"</LastModified><ETag>&quot;{number - 5 if is_copy(number) else number:032x}&quot;</ETag>"
            "<Size>123456</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for number in range(start, start + PAGE)
        )
        last = start + PAGE == PHOTOS
        token = "" if last else f"<NextContinuationToken>{start + PAGE}</NextContinuationToken>"
        self._answer(
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(not last).lower()}</IsTruncated>{token}{items}</ListBucketResult>".encode()
        )

    def do_PUT(self) -> None:
        self.stored[self.path.rpartition("/")[2]] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def bucket() -> Iterator[tuple[str, dict[str, bytes]]]:
    """The bucket's address, and what is put into it."""
    handler = type("Bucket", (Bucket,), {"stored": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler.stored  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


def test_a_million_photos_fit_in_a_task(bucket: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    url, stored = bucket
    variables = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": url,
        "AWS_ENDPOINT_URL_S3": url,
        "KENNEL_ACCOUNT_ID": "123456789012",
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run([sys.executable, "-c", TASK], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"before {found['before_kb'] // 1024} MB, at most {found['peak_kb'] // 1024} MB")
    assert found["peak_kb"] < LIMIT_KB

    assert found["summary"] | {"version": ""} == {
        "version": "",
        "photos": {"test": 100_000, "valid": 100_000, "train": 790_000},
        "classes": 133,
        "duplicates": 10_000,
        "days": {"first": "2026-01-01", "last": "2026-04-10", "count": 100},
    }
    for split in ("test", "valid", "train"):
        prefix, *keys = json.loads(stored[f"{split}.manifest"])
        assert prefix == {"prefix": "s3://kennel-dogs-123456789012-us-east-1/datasets/dogs/"}
        numbers = (number for number in range(PHOTOS) if SPLITS[number % 10] == split and not is_copy(number))
        assert keys == sorted(map(key, numbers))
