import io
import json

import numpy as np
import pytest
from PIL import Image

import inference
from inference import Classifier, Prediction, RequestError, input_fn, model_fn, output_fn, predict_fn
from tests.unit.ml.conftest import Chain


@pytest.fixture(scope="module")
def model(trained: Chain) -> Classifier:
    return model_fn(str(trained.base / "model"))


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
    with np.load(trained.base / "embeddings/test.npz") as test:
        expected = test["features"][:, 0] @ model.weight.numpy().T + model.bias.numpy()
    for index in range(4):
        np.testing.assert_allclose(asked(model, a_photo(trained, index))["scores"][0], expected[index], atol=0.05)


def test_takes_png_and_content_type_parameters(trained: Chain, model: Classifier) -> None:
    file = io.BytesIO()
    Image.open(io.BytesIO(a_photo(trained))).save(file, "PNG")
    assert asked(model, file.getvalue(), "image/png; name=dog") == asked(model, a_photo(trained))


def test_takes_the_bytearray_that_the_container_gives(trained: Chain, model: Classifier) -> None:
    assert asked(model, bytearray(a_photo(trained))) == asked(model, a_photo(trained))


@pytest.mark.parametrize("content_type", ["application/json", "image/gif", ""])
def test_refuses_other_content_types(content_type: str) -> None:
    with pytest.raises(RequestError, match="is not supported: send image/jpeg or image/png") as raised:
        input_fn(b"{}", content_type)
    assert raised.value.status_code == 415


@pytest.mark.parametrize("body", [b"", b"not a photo", b"\xff\xd8\xff\xe0"])
def test_an_unreadable_photo_is_the_clients_error(model: Classifier, body: bytes) -> None:
    with pytest.raises(RequestError, match=r"^the photo cannot be read: ") as raised:
        asked(model, body)
    assert (raised.value.status_code, raised.value.message) == (400, str(raised.value))


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
