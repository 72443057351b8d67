"""What SageMaker does around a training script, on a plain EC2 instance: fetch, run in script mode, store the model.

`python instance.py '{"bucket": ..., "channels": {"embeddings": "embeddings/dogs/..."}, ...}'` (see `Work`), sent by AWS
Systems Manager. The channels arrive where a training job has them, the script gets the same variables and arguments,
and its output is that of this process. Exit code 0: the model is stored. 65: the script or its input is at fault, and
the reason is the one line on stderr. Any other: something that may pass.
"""

import json
import os
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

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
    """Put the channels in place: each object under its key from the prefix's last slash on, as SageMaker does.

    A key or a manifest that leads out of a channel ends the process.
    """
    for name, prefix in work.channels.items():
        channel, start = BASE / "input/data" / name, prefix.rfind("/") + 1
        if prefix.endswith(".manifest"):
            fetch_listed(s3, work.bucket, prefix, channel)
            continue
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=work.bucket, Prefix=prefix):
            for item in page.get("Contents", ()):
                target = inside(channel, item["Key"][start:])
                target.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(work.bucket, item["Key"], str(target))


def fetch_listed(s3: Any, bucket: str, manifest: str, channel: Path) -> None:
    """Put the objects in place that a manifest lists (SageMaker's ManifestFile), each by its name below the prefix."""
    prefix, listed = read_manifest(s3.get_object(Bucket=bucket, Key=manifest)["Body"].read(), bucket, manifest)
    places = [inside(channel, name) for name in listed]

    def download(name: str, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(s3.get_object(Bucket=bucket, Key=prefix + name)["Body"].read())

    with ThreadPoolExecutor(10) as pool:  # as many as boto3 keeps connections
        list(pool.map(download, listed, places))


def read_manifest(content: bytes, bucket: str, manifest: str) -> tuple[str, list[str]]:
    """The prefix in the bucket and the names below it. Ends the process for what is no manifest of this bucket."""
    try:
        root, *listed = json.loads(content)
        prefix: str = root["prefix"]
        fine = prefix.startswith(f"s3://{bucket}/") and all(isinstance(name, str) and name for name in listed)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        fine = False
    if not fine:
        fail(f"{manifest} is not a manifest of photos in s3://{bucket}/: trigger the run again, which writes it anew")
    return prefix.removeprefix(f"s3://{bucket}/"), listed


def inside(channel: Path, name: str) -> Path:
    """Where an object of this name goes. Ends the process when that would not be in the channel."""
    if not name.isprintable() or name.startswith("/") or ".." in name.split("/"):
        fail(f"{name!r} is not a safe key: delete the object, and push the photo under another name")
    return channel / name


def fail(reason: str) -> NoReturn:
    """End the process: it is not worth another try."""
    print(reason, file=sys.stderr)
    sys.exit(AT_FAULT)


def train(work: Work) -> None:
    """Run the script. A failure ends this process with the script's reason on stderr."""
    for folder in (BASE / "model", BASE / "output/data"):
        folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(Path(__file__).with_name("train.py")), *work.arguments()]
    # stderr is for the reason alone: Systems Manager keeps only its beginning, and tracebacks are long
    done = subprocess.run(command, env={**os.environ, **work.environment()}, stderr=sys.stdout, check=False)
    if done.returncode:
        reason = FAILURE.read_text() if FAILURE.is_file() else f"train.py ended with exit code {done.returncode}"
        fail(reason)


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
