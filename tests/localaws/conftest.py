"""What the tests of EC2 instances have in common."""

from collections.abc import Iterator

import pytest

from tests.conftest import LocalAws
from tests.localaws.machines import Machines


@pytest.fixture(scope="module")
def machines(local_aws: LocalAws) -> Machines:
    return Machines(local_aws)


@pytest.fixture(scope="module")
def instance(machines: Machines) -> Iterator[str]:
    """An instance that tests share; they leave it running."""
    instance_id = machines.launch()
    yield instance_id
    machines.ec2.terminate_instances(InstanceIds=[instance_id])
