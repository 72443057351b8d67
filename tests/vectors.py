"""Vectors as an instance of embed.py leaves them, for the tests of what trains on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import embeddings
from dataset import Photo


def write_vectors(folder: Path, split: str, class_names: Sequence[str], features: NDArray[Any]) -> None:
    """Features (photos, views, features) of photos of these classes, by one instance."""
    photos = [Photo(folder, f"{split}/{number:04}.jpg", class_name) for number, class_name in enumerate(class_names)]
    embeddings.write(folder, split, "algo-1", photos, features.astype(np.float32))
