"""Clients of AWS for tasks, by Airflow's own connection."""

from typing import Any

from kennel.config import Classifier


def client(classifier: Classifier, service: str) -> Any:
    """A boto3 client by the connection `aws_default`."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
    from botocore.config import Config

    # boto3 still presigns with SigV2 in us-east-1 unless told otherwise.
    config = Config(signature_version="s3v4") if service == "s3" else None
    return AwsBaseHook(client_type=service, region_name=classifier.region, config=config).conn
