"""A beginner's Lambda function: a boto3 client for every call."""

import base64
import json
import os
from typing import Any

import boto3


def lambda_handler(event: dict[str, str], context: object) -> dict[str, Any]:
    """The endpoint's scores of the photo, base64 in `image`."""
    runtime = boto3.client("sagemaker-runtime")
    response = runtime.invoke_endpoint(
        EndpointName=os.environ["ENDPOINT_NAME"], ContentType="image/jpeg", Body=base64.b64decode(event["image"])
    )
    result = json.loads(response["Body"].read())
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"},
        "body": json.dumps(result["scores"]),
    }
