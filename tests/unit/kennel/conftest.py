import pytest

from kennel.config import Classifier, load


@pytest.fixture
def dogs() -> Classifier:
    return load("dogs", {"KENNEL_ACCOUNT_ID": "123456789012"})
