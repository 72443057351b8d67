"""What SageMaker does around a training script, on a plain EC2 instance: fetch, run in script mode, store the model.

`python instance.py '{"bucket": ..., "channels": {"embeddings": "embeddings/dogs/..."}, ...}'` (see `Work`), sent by AWS
Systems Manager. The channels arrive where a training job has them, the script gets the same variables and arguments,
and its output is that of this process. Exit code 0: the model is stored. 65: the script is at fault, and its reason is
the one line on stderr. Any other: something that may pass.
"""

import json
import os
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from job import BASE, FAILURE

AT_FAULT = 65


@dataclass(frozen=True)
class Work:
    """One training: where its channels are in the bucket, and where its model goes with which metadata."""

    bucket: str
    channels: dict[str, str]
    hyperparameters: dict[str, str]
    model: str
    metadata: dict[str, str]

    def environment(self) -> dict[str, str]:
        """The variables of script mode that a script on one instance may rely on."""
        channels = {f"SM_CHANNEL_{name.upper()}": str(BASE / "input/data" / name) for name in self.channels}
        return {
            **channels,
            "SM_MODEL_DIR": str(BASE / "model"),
            "SM_OUTPUT_DATA_DIR": str(BASE / "output/data"),
            "SM_HOSTS": '["algo-1"]',
            "SM_CURRENT_HOST": "algo-1",
            "SM_HPS": json.dumps(self.hyperparameters),
        }

    def arguments(self) -> list[str]:
        """The hyperparameters as the script's arguments."""
        return [part for name, value in sorted(self.hyperparameters.items()) for part in (f"--{name}", value)]


def fetch(s3: Any, work: Work) -> None:
    """Put the channels in place: each object under its key from the prefix's last slash on, as SageMaker does."""
    for name, prefix in work.channels.items():
        channel, start = BASE / "input/data" / name, prefix.rfind("/") + 1
        if prefix.endswith(".manifest"):
            fetch_listed(s3, work.bucket, prefix, channel)
            continue
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=work.bucket, Prefix=prefix):
            for item in page.get("Contents", ()):
                target = channel / item["Key"][start:]
                target.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(work.bucket, item["Key"], str(target))


def fetch_listed(s3: Any, bucket: str, manifest: str, channel: Path) -> None:
    """Put the objects in place that a manifest lists (SageMaker's ManifestFile), each by its name below the prefix."""
    root, *listed = json.loads(s3.get_object(Bucket=bucket, Key=manifest)["Body"].read())
    prefix = root["prefix"].removeprefix(f"s3://{bucket}/")

    def download(name: str) -> None:
        (channel / name).parent.mkdir(parents=True, exist_ok=True)
        (channel / name).write_bytes(s3.get_object(Bucket=bucket, Key=prefix + name)["Body"].read())

    with ThreadPoolExecutor(10) as pool:  # as many as boto3 keeps connections
        list(pool.map(download, listed))


def train(work: Work) -> None:
    """Run the script. A failure ends this process with the script's reason on stderr."""
    for folder in (BASE / "model", BASE / "output/data"):
        folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(Path(__file__).with_name("train.py")), *work.arguments()]
    # stderr is for the reason alone: Systems Manager keeps only its beginning, and tracebacks are long
    done = subprocess.run(command, env={**os.environ, **work.environment()}, stderr=sys.stdout, check=False)
    if done.returncode:
        reason = FAILURE.read_text() if FAILURE.is_file() else f"train.py ended with exit code {done.returncode}"
        print(reason, file=sys.stderr)
        sys.exit(AT_FAULT)


def store(s3: Any, work: Work) -> None:
    """Put the model directory into the bucket, as SageMaker does."""
    archive = BASE / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted((BASE / "model").iterdir()):
            tar.add(path, arcname=path.name)
    s3.upload_file(str(archive), work.bucket, work.model, ExtraArgs={"Metadata": work.metadata})


def main(argument: str) -> None:
    """Do the whole of it."""
    work, s3 = Work(**json.loads(argument)), boto3.client("s3")
    fetch(s3, work)
    print(f"train.py {' '.join(work.arguments())}", flush=True)
    train(work)
    store(s3, work)
    print(f"stored s3://{work.bucket}/{work.model}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
