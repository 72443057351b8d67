"""What training jobs leave in S3."""

import io
import json
import tarfile
from typing import Any

from tests.conftest import LocalAws


def files(local_aws: LocalAws, address: str) -> dict[str, bytes]:
    """The files of a tar.gz."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    content = local_aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        members = [(member.name, tar.extractfile(member)) for member in tar.getmembers()]
        return {name.removeprefix("./"): file.read() for name, file in members if file}


def unpacked(local_aws: LocalAws, address: str) -> dict[str, Any]:
    """The JSON files of a tar.gz, read."""
    return {name: json.loads(content) for name, content in files(local_aws, address).items()}
