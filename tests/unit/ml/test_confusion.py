import numpy as np

from confusion import CELL, RIGHT, WRONG, draw


def test_colours_right_answers_and_wrong_ones() -> None:
    image = draw(np.array([[4, 0], [2, 2]]), ["Pug", "Beagle"])
    corner = (image.width - 16 - 2 * CELL, image.height - 48 - 2 * CELL)

    def colour(row: int, column: int) -> object:
        return image.getpixel((corner[0] + CELL * column + 3, corner[1] + CELL * row + 3))

    assert colour(0, 0) == RIGHT
    assert colour(0, 1) == (255, 255, 255)
    assert colour(1, 0) == tuple(round(255 - 0.5 * (255 - channel)) for channel in WRONG)


def test_draws_as_many_classes_as_the_reference_has() -> None:
    image = draw(np.eye(133, dtype=np.int64), [f"Breed_number_{index}" for index in range(133)])
    assert min(image.size) > 133 * CELL
