import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.ml.conftest import Chain

PHOTOS = os.environ.get("KENNEL_PHOTOS")


@pytest.mark.skipif(PHOTOS is None, reason="KENNEL_PHOTOS names no directory of {train,valid,test}/NNN.Breed/*.jpg")
def test_tells_real_breeds_apart(new_chain: Callable[[Path], Chain]) -> None:
    chain = new_chain(Path(PHOTOS or ""))
    for job in (chain.embed, chain.train, chain.evaluate):
        done = job()
        assert done.returncode == 0, done.stderr
    report = json.loads((chain.base / "processing/output/report.json").read_text())
    assert report["top1"] >= 0.8
