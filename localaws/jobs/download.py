"""The process that downloads many objects for a job, while the server serves them.

`python -m localaws.jobs.download`, with `{"bucket": .., "named": [[key, name], ..], "target": directory}` as its input,
and with S3 and the job's rights in its environment. Exit status 1 has its reason as the last line on stderr.
"""

import json
import sys
from pathlib import Path

import boto3

from localaws.jobs import s3


def main() -> None:
    """Do it."""
    work = json.load(sys.stdin)
    try:
        s3.download_named(boto3.client("s3"), work["bucket"], work["named"], Path(work["target"]), lambda: None)
    except s3.TransferError as error:
        sys.exit(" ".join(str(error).split()))


if __name__ == "__main__":
    main()
