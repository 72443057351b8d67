"""Clients of AWS for tasks, by Airflow's own connection."""

from typing import Any

from kennel.config import Classifier


def client(classifier: Classifier, service: str) -> Any:
    """A boto3 client by the connection `aws_default`."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

    return AwsBaseHook(client_type=service, region_name=classifier.region).conn
