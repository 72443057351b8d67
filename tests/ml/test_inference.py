import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import linear

import inference
from backbones import BACKBONES, Backbone, read_network
from dataset import Photo
from embed import Embedder
from inference import Classifier, Prediction, RequestError, input_fn, model_fn, output_fn, predict_fn
from photos import Crop, centre_crop, read_photo
from tests.ml.claims import claims
from tests.ml.conftest import BACKBONE, Chain
from tests.ml.pictures import Twins, encoded, lossless, lossy

Answer = Callable[[bytes], Prediction]

SPECK = Image.new("RGB", (8, 8))
LOSSLESS, LOSSY = [*lossless(SPECK)], [*lossy(SPECK)]
STILL = [name for name in LOSSLESS + LOSSY if "animated" not in name and "phone" not in name]
NO_PHOTOS = {"nothing": b"", "a text": b"not a photo", "two bytes": b"\xff\xd8", "BMP": encoded(SPECK, "BMP")}


@pytest.fixture(scope="module")
def model(trained: Chain) -> Classifier:
    return model_fn(str(trained.base / "model"))


@pytest.fixture(scope="module")
def answer(model: Classifier) -> Answer:
    """The model's answer to a photo, asked for once."""
    return cache(lambda photo: asked(model, photo))


def asked(model: Classifier, body: bytes | bytearray, content_type: str = "image/jpeg") -> Prediction:
    answer: Prediction = json.loads(output_fn(predict_fn(input_fn(body, content_type), model), "application/json"))
    return answer


def a_photo(trained: Chain, index: int = 0) -> bytes:
    return sorted(trained.dogs.glob("test/*/*.jpg"))[index].read_bytes()


def test_answers_a_score_a_class_and_the_labels(trained: Chain, model: Classifier) -> None:
    answer = asked(model, a_photo(trained))
    assert answer.keys() == {"scores", "labels"}
    assert answer["labels"] == ["Dachshund", "Dalmatian", "Pembroke_welsh_corgi", "Poodle"]
    assert [len(row) for row in answer["scores"]] == [4]
    assert all(isinstance(score, float) for score in answer["scores"][0])


def test_scores_a_photo_as_its_embedding_is_scored(trained: Chain, model: Classifier) -> None:
    with np.load(trained.base / "embeddings/test/algo-1.npz") as test:
        expected = test["features"][:, 0] @ model.weight.numpy().T + model.bias.numpy()
    for index in range(4):
        np.testing.assert_allclose(asked(model, a_photo(trained, index))["scores"][0], expected[index], atol=0.05)


def probabilities(model: Classifier, crops: list[Crop], backbone: Backbone | None = None) -> torch.Tensor:
    """(n, classes), by the model's own backbone unless another is given."""
    return linear((backbone or model.backbone).features(crops), model.weight, model.bias).softmax(1)


@pytest.fixture(scope="module")
def crops(trained: Chain, model: Classifier) -> list[Crop]:
    side = model.backbone.side
    paths = sorted(trained.dogs.glob("*/*/*.jpg"))
    return [centre_crop(read_photo(path.read_bytes(), side), side) for path in paths]


def test_a_photo_has_the_same_probabilities_alone_and_in_a_batch(model: Classifier, crops: list[Crop]) -> None:
    alone = torch.cat([probabilities(model, [crop]) for crop in crops])
    torch.testing.assert_close(probabilities(model, crops), alone, rtol=0, atol=1e-3)


def test_the_fast_arithmetic_of_this_machine_keeps_the_probabilities(
    trained: Chain, model: Classifier, crops: list[Crop]
) -> None:
    network = read_network(BACKBONE, trained.base / "model/backbone.pth")
    exact = Backbone(BACKBONES[BACKBONE], network, torch.device("cpu"), torch.float32)
    torch.testing.assert_close(probabilities(model, crops), probabilities(model, crops, exact), rtol=0, atol=1e-2)


@pytest.mark.parametrize("name", LOSSLESS)
def test_scores_a_file_without_loss_as_a_plain_one(answer: Answer, twins: Twins, name: str) -> None:
    file, plain = twins[name]
    assert answer(file) == answer(plain)


@pytest.mark.parametrize("name", LOSSY)
def test_scores_a_file_with_loss_nearly_as_a_plain_one(answer: Answer, twins: Twins, name: str) -> None:
    scores, expected = (answer(data)["scores"][0] for data in twins[name])
    np.testing.assert_allclose(scores, expected, atol=1)  # of scores of -7 to 20; a photo on its side is 7 off


@pytest.mark.parametrize("name", LOSSLESS + LOSSY)
def test_feeds_the_backbone_what_training_fed_it(
    model: Classifier, twins: Twins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fed: list[Crop] = []

    def features(_: object, crops: list[Crop]) -> torch.Tensor:
        fed.extend(crops)
        return torch.zeros(len(crops), model.backbone.width)

    monkeypatch.setattr(type(model.backbone), "features", features)
    file, _ = twins[name]
    (tmp_path / "photo").write_bytes(file)
    Embedder(model.backbone, seed=0, total=1).embed([Photo(tmp_path / "photo", "photo", "001.Pug")], views=1)
    asked(model, file)
    trained, served = fed
    assert (trained.dtype.name, trained.shape) == ("uint8", (256, 256, 3))
    assert np.array_equal(trained, served)


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("GIF", "image/jpeg"),
        ("progressive JPEG", "image/png; name=dog"),
        ("lossless WebP", "IMAGE/GIF"),
        ("PNG turned by EXIF", "image/webp"),
    ],
)
def test_the_bytes_and_not_the_content_type_decide(
    model: Classifier, answer: Answer, twins: Twins, name: str, content_type: str
) -> None:
    file, plain = twins[name]
    assert asked(model, file, content_type) == answer(plain)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
@pytest.mark.parametrize("size", [(1, 50_000), (50_000, 3)])
def test_answers_whatever_the_proportions(answer: Answer, kind: str, size: tuple[int, int]) -> None:
    width, height = (min(length, 16_383) for length in size) if kind == "WEBP" else size  # the most it can have
    [scores] = answer(encoded(Image.new("RGB", (width, height), "brown"), kind))["scores"]
    assert all(map(math.isfinite, scores))


def test_takes_the_bytearray_that_the_container_gives(trained: Chain, model: Classifier) -> None:
    assert asked(model, bytearray(a_photo(trained))) == asked(model, a_photo(trained))


@pytest.mark.parametrize(
    "content_type", ["application/json", "image/bmp", "image/tiff", "image/avif", "image/heic", ""]
)
def test_refuses_other_content_types(content_type: str) -> None:
    with pytest.raises(
        RequestError, match=r"is not supported: send image/jpeg, image/png, image/gif, image/webp$"
    ) as raised:
        input_fn(b"{}", content_type)
    assert raised.value.status_code == 415


def refuse(model: Classifier, body: bytes) -> None:
    """Fails unless the answer is 422, with the reason in a line."""
    with pytest.raises(RequestError, match=r"^the photo cannot be read: [ -~]+$") as raised:
        asked(model, body)
    assert (raised.value.status_code, raised.value.message) == (422, str(raised.value))


@pytest.mark.parametrize("name", NO_PHOTOS)
def test_what_is_no_photo_is_the_clients_error(model: Classifier, name: str) -> None:
    refuse(model, NO_PHOTOS[name])


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("name", STILL)
def test_a_file_cut_short_is_the_clients_error(model: Classifier, twins: Twins, name: str, share: float) -> None:
    file, _ = twins[name]
    refuse(model, file[: int(len(file) * share)])


@pytest.mark.parametrize("name", claims())
def test_a_claim_of_200_megapixels_is_the_clients_error(model: Classifier, name: str) -> None:
    refuse(model, claims()[name])


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html, application/json;q=0.9"])
def test_answers_whoever_takes_json(accept: str) -> None:
    assert json.loads(output_fn({"scores": [[0.5]], "labels": ["Pug"]}, accept)) == {
        "scores": [[0.5]],
        "labels": ["Pug"],
    }


def test_refuses_to_answer_in_another_format() -> None:
    with pytest.raises(RequestError, match="accept application/json") as raised:
        output_fn({"scores": [[0.5]], "labels": ["Pug"]}, "text/csv")
    assert raised.value.status_code == 406


def test_needs_neither_training_nor_embedding() -> None:
    assert not {"train", "embed", "job", "dataset"} & set(vars(inference))
