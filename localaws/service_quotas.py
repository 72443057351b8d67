"""Service Quotas, to be read: what a fresh account may use. DIR/quotas.json, `{"L-DB2E81BA": 8}`, says otherwise."""

import json
from dataclasses import dataclass

from localaws.cloud import Cloud, Handler, Request, Response
from localaws.errors import AwsError
from localaws.paging import page

OVERRIDES = "quotas.json"
PAGE = 100
SERVICES = {
    "ec2": "Amazon Elastic Compute Cloud (Amazon EC2)",
    "lambda": "AWS Lambda",
    "sagemaker": "Amazon SageMaker",
}


@dataclass(frozen=True)
class Quota:
    """One quota: `value` is AWS's default, `fresh` what a new account gets instead."""

    service: str
    code: str
    name: str
    value: float
    fresh: float | None = None


# Instances by vCPU, or by count, that run at a time.
QUOTAS = (
    Quota("ec2", "L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 5),
    Quota("ec2", "L-DB2E81BA", "Running On-Demand G and VT instances", 0),
    Quota("ec2", "L-417A185B", "Running On-Demand P instances", 0),
    Quota("ec2", "L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 5),
    Quota("ec2", "L-3819A6DF", "All G and VT Spot Instance Requests", 0),
    Quota("ec2", "L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests", 0),
    Quota("lambda", "L-B99A9384", "Concurrent executions", 1000, fresh=10),
    Quota("sagemaker", "L-611FA074", "ml.m5.large for training job usage", 0),
    Quota("sagemaker", "L-CCE2AFA6", "ml.m5.xlarge for training job usage", 0),
    Quota("sagemaker", "L-E2BB44FE", "ml.c5.xlarge for training job usage", 0),
    Quota("sagemaker", "L-49679826", "ml.c5.2xlarge for training job usage", 0),
    Quota("sagemaker", "L-3F53BF0F", "ml.g4dn.xlarge for training job usage", 0),
    Quota("sagemaker", "L-4CEE6BA6", "ml.m5.xlarge for spot training job usage", 4),
    Quota("sagemaker", "L-8541302D", "ml.m5.large for processing job usage", 0),
    Quota("sagemaker", "L-0307F515", "ml.m5.xlarge for processing job usage", 0),
    Quota("sagemaker", "L-2F1EB012", "ml.g4dn.xlarge for processing job usage", 0),
    Quota("sagemaker", "L-236AE59F", "ml.m5.large for transform job usage", 0),
    Quota("sagemaker", "L-7939E4EC", "ml.m5.xlarge for transform job usage", 0),
    Quota("sagemaker", "L-29C181D7", "ml.t2.medium for endpoint usage", 2),
    Quota("sagemaker", "L-614B09FD", "ml.m5.large for endpoint usage", 0),
    Quota("sagemaker", "L-2F737F8D", "ml.m5.xlarge for endpoint usage", 0),
    Quota("sagemaker", "L-B67CFA0C", "ml.g4dn.xlarge for endpoint usage", 0),
    Quota("sagemaker", "L-1928E07B", "ml.g5.xlarge for endpoint usage", 0),
)


def list_service_quotas(cloud: Cloud, request: Request) -> Response:
    """ListServiceQuotas: the applied values."""
    found = [quota for quota in _of(request["ServiceCode"]) if request.get("QuotaCode") in (None, quota.code)]
    shown, more = page(found, request, PAGE, "InvalidPaginationTokenException")
    applied = _overrides(cloud)
    return {"Quotas": [_described(cloud, quota, applied.get(quota.code)) for quota in shown], **more}


def get_service_quota(cloud: Cloud, request: Request) -> Response:
    """GetServiceQuota: the applied value."""
    quota = _find(request)
    return {"Quota": _described(cloud, quota, _overrides(cloud).get(quota.code))}


def get_aws_default_service_quota(cloud: Cloud, request: Request) -> Response:
    """GetAWSDefaultServiceQuota: the value before any change of it."""
    quota = _find(request)
    return {"Quota": _described(cloud, quota, quota.value)}


def _of(service: str) -> list[Quota]:
    if service not in SERVICES:
        raise AwsError("NoSuchResourceException", f"The local AWS knows no quotas of the service {service}.")
    return [quota for quota in QUOTAS if quota.service == service]


def _find(request: Request) -> Quota:
    for quota in _of(request["ServiceCode"]):
        if quota.code == request["QuotaCode"]:
            return quota
    raise AwsError(
        "NoSuchResourceException",
        f"The request failed because the specified service quota {request['QuotaCode']} does not exist.",
    )


def _overrides(cloud: Cloud) -> dict[str, float]:
    file = cloud.home / OVERRIDES
    try:
        given = json.loads(file.read_text()) if file.exists() else {}
        return {str(code): float(value) for code, value in given.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise AwsError("ServiceException", f'{file} must hold quotas as {{"L-DB2E81BA": 8}}: {error}', 500) from None


def _described(cloud: Cloud, quota: Quota, value: float | None) -> Response:
    applied = quota.value if quota.fresh is None else quota.fresh
    return {
        "ServiceCode": quota.service,
        "ServiceName": SERVICES[quota.service],
        "QuotaArn": cloud.arn("servicequotas", f"{quota.service}/{quota.code}"),
        "QuotaCode": quota.code,
        "QuotaName": quota.name,
        "Value": float(applied if value is None else value),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
        "QuotaAppliedAtLevel": "ACCOUNT",
    }


OPERATIONS: dict[str, Handler] = {
    "ListServiceQuotas": list_service_quotas,
    "GetServiceQuota": get_service_quota,
    "GetAWSDefaultServiceQuota": get_aws_default_service_quota,
}
SIMPLIFIED: dict[str, str] = dict.fromkeys(
    OPERATIONS,
    "Some quotas of EC2, Lambda and SageMaker, with the values of a fresh account or those of quotas.json in the home "
    "directory; nothing here is limited by them.",
)
