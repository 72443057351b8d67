"""Clients by Airflow's connection."""

import pytest

from kennel.aws import client
from kennel.config import load


@pytest.mark.parametrize(
    ("region", "host"), [("us-east-1", "dogs.s3.amazonaws.com"), ("eu-west-1", "dogs.s3.eu-west-1.amazonaws.com")]
)
def test_presigns_for_a_host_that_sends_nobody_on(region: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", '{"conn_type": "aws", "login": "id", "password": "secret"}')
    dogs = load("dogs", {"KENNEL_ACCOUNT_ID": "000000000000"}).model_copy(update={"region": region})
    url = client(dogs, "s3").generate_presigned_url("get_object", {"Bucket": "dogs", "Key": "a b.jpg"})
    assert url.startswith(f"https://{host}/a%20b.jpg?X-Amz-Algorithm=AWS4-HMAC-SHA256")
