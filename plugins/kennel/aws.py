"""Clients of AWS for tasks, by Airflow's own connection."""

import os
from typing import Any

from kennel.config import Classifier


def client(classifier: Classifier, service: str) -> Any:
    """A boto3 client by the connection `aws_default`."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
    from botocore.config import Config

    config = None
    if service == "s3":
        # boto3 still presigns with SigV2 in us-east-1 unless told otherwise, and for other regions with a host that
        # sends one on to the region's until the bucket's name has spread, where the signature is wrong.
        addressing = {} if os.environ.get("AWS_ENDPOINT_URL") else {"addressing_style": "virtual"}
        config = Config(signature_version="s3v4", s3=addressing)
    return AwsBaseHook(client_type=service, region_name=classifier.region, config=config).conn
