"""Draws a data set of dogs, to try everything out without any photo.

    python sketch.py OUT --breeds 12 --seed 0        OUT/{train,valid,test}/NNN.Breed/*.jpg

The same arguments draw the same pictures.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from breeds import BREEDS, Breed, choose
from coats import FURS
from dogs import Dog
from pen import Pen
from scenes import scene

FINE = 2  # pixels drawn for each one kept, along each side


def sketch(breed: Breed, random: np.random.Generator) -> Image.Image:
    """One picture of a dog of the breed, 224 to 288 pixels wide and high."""
    width, height = (int(side) for side in random.integers(224, 289, 2))
    size = (width * FINE, height * FINE)
    image, mask = scene(size, random), Image.new("L", size)
    dog = Dog(breed, random)
    build = dog.build
    pose = random.choice(["stand", "sit", "portrait"])
    if pose == "stand":
        extent = (
            2 * build.length + 1.5 * build.head + 0.7 * build.length,
            1.8 * build.depth + build.legs + 2.2 * build.head,
        )
        feet = 0.8 * build.depth + build.legs
    else:
        tall = 0.55 * build.depth + 0.5 * build.legs + 0.2
        extent, feet = (2.9 * build.depth, 2 * tall + 2.1 * build.head), tall
    scale = random.uniform(0.78, 0.95) * min(size[0] / extent[0], size[1] / extent[1])
    x, ground = size[0] * random.uniform(0.44, 0.56), size[1] * random.uniform(0.9, 0.97)
    if pose == "portrait":
        scale *= 1.45
        ground += feet * scale * 0.75
    facing = 1 if random.random() < 0.5 else -1
    pen = Pen(image, mask, np.array([[facing * scale, 0], [0, scale], [x, ground - feet * scale]]))
    shadow(image, x, ground, extent[0] * scale)
    if pose == "stand":
        dog.stand(pen)
    else:
        dog.sit(pen)
    return finish(image, mask, breed.fur, random)


def shadow(image: Image.Image, x: float, y: float, width: float) -> None:
    """Darkens the ground below the dog."""
    box = (round(x - width * 0.42), round(y - width * 0.05), round(x + width * 0.42), round(y + width * 0.05))
    stencil = (
        Image.radial_gradient("L").resize((box[2] - box[0], box[3] - box[1])).point(lambda value: max(0, 130 - value))
    )
    image.paste((30, 30, 34), box[:2], stencil)


def finish(image: Image.Image, mask: Image.Image, fur: str, random: np.random.Generator) -> Image.Image:
    """The picture at its size, with light from above, the grain of the fur and the noise of a camera."""
    pixels = np.asarray(image.reduce(FINE), np.float32)
    dog = np.asarray(mask.reduce(FINE), np.float32)[..., None] / 255
    height, width = dog.shape[:2]
    light = np.linspace(1.08, 0.84, height, dtype=np.float32)[:, None, None]
    depth, _, curls = FURS[fur]
    cells = (max(2, int(width / (8 if curls else 3))), max(2, int(height / (8 if curls else 9))))
    grain = Image.fromarray(random.normal(0, 1, cells[::-1]).astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    texture = 1 + np.asarray(grain)[..., None] * (0.03 + 0.3 * depth)
    lit = pixels * (1 + dog * (light * texture - 1)) + random.normal(0, 3, (height, width, 1))
    exposed = lit * random.uniform(0.88, 1.1) * random.uniform(0.96, 1.04, 3)
    return Image.fromarray(exposed.clip(0, 255).astype(np.uint8))


def draw(out: Path, breeds: list[Breed], splits: dict[str, int], seed: int) -> Iterator[Path]:
    """Writes the data set, a picture at a time."""
    for number, breed in enumerate(breeds, 1):
        for split, count in splits.items():
            folder = out / split / f"{number:03}.{breed.name}"
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(count):
                path = folder / f"{breed.name}_{split}_{index:02}.jpg"
                random = np.random.default_rng([seed, *f"{breed.name} {split} {index}".encode()])
                sketch(breed, random).save(path, quality=90)
                yield path


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Draws a data set of dogs.")
    parser.add_argument("out", type=Path, help="the directory to make")
    parser.add_argument("--breeds", type=int, default=12, help=f"how many breeds, 2 to {len(BREEDS)}")
    parser.add_argument("--seed", type=int, default=0)
    for split, count in (("train", 5), ("valid", 1), ("test", 1)):
        parser.add_argument(f"--{split}", type=int, default=count, help="pictures of each breed")
    options = parser.parse_args()
    if not 2 <= options.breeds <= len(BREEDS):
        parser.exit(2, f"--breeds must be from 2 to {len(BREEDS)}, not {options.breeds}\n")
    splits = {split: getattr(options, split) for split in ("train", "valid", "test")}
    paths = list(draw(options.out, choose(options.breeds), splits, options.seed))
    print(f"drew {len(paths)} dogs of {options.breeds} breeds in {options.out}")


if __name__ == "__main__":
    main()
