"""Ask the endpoint about the photo whose address is in the event."""

import json
import logging
from typing import Any

import boto3

logger = logging.getLogger()
logger.setLevel(logging.INFO)

ENDPOINT = "pytorch-dog-breeds"
client = boto3.Session().client("sagemaker-runtime")


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    print("event:", event)
    logger.info("request %s has %s ms left", context.aws_request_id, context.get_remaining_time_in_millis())
    response = client.invoke_endpoint(
        EndpointName=ENDPOINT, ContentType="application/json", Accept="application/json", Body=json.dumps(event)
    )
    answer = response["Body"].read().decode("utf-8")
    print("answer:", answer)
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"},
        "body": json.dumps(json.loads(answer)),
    }
