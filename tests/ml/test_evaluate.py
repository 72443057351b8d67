import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

import evaluate
from evaluate import unpack
from job import JobError
from tests.ml.conftest import Chain


def archive(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_evaluates_the_archive_with_its_own_code(trained: Chain) -> None:
    done = trained.evaluate()
    assert done.returncode == 0, done.stderr
    output = trained.base / "processing/output"
    content = json.loads((output / "report.json").read_text())
    assert (content["photos"], content["classes"], content["unreadable"]) == (4, 4, [])
    assert content["top1"] >= 0.75
    assert content["top5"] == 1
    assert list(content["per_class"]) == ["Dachshund", "Dalmatian", "Pembroke_welsh_corgi", "Poodle"]
    assert np.mean([row["top1"] for row in content["per_class"].values()]) == content["top1"]
    assert content["champion"] is None
    assert len(content["samples"]) >= 3
    sample = content["samples"][0]
    for photo in (one["photo"] for one in content["samples"]):
        assert (output / "samples" / photo).read_bytes() == (
            trained.base / "processing/input/test" / photo
        ).read_bytes()
    assert sample["label"] in sample["photo"]
    assert 0.25 < sample["probability"] <= 1
    assert done.stdout.splitlines()[-1] == f"4 test photos: top1={content['top1']:.4f} top5=1.0000"
    assert sum(count for _, _, count in content["confusion"]["counts"]) == 4
    assert sum(bin_["count"] for bin_ in content["calibration"]["bins"]) == 4
    assert len(content["mistakes"]) == round(4 * (1 - content["top1"]))
    assert len(content["training"]["history"]) == 13
    assert content["training"]["hyperparameters"]["backbone"] == "efficientnet_lite0"


def test_a_champion_is_asked_about_the_same_photos_with_its_own_code(trained: Chain) -> None:
    model = trained.base / "processing/input/model/model.tar.gz"
    champion = trained.base / "processing/input/champion/model.tar.gz"
    champion.parent.mkdir()
    with tarfile.open(model) as old, tarfile.open(champion, "w:gz") as new:
        for member in old.getmembers():
            content = old.extractfile(member)
            data = content.read() if content else b""
            if member.name.endswith("inference.py"):
                data += b"""
def output_fn(prediction, accept):
    return json.dumps({"scores": [[0.0, 0.0, 0.0, 1.0]], "labels": prediction["labels"]})
"""
            if member.isfile():
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
    try:
        done = trained.evaluate()
    finally:
        shutil.rmtree(champion.parent)
    assert done.returncode == 0, done.stderr
    content = json.loads((trained.base / "processing/output/report.json").read_text())
    assert content["top1"] >= 0.75
    assert content["champion"]["top1"] == 0.25
    assert content["champion"]["only_model"] >= 2


def test_fails_without_test_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "INPUT", tmp_path)
    with pytest.raises(JobError, match=r"^no test photos: add some under test/NNN\.Breed/"):
        evaluate.main([])


def test_refuses_a_trials_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.tar.gz", **{"head.pth": b"", "classes.json": b"[]"})
    with pytest.raises(JobError, match=r"has no code/inference\.py: it is a trial's"):
        unpack(path, tmp_path / "out")


def test_unpacks_nothing_outside_its_folder(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.tar.gz", **{"../escaped.txt": b"x"})
    with pytest.raises(JobError, match="cannot be unpacked"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "escaped.txt").exists()


@pytest.mark.parametrize("content", [None, b"", b"not an archive", b"\x1f\x8b\x08\x00 cut"])
def test_names_an_archive_it_cannot_use(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.tar.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(JobError, match=r"model\.tar\.gz (is missing|cannot be unpacked)"):
        unpack(path, tmp_path / "out")
