"""Whether the account's quotas have room for an instance, asked before anything is paid for."""

import re
from dataclasses import dataclass
from typing import Any

from kennel.specs.ec2 import RUN_TAG

RUNNING = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]


class QuotaError(ValueError):
    """A quota without enough room; `lasting` when it would not have it with nothing else running either."""

    def __init__(self, message: str, *, lasting: bool) -> None:
        super().__init__(message)
        self.lasting = lasting


@dataclass(frozen=True)
class Family:
    """The instance types that share a quota, by the letters of their names, and its codes by market."""

    letters: frozenset[str]
    codes: dict[str, str]

    def has(self, instance_type: str) -> bool:
        """Whether an instance type is one of them."""
        return re.split(r"[^a-z]", instance_type, maxsplit=1)[0] in self.letters


FAMILIES = (
    Family(
        frozenset({"a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"}),
        {"on-demand": "L-1216C47A", "spot": "L-34B43A08"},
    ),
    Family(frozenset({"g", "gr", "vt"}), {"on-demand": "L-DB2E81BA", "spot": "L-3819A6DF"}),
    Family(frozenset({"p"}), {"on-demand": "L-417A185B", "spot": "L-7212CCBC"}),
)


def market_with_room(ec2: Any, quotas: Any, instance_type: str, market: str, run: str) -> tuple[str, list[str]]:
    """The market that a run's instance is to be launched in, and what was found: a line for each quota asked.

    Without room for a Spot instance it is on-demand. Instances of the run itself are not counted: it adopts them.
    Raises QuotaError when there is no room there either, and for a type whose quota is not known here.
    """
    try:
        return market, [check(ec2, quotas, instance_type, market, run)]
    except QuotaError as error:
        if market == "on-demand":
            raise
        return "on-demand", [str(error), check(ec2, quotas, instance_type, "on-demand", run)]


def check(ec2: Any, quotas: Any, instance_type: str, market: str, run: str) -> str:
    """What an instance needs of its quota and what there is, in one line. Raises QuotaError with such a line."""
    family = next((family for family in FAMILIES if family.has(instance_type)), None)
    if family is None:
        raise QuotaError(
            f"{instance_type} has a quota of its own that Kennel does not check: choose an instance_type of the "
            "families A, C, D, G, H, I, M, P, R, T, VT or Z",
            lasting=True,
        )
    running = [
        instance["InstanceType"]
        for page in ec2.get_paginator("describe_instances").paginate(Filters=RUNNING)
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
        if family.has(instance["InstanceType"])
        and instance.get("InstanceLifecycle", "on-demand") == market
        and {"Key": RUN_TAG, "Value": run} not in instance.get("Tags", [])
    ]
    vcpus = _vcpus(ec2, {instance_type, *running})
    needed, used = vcpus[instance_type], sum(vcpus[one] for one in running)
    code = family.codes[market]
    quota = quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]
    value = int(quota["Value"])
    facts = f"{quota['QuotaName']} (quota {code}): {instance_type} needs {needed} vCPUs, {used} of {value} are in use"
    if used + needed > value:
        raise QuotaError(
            f"{facts}: ask for more with `aws service-quotas request-service-quota-increase --service-code ec2 "
            f"--quota-code {code} --desired-value {used + needed}`, or take a smaller instance_type",
            lasting=needed > value,
        )
    return facts


def _vcpus(ec2: Any, instance_types: set[str]) -> dict[str, int]:
    pages = ec2.get_paginator("describe_instance_types").paginate(InstanceTypes=sorted(instance_types))
    return {
        described["InstanceType"]: described["VCpuInfo"]["DefaultVCpus"]
        for page in pages
        for described in page["InstanceTypes"]
    }
