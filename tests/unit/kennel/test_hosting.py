import pytest

from kennel.defaults import ModelAtFaultError
from kennel.hosting import failure


@pytest.mark.parametrize(
    ("reason", "models"),
    [
        ("The primary container for production variant AllTraffic did not pass the ping health check.", True),
        ("The deployment was rolled back: in ALARM were kennel-dogs-5xx.", True),
        ("Failed to download model data for container", True),
        ("Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error.", False),
        ("The deployment was rolled back: its alarms cannot be read: Throttling", False),
        ("The local AWS stopped during the update to dogs-v12-abcdef.", False),
    ],
)
def test_only_what_the_model_did_is_its_fault(reason: str, models: bool) -> None:
    assert isinstance(failure(reason, "endpoint failed"), ModelAtFaultError) is models
