"""Backgrounds to draw a dog on: places a dog's photo is taken in, never two alike."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from pen import Colour

Size = tuple[int, int]


def scene(size: Size, random: np.random.Generator) -> Image.Image:
    """A place, chosen and laid out at random; its ground starts above 60 % of the height."""
    return SCENES[random.integers(len(SCENES))](size, random)


def _tint(colour: Colour, random: np.random.Generator, spread: int = 18) -> Colour:
    red, green, blue = (int(np.clip(channel + random.integers(-spread, spread + 1), 0, 255)) for channel in colour)
    return red, green, blue


def _gradient(size: Size, top: Colour, bottom: Colour) -> Image.Image:
    column = np.linspace(top, bottom, size[1])[:, None, :]
    return Image.fromarray(np.broadcast_to(column, (size[1], size[0], 3)).astype(np.uint8).copy())


def _hills(canvas: ImageDraw.ImageDraw, size: Size, level: float, colour: Colour, random: np.random.Generator) -> None:
    width, height = size
    xs = np.linspace(0, width, 24)
    waves = np.sin(xs / width * random.uniform(3, 8) + random.uniform(0, 6)) * height * random.uniform(0.01, 0.06)
    ridge = list(zip(xs.tolist(), (level * height + waves).tolist(), strict=True))
    canvas.polygon([(0, height), *ridge, (width, height)], fill=colour)


def _scatter(size: Size, top: float, count: int, random: np.random.Generator) -> list[tuple[float, float, float]]:
    """Places on the ground, nearer ones larger: x, y and a scale from 0.4 to 1."""
    depths = np.sort(random.uniform(0, 1, count))
    return [
        (float(random.uniform(0, size[0])), float(size[1] * (top + depth * (1 - top))), float(0.4 + 0.6 * depth))
        for depth in depths
    ]


def _meadow(size: Size, random: np.random.Generator) -> Image.Image:
    image = _gradient(size, _tint((120, 178, 226), random), _tint((222, 236, 240), random, 10))
    canvas = ImageDraw.Draw(image)
    green = _tint((104, 158, 82), random, 24)
    _hills(canvas, size, 0.42, _tint((128, 168, 132), random), random)
    _hills(canvas, size, 0.54, green, random)
    blossom = _tint((236, 200, 96), random, 60)
    for x, y, near in _scatter(size, 0.58, 90, random):
        blade = _tint(green, random, 22)
        canvas.line((x, y, x + random.uniform(-4, 4), y - 14 * near), fill=blade, width=2)
        if random.random() < 0.2:
            canvas.ellipse((x - 4 * near, y - 18 * near, x + 4 * near, y - 10 * near), fill=blossom)
    return image


def _park(size: Size, random: np.random.Generator) -> Image.Image:
    image = _gradient(size, _tint((176, 208, 214), random), _tint((226, 232, 206), random, 10))
    canvas = ImageDraw.Draw(image)
    for _ in range(random.integers(3, 7)):
        x, crown = random.uniform(0, size[0]), size[1] * random.uniform(0.12, 0.24)
        y = size[1] * random.uniform(0.15, 0.38)
        canvas.rectangle((x - 7, y, x + 7, size[1] * 0.62), fill=_tint((110, 84, 62), random))
        leaf = _tint((86, 134, 78), random, 34)
        for dx, dy in random.uniform(-0.6, 0.6, (6, 2)) * crown:
            canvas.ellipse(
                (x + dx - crown, y + dy - crown, x + dx + crown, y + dy + crown), fill=_tint(leaf, random, 8)
            )
    _hills(canvas, size, 0.57, _tint((140, 172, 96), random, 20), random)
    path = _tint((206, 188, 156), random)
    left = size[0] * random.uniform(0, 0.5)
    canvas.polygon(
        [(left + 90, size[1] * 0.6), (left + 130, size[1] * 0.6), (left + 360, size[1]), (left, size[1])], fill=path
    )
    return image


def _beach(size: Size, random: np.random.Generator) -> Image.Image:
    image = _gradient(size, _tint((112, 184, 230), random), _tint((238, 226, 206), random, 10))
    canvas = ImageDraw.Draw(image)
    sea = _tint((62, 140, 168), random, 22)
    canvas.rectangle((0, size[1] * 0.4, size[0], size[1]), fill=sea)
    for _ in range(9):
        x, y = random.uniform(0, size[0]), size[1] * random.uniform(0.42, 0.54)
        canvas.line((x, y, x + random.uniform(30, 90), y), fill=(212, 232, 234), width=2)
    sand = _tint((226, 204, 160), random)
    _hills(canvas, size, 0.565, (246, 246, 238), random)
    _hills(canvas, size, 0.585, sand, random)
    for x, y, near in _scatter(size, 0.64, 26, random):
        canvas.ellipse((x - 5 * near, y - 2 * near, x + 5 * near, y + 2 * near), fill=_tint(sand, random, 22))
    return image


def _snow(size: Size, random: np.random.Generator) -> Image.Image:
    image = _gradient(size, _tint((150, 176, 206), random), _tint((226, 232, 240), random, 8))
    canvas = ImageDraw.Draw(image)
    for x in random.uniform(0, size[0], random.integers(4, 9)):
        base, tall, fir = size[1] * 0.58, size[1] * random.uniform(0.2, 0.42), _tint((58, 94, 84), random)
        for step in range(3):
            y, half = base - tall * step / 4, tall * (0.3 - 0.07 * step)
            canvas.polygon([(x - half, y), (x + half, y), (x, y - tall * 0.45)], fill=fir)
    _hills(canvas, size, 0.57, _tint((236, 240, 246), random, 8), random)
    for x, y in random.uniform(0, 1, (70, 2)) * size:
        flake = random.uniform(1, 4)
        canvas.ellipse((x - flake, y - flake, x + flake, y + flake), fill=(250, 252, 255))
    return image


def _room(size: Size, random: np.random.Generator) -> Image.Image:
    width, height = size
    wall = _tint(((214, 204, 190), (176, 196, 200), (206, 178, 168), (150, 164, 148))[random.integers(4)], random)
    image = Image.new("RGB", size, wall)
    canvas = ImageDraw.Draw(image)
    if random.random() < 0.5:
        for stripe in range(0, width, int(random.integers(28, 60))):
            canvas.line((stripe, 0, stripe, height), fill=_tint(wall, random, 6), width=8)
    x, y, side = width * random.uniform(0, 0.7), height * random.uniform(0.03, 0.15), width * random.uniform(0.22, 0.36)
    canvas.rectangle((x - 8, y - 8, x + side + 8, y + side + 8), fill=_tint((240, 234, 222), random, 12))
    canvas.rectangle((x, y, x + side, y + side * 0.6), fill=_tint((176, 204, 220), random, 24))
    canvas.rectangle((x, y + side * 0.6, x + side, y + side), fill=_tint((136, 164, 112), random, 30))
    floor = _tint((164, 122, 84), random, 26)
    canvas.rectangle((0, height * 0.58, width, height), fill=floor)
    for step in np.linspace(0.58, 1, 6) ** 1.2:
        canvas.line((0, height * step, width, height * step), fill=_tint(floor, random, 16), width=3)
    canvas.rectangle((0, height * 0.565, width, height * 0.585), fill=_tint((238, 232, 222), random, 8))
    rug = _tint((150, 70, 66), random, 60)
    canvas.ellipse((-width * 0.05, height * 0.74, width * 1.05, height * 1.14), fill=rug)
    canvas.ellipse(
        (width * 0.03, height * 0.78, width * 0.97, height * 1.08), outline=_tint((232, 212, 180), random), width=5
    )
    return image


def _sunset(size: Size, random: np.random.Generator) -> Image.Image:
    image = _gradient(size, _tint((112, 92, 142), random, 26), _tint((248, 178, 112), random))
    canvas = ImageDraw.Draw(image)
    x, y, radius = size[0] * random.uniform(0.1, 0.9), size[1] * random.uniform(0.25, 0.45), size[0] * 0.09
    canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 232, 180))
    for level, colour in ((0.44, (120, 92, 118)), (0.51, (104, 86, 84)), (0.58, (142, 116, 78))):
        _hills(canvas, size, level, _tint(colour, random), random)
    return image


SCENES: tuple[Callable[[Size, np.random.Generator], Image.Image], ...] = (_meadow, _park, _beach, _snow, _room, _sunset)
