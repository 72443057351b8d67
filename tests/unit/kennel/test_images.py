"""The images in the TOML are those that SageMaker's own SDK names. It is imported here only, never by a DAG."""

import pytest
from sagemaker.core import image_uris

from kennel.config import Classifier


@pytest.mark.parametrize("scope", ["training", "inference"])
def test_the_toml_names_the_sdks_image(dogs: Classifier, scope: str) -> None:
    uri = image_uris.retrieve(
        "pytorch",
        region="us-east-1",
        version="2.6.0",
        py_version="py312",
        instance_type="ml.m5.xlarge",
        image_scope=scope,
    )
    assert getattr(dogs.images, scope) == uri


def test_the_gpu_image_is_named_as_the_config_says(dogs: Classifier) -> None:
    uri = image_uris.retrieve(
        "pytorch",
        region="us-east-1",
        version="2.6.0",
        py_version="py312",
        instance_type="ml.g5.xlarge",
        image_scope="training",
    )
    assert dogs.images.training.replace("-cpu-", "-gpu-") == uri
