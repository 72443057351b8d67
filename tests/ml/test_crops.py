import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from crops import Crops, Photos, read_ahead
from dataset import find_photos
from photos import centre_crop, read_photo


def photos(folder: Path) -> Photos:
    names = [photo.name for photo in find_photos(folder)]
    return Photos(folder, names, list(range(len(names))))  # a label of its own tells which photo it is


@pytest.fixture
def data(dogs: Path) -> Crops:
    return Crops(photos(dogs / "train"), photos(dogs / "valid"), 224, seed=0)


def test_a_training_photo_is_cropped_anew_in_each_epoch_and_the_same_again(data: Crops, dogs: Path) -> None:
    views = [data[epoch, 2][0] for epoch in (1, 2, 3)]
    assert len({view.tobytes() for view in views}) == 3
    assert all(view.shape == (224, 224, 3) and view.dtype == np.uint8 for view in views)
    again = Crops(data.train, data.valid, 224, seed=0)
    assert (again[2, 2][0] == views[1]).all()
    other = Crops(data.train, data.valid, 224, seed=1)
    assert not (other[2, 2][0] == views[1]).all()


def test_a_valid_photo_is_cropped_as_it_is_served(data: Crops) -> None:
    path = data.valid.folder / data.valid.names[1]
    pixels, label = data[0, 1]
    assert label == 1
    assert (pixels == centre_crop(read_photo(path.read_bytes(), 224), 224)).all()


def test_each_epoch_reads_every_photo_once_in_an_order_of_its_own_and_then_the_valid_ones(data: Crops) -> None:
    batches = list(read_ahead(data, 5, first=2, last=3, device=torch.device("cpu")))
    assert [len(labels) for _, labels in batches] == [5, 5, 2, 4] * 2
    assert all(crops.dtype == torch.uint8 and crops.shape[1:] == (224, 224, 3) for crops, _ in batches)
    orders = [torch.cat([labels for _, labels in batches[start : start + 3]]).tolist() for start in (0, 4)]
    assert orders[0] != orders[1]
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert batches[3][1].tolist() == batches[7][1].tolist() == [0, 1, 2, 3]
    for place, crop in zip(orders[1], itertools.chain.from_iterable(crops for crops, _ in batches[4:7]), strict=True):
        assert (data[3, place][0] == crop.numpy()).all()
