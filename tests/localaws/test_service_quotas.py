"""Service Quotas, as a preflight check reads them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import LocalAws
from tests.localaws.jobs import refused

GPU = {"ServiceCode": "ec2", "QuotaCode": "L-DB2E81BA"}


@pytest.fixture(scope="module")
def quotas(local_aws: LocalAws) -> Any:
    return local_aws.client("service-quotas")


@pytest.fixture
def overrides(local_aws: LocalAws) -> Iterator[Any]:
    file = local_aws.home / "quotas.json"
    yield file
    file.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("service", "code", "name", "value", "default"),
    [
        ("ec2", "L-DB2E81BA", "Running On-Demand G and VT instances", 0, 0),
        ("ec2", "L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests", 0, 0),
        ("lambda", "L-B99A9384", "Concurrent executions", 10, 1000),
        ("sagemaker", "L-CCE2AFA6", "ml.m5.xlarge for training job usage", 0, 0),
        ("sagemaker", "L-29C181D7", "ml.t2.medium for endpoint usage", 2, 2),
    ],
)
def test_quotas_are_those_of_a_fresh_account(
    quotas: Any, service: str, code: str, name: str, value: float, default: float
) -> None:
    quota = quotas.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]
    assert (quota["QuotaName"], quota["Value"]) == (name, value)
    usual = quotas.get_aws_default_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]
    assert (usual["QuotaName"], usual["Value"]) == (name, default)


def test_quotas_are_listed_in_pages(quotas: Any) -> None:
    pages = list(
        quotas.get_paginator("list_service_quotas").paginate(ServiceCode="ec2", PaginationConfig={"PageSize": 4})
    )
    codes = [quota["QuotaCode"] for page in pages for quota in page["Quotas"]]
    assert len(pages) > 1
    assert {"L-DB2E81BA", "L-417A185B", "L-3819A6DF", "L-7212CCBC"} <= set(codes)
    assert len(set(codes)) == len(codes)
    one = quotas.list_service_quotas(ServiceCode="ec2", QuotaCode="L-DB2E81BA")["Quotas"]
    assert [quota["QuotaCode"] for quota in one] == ["L-DB2E81BA"]


def test_a_file_gives_other_values(quotas: Any, overrides: Any) -> None:
    overrides.write_text(json.dumps({GPU["QuotaCode"]: 8}))
    assert quotas.get_service_quota(**GPU)["Quota"]["Value"] == 8
    assert quotas.get_aws_default_service_quota(**GPU)["Quota"]["Value"] == 0


def test_what_is_not_there_is_refused(quotas: Any) -> None:
    assert refused(quotas.get_service_quota, ServiceCode="ec2", QuotaCode="L-00000000")[0] == "NoSuchResourceException"
    assert refused(quotas.list_service_quotas, ServiceCode="absent")[0] == "NoSuchResourceException"
    assert refused(quotas.request_service_quota_increase, **GPU, DesiredValue=8)[0] == "UnknownOperationException"
    assert refused(quotas.list_service_quotas, ServiceCode="ec2", NextToken="a")[0] == "InvalidPaginationTokenException"


def test_a_role_needs_the_right_to_read_them(local_aws: LocalAws) -> None:
    reads = {"Effect": "Allow", "Action": "servicequotas:GetServiceQuota", "Resource": "*"}
    reader = local_aws.client("service-quotas", **local_aws.role(reads))
    assert reader.get_service_quota(**GPU)["Quota"]["QuotaCode"] == GPU["QuotaCode"]
    code, message = refused(reader.list_service_quotas, ServiceCode="ec2")
    assert (code, "servicequotas:ListServiceQuotas" in message) == ("AccessDeniedException", True)
