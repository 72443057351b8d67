"""How many times as fast two instances embed photos as one does, each instance held to one core.

    python -m benchmarks.sharding

Drawn dogs go through the local AWS as `retrain` would send them there: its snapshot, its request, its code, the small
backbone. The seconds are those between a job's ProcessingStartTime and ProcessingEndTime: photos in, vectors out.
"""

import datetime
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, main
from benchmarks.localaws import CALLERS, local_aws
from kennel import code, names, snapshot
from kennel.config import ROOT, Classifier, load
from kennel.local.account import deploy_foundation
from kennel.names import Names
from kennel.specs.jobs import INPUT, Data, embed_job
from localaws.__main__ import ACCOUNT_ID

PHOTOS = 10_000
INSTANCES = (1, 2)
DAY = datetime.date(2026, 1, 1)
DRAWN = ("--breeds", "12", "--train", "8", "--valid", "1", "--test", "1")
# Stands before embed.py: each instance takes the core of its number.
ONE_CORE = """
import json, os, sys
cluster = json.load(open("/opt/ml/config/resourceconfig.json"))
cores = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, {cores[cluster["hosts"].index(cluster["current_host"])]})
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def measure() -> Iterator[Figure]:
    """The same job on one instance and on two."""
    dogs = load("dogs", {"KENNEL_ACCOUNT_ID": ACCOUNT_ID, "KENNEL_BACKBONE": "efficientnet_lite0"})
    with tempfile.TemporaryDirectory() as home, local_aws(Path(home)) as (_, client):
        deploy_foundation(client, Names.of(dogs))
        push(client("s3"), dogs, PHOTOS, Path(home))
        data = publish(client("s3"), dogs)
        seconds = {count: embed(client("sagemaker"), dogs, data, count) for count in INSTANCES}
    yield Figure(
        "training at scale",
        f"seconds of embedding {PHOTOS:,} photos with the small backbone on one instance over those on two, sharded by "
        "key, each instance held to one core",
        seconds[1] / seconds[2],
        "times",
        1.9,
        "more",
        "The local AWS and what asks it take a tenth of a core, from the two that two instances fill.",
        detail={f"on {count}, s": took for count, took in seconds.items()},
    )


def push(s3: Any, dogs: Classifier, photos: int, folder: Path) -> None:
    """That many photos into the bucket: a few drawn ones again and again, each with a tail that no decoder reads."""
    subprocess.run(
        [sys.executable, str(ROOT / "ml" / "sketch.py"), str(folder / "dogs"), *DRAWN],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    drawn = sorted((folder / "dogs").glob("*/*/*.jpg"))

    def put(number: int) -> None:
        file = drawn[number % len(drawn)]
        place = file.parent.relative_to(folder / "dogs")
        key = f"{Names.of(dogs).datasets}dt={DAY}/{place}/{number:06}.jpg"
        s3.put_object(Bucket=Names.of(dogs).bucket, Key=key, Body=file.read_bytes() + str(number).encode())

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(put, range(photos)))


def publish(s3: Any, dogs: Classifier) -> Data:
    """The photos' snapshot, the weights and the code, with what holds it to one core."""
    at, backbone = Names.of(dogs), dogs.embed.backbone
    chosen = snapshot.choose(snapshot.listed(s3, at), DAY)
    snapshot.write(s3, at, chosen)
    code.publish_weights(s3, at.bucket, backbone, dogs.backbones[backbone])
    data = Data("sharding", chosen.version, code.publish_code(s3, at.bucket, ROOT / "ml"))
    s3.put_object(Bucket=at.bucket, Key=f"{names.code(data.code)}src/one_core.py", Body=ONE_CORE.encode())
    return data


def embed(sagemaker: Any, dogs: Classifier, data: Data, instances: int) -> float:
    """The seconds of the embed job on so many instances."""
    settings = dogs.embed.model_copy(update={"instance_count": instances})
    body = embed_job(dogs.model_copy(update={"embed": settings}), data)
    name = body["ProcessingJobName"] = f"instances-{instances}"
    body["AppSpecification"]["ContainerEntrypoint"].insert(1, f"{INPUT}/code/one_core.py")
    sagemaker.create_processing_job(**body)
    while (job := sagemaker.describe_processing_job(ProcessingJobName=name))["ProcessingJobStatus"] == "InProgress":
        time.sleep(1)
    if job["ProcessingJobStatus"] != "Completed":
        raise SystemExit(f"the job on {instances} instances failed: {job.get('ExitMessage') or job['FailureReason']}")
    took: float = (job["ProcessingEndTime"] - job["ProcessingStartTime"]).total_seconds()
    return took


if __name__ == "__main__":
    main(measure)
