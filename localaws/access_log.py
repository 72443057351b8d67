"""What IAM decided, as CloudTrail would tell it: a line of JSON for each decision, in `access.log` of the home.

    {"time": "2026-11-22T03:00:07.123Z", "principal": "arn:aws:sts::000000000000:assumed-role/reads/session",
     "action": "s3:GetObject", "resource": "arn:aws:s3:::bucket/key", "decision": "allowed"}

A request that names several things, or hands a role on, has a line for each; one that was refused ends with a `denied`.
What a request carried is not in it, so neither is any secret. A request whose signature is wrong gets no decision.
"""

import datetime
import functools
import json
import logging
import logging.handlers
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ministack.core import iam_evaluator

FILE = "access.log"
LARGEST = 32 * 2**20  # bytes; a file that has grown to it becomes access.log.1, in place of the one before


def keep(home: Path) -> None:
    """From now on write down whatever MiniStack's evaluator decides, for its services and for ours."""
    iam_evaluator.enforce = recorded(iam_evaluator.enforce, writer(home))


def writer(home: Path, largest: int = LARGEST) -> Callable[[dict[str, str]], None]:
    """What appends a line, in two files that together never hold more than twice the largest size in bytes."""
    log = logging.Logger(FILE)
    handler = logging.handlers.RotatingFileHandler(home / FILE, maxBytes=largest, backupCount=1, encoding="utf-8")
    log.addHandler(handler)

    def write(entry: dict[str, str]) -> None:
        log.info(json.dumps(entry))

    return write


def recorded(enforce: Callable[..., Any], write: Callable[[dict[str, str]], None]) -> Callable[..., Any]:
    """The evaluator's `enforce`, each of whose decisions is written down before it takes effect."""

    @functools.wraps(enforce)
    def enforce_and_write(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        denied = enforce(access_key_id, iam_action, service, region, resource_arn, service_context)
        entry = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "principal": _principal(access_key_id),
            "action": iam_action,
            "resource": resource_arn,
            "decision": "denied" if denied else "allowed",
        }
        write(entry)
        return denied

    return enforce_and_write


def _principal(access_key_id: str) -> str:
    """The caller's ARN; nothing for an unknown key."""
    return str(getattr(iam_evaluator.resolve_credential(access_key_id), "principal_arn", ""))
