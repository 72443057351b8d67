import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import evaluate
from dataset import Photo
from evaluate import Answers, compare, report, unpack
from job import JobError
from tests.unit.ml.conftest import Chain


def answers(scores: list[list[float]], truth: list[int]) -> Answers:
    photos = [Photo(Path(f"{index}.jpg"), f"dt=2026-11-22/test/{index}.jpg", "001.Pug") for index in range(len(truth))]
    labels = [f"Breed_{index}" for index in range(len(scores[0]))]
    return Answers(photos, np.array(scores), np.array(truth), labels, ["broken.jpg"])


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
    assert (trained.base / "processing/input/test" / sample["photo"]).is_file()
    assert sample["label"] in sample["photo"]
    assert 0.25 < sample["probability"] <= 1
    assert done.stdout.splitlines()[-1] == f"4 test photos: top1={content['top1']:.4f} top5=1.0000"
    with Image.open(output / "confusion.png") as image:
        assert min(image.size) > 4 * 20


def test_counts_right_answers() -> None:
    scores = [
        [3.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        [9.0, 8.0, 7.0, 6.0, 5.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0],
    ]
    content = report(answers(scores, [0, 2, 6, 5]))
    assert (content["photos"], content["classes"], content["top1"], content["top5"]) == (4, 7, 0.5, 0.75)
    assert content["per_class"] == {
        "Breed_0": {"photos": 1, "top1": 1.0},
        "Breed_2": {"photos": 1, "top1": 0.0},
        "Breed_5": {"photos": 1, "top1": 1.0},
        "Breed_6": {"photos": 1, "top1": 0.0},
    }
    probability = np.exp(5) / (np.exp(5) + 6)
    assert content["samples"][0] == {
        "photo": "dt=2026-11-22/test/3.jpg",
        "label": "Breed_5",
        "probability": pytest.approx(probability),
    }
    assert [sample["label"] for sample in content["samples"]] == ["Breed_5", "Breed_0"]
    assert content["unreadable"] == ["broken.jpg"]


def test_samples_are_of_different_classes() -> None:
    content = report(answers([[9.0, 0.0], [8.0, 0.0], [0.0, 1.0]], [0, 0, 1]))
    assert [sample["photo"] for sample in content["samples"]] == [
        "dt=2026-11-22/test/0.jpg",
        "dt=2026-11-22/test/2.jpg",
    ]


def test_has_no_samples_when_no_answer_was_right() -> None:
    content = report(answers([[1.0, 0.0], [1.0, 0.0]], [1, 1]))
    assert (content["top1"], content["top5"], content["samples"]) == (0, 1, [])
    json.dumps(content)


def test_scores_of_any_size_make_probabilities() -> None:
    assert report(answers([[1000.0, 0.0]], [0]))["samples"][0]["probability"] == 1


def test_compares_with_the_champion_photo_by_photo() -> None:
    ours = answers([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [0, 0, 0, 1])
    theirs = answers([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [0, 0, 0])  # could not read the fourth
    assert compare(ours, theirs) == {
        "top1": 0.5,
        "only_model": 2,
        "only_champion": 1,
        "per_class": {"Breed_0": {"photos": 3, "top1": 2 / 3}, "Breed_1": {"photos": 1, "top1": 0.0}},
    }


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
