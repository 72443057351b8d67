"""Instance types and the room for them: vCPUs, and Spot and on-demand capacity that may run out.

DIR/capacity.json, `{"spot": 0, "on-demand": 4}`, says how many instances there is room for; without it, any number.
"""

import json
import re

from localaws.cloud import Cloud, Request
from localaws.errors import AwsError
from localaws.instances import machine

CAPACITY = "capacity.json"
XLARGE = re.compile(r"(\d*)xlarge")
SHORT = {
    "spot": "There is no Spot capacity available that matches your request.",
    "on-demand": "We currently do not have sufficient {type} capacity in the Availability Zone you requested.",
}


def vcpus(instance_type: str) -> int | None:
    """The vCPUs of an instance type, by its size; None for bare metal, which has no rule."""
    family, _, size = instance_type.partition(".")
    if found := XLARGE.fullmatch(size):
        return 4 * int(found[1] or 1)
    if size.startswith("metal"):
        return None
    if size == "large" or (size == "medium" and family.startswith("t")):
        return 2
    return 1 if size == "medium" or family in ("t1", "t2") else 2


def check(cloud: Cloud, request: Request) -> None:
    """Raise InsufficientInstanceCapacity when there is no room for a launch."""
    market = request.get("InstanceMarketOptions", {}).get("MarketType", "on-demand")
    if (room := _room(cloud, market)) is not None and len(_running(market)) + request["MaxCount"] > room:
        message = SHORT[market].format(type=request.get("InstanceType"))
        raise AwsError("InsufficientInstanceCapacity", message, 500)


def interrupted(cloud: Cloud) -> list[str]:
    """The Spot instances that there is no room for any more, the youngest first to go."""
    room = _room(cloud, "spot")
    return [] if room is None else _running("spot")[room:]


def _running(market: str) -> list[str]:
    return [
        str(known["InstanceId"])
        for known in machine.records()
        if known.get("InstanceLifecycle", "on-demand") == market and known["State"]["Name"] == "running"
    ]


def _room(cloud: Cloud, market: str) -> int | None:
    file = cloud.home / CAPACITY
    try:
        room = json.loads(file.read_text()).get(market) if file.exists() else None
        return None if room is None else int(room)
    except (ValueError, TypeError, AttributeError) as error:
        raise AwsError("InternalError", f'{file} must hold numbers as {{"spot": 0}}: {error}', 500) from None
