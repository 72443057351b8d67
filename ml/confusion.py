"""Draws a confusion matrix: what each class was taken for."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CELL = 22
MARGIN = 16
PAPER, INK, GRID = (255, 255, 255), (40, 44, 52), (226, 229, 234)
RIGHT, WRONG = (38, 110, 84), (196, 62, 48)  # a full row of right answers, of wrong ones


def draw(counts: NDArray[np.int64], labels: list[str]) -> Image.Image:
    """The picture of counts[truth, answer]: a row a class, right answers green on the diagonal, wrong ones red."""
    font = ImageFont.load_default(13)
    names = [label.replace("_", " ") for label in labels]
    gutter = round(max(font.getlength(name) for name in names)) + 2 * MARGIN
    side = CELL * len(names)
    image = Image.new("RGB", (gutter + side + MARGIN, gutter + side + 3 * MARGIN), PAPER)
    pen = ImageDraw.Draw(image)
    for index, name in enumerate(names):
        middle = gutter + CELL * index + CELL // 2
        pen.text((gutter - 8, middle), name, INK, font, anchor="rm")
        image.paste(_upright(name, font, gutter), (middle - CELL // 2, 0))
    for row, column in np.ndindex(counts.shape):
        _cell(pen, font, (gutter + CELL * column, gutter + CELL * row), counts[row], row, column)
    pen.text((gutter, gutter + side + MARGIN // 2), "rows: the class; columns: the answer", INK, font)
    return image


def _cell(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    at: tuple[int, int],
    row_counts: NDArray[np.int64],
    row: int,
    column: int,
) -> None:
    count = int(row_counts[column])
    share = count / max(1, int(row_counts.sum()))
    full = RIGHT if row == column else WRONG
    tint = (
        round(255 - share * (255 - full[0])),
        round(255 - share * (255 - full[1])),
        round(255 - share * (255 - full[2])),
    )
    x, y = at
    pen.rectangle((x, y, x + CELL, y + CELL), fill=tint, outline=GRID)
    if count:
        pen.text((x + CELL / 2, y + CELL / 2), str(count), PAPER if share > 0.5 else INK, font, anchor="mm")


def _upright(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, length: int) -> Image.Image:
    strip = Image.new("RGB", (length, CELL), PAPER)
    ImageDraw.Draw(strip).text((8, CELL // 2), name, INK, font, anchor="lm")
    return strip.rotate(90, expand=True)
