"""Draws a dog of a breed: standing in profile or sitting towards the camera, its head always turned to it."""

from dataclasses import dataclass

import numpy as np

from breeds import Breed
from pen import Colour, Marking, Pen, Points, ellipse, fringe, shade, smooth

COLOURS: dict[str, Colour] = {
    "white": (240, 236, 228),
    "cream": (226, 202, 162),
    "gold": (208, 156, 84),
    "tan": (182, 128, 76),
    "rust": (172, 94, 44),
    "red": (144, 58, 28),
    "brown": (112, 74, 50),
    "liver": (84, 48, 36),
    "pink": (206, 160, 144),
    "silver": (184, 186, 190),
    "grey": (140, 138, 136),
    "blue": (104, 116, 134),
    "slate": (78, 82, 92),
    "black": (44, 42, 46),
}
NOSE, TONGUE, EYE = (34, 28, 30), (222, 116, 122), (46, 28, 20)


@dataclass(frozen=True)
class Build:
    """A body in units of a medium dog's half length; `head` is the head's radius."""

    length: float
    depth: float
    legs: float
    head: float
    leg_width: float


BUILDS = {
    "toy": Build(0.62, 0.36, 0.34, 0.5, 0.1),
    "low": Build(0.95, 0.4, 0.26, 0.52, 0.14),
    "sausage": Build(1.35, 0.36, 0.2, 0.46, 0.13),
    "stocky": Build(0.82, 0.5, 0.42, 0.58, 0.18),
    "medium": Build(0.92, 0.42, 0.62, 0.47, 0.12),
    "tall": Build(0.98, 0.44, 0.88, 0.44, 0.12),
    "slim": Build(0.98, 0.34, 0.98, 0.36, 0.085),
    "giant": Build(1.08, 0.56, 0.78, 0.52, 0.17),
}

# how far the coat stands out, how wide a tuft is, whether the tufts are curls; in head radii
FURS = {
    "smooth": (0.0, 1.0, False),
    "wrinkly": (0.0, 1.0, False),
    "wire": (0.07, 0.1, False),
    "rough": (0.09, 0.17, False),
    "silky": (0.11, 0.22, False),
    "fluffy": (0.16, 0.2, False),
    "mane": (0.2, 0.22, False),
    "curly": (0.09, 0.2, True),
    "cords": (0.14, 0.12, True),
}

# half width, half height, and how far below the eyes the middle of the muzzle lies; in head radii
MUZZLES = {
    "flat": (0.56, 0.34, 0.36),
    "short": (0.46, 0.38, 0.44),
    "medium": (0.4, 0.46, 0.54),
    "long": (0.34, 0.62, 0.7),
}

# what each pattern lays over the coat, in order: a place and a colour ("second" is the breed's own)
FACES: dict[str, tuple[tuple[str, str], ...]] = {
    "mask": (("muzzle", "second"), ("eyes", "second")),
    "blaze": (("blaze", "second"), ("muzzle", "second")),
    "collie": (("blaze", "second"), ("muzzle", "second")),
    "husky": (("lower", "second"), ("muzzle", "second"), ("brows", "second")),
    "points": (("muzzle", "second"), ("brows", "second")),
    "bernese": (("cheeks", "second"), ("brows", "second"), ("blaze", "white"), ("muzzle", "white")),
    "tricolour": (("blaze", "white"), ("muzzle", "white")),
    "boxer": (("muzzle", "second"), ("blaze", "white")),
    "shepherd": (("muzzle", "second"), ("cap", "second")),
    "patches": (("eyes", "second"),),
    "hood": (("sides", "second"),),
    "eye": (("eye", "second"),),
    "spots": (("specks", "second"),),
    "merle": (("blotches", "second"),),
    "roan": (("cap", "coat"),),
    "beard": (("muzzle", "second"), ("brows", "second")),
    "sheepdog": (("all", "second"),),
    "yorkie": (("all", "second"),),
    "brindle": (("stripes", "second"),),
}
BODIES: dict[str, tuple[tuple[str, str], ...]] = {
    "blaze": (("chest", "second"),),
    "collie": (("collar", "second"), ("belly", "second")),
    "husky": (("chest", "second"), ("belly", "second")),
    "points": (("chest", "second"),),
    "bernese": (("belly", "second"), ("chest", "white")),
    "tricolour": (("belly", "white"), ("chest", "white"), ("back", "second")),
    "boxer": (("chest", "white"),),
    "shepherd": (("back", "second"),),
    "saddle": (("back", "second"),),
    "patches": (("patches", "second"),),
    "hood": (("patches", "second"),),
    "spots": (("specks", "second"),),
    "merle": (("blotches", "second"), ("chest", "white")),
    "roan": (("ticks", "second"),),
    "sheepdog": (("front", "second"),),
    "yorkie": (("chest", "second"),),
    "brindle": (("stripes", "second"),),
}
LEGS = {
    **dict.fromkeys(("blaze", "collie", "husky", "points", "bernese", "sheepdog", "yorkie", "beard"), "second"),
    **dict.fromkeys(("tricolour", "boxer"), "white"),
}
DARK_EARS = {"mask", "boxer", "hood", "eye"}


class Dog:
    """One dog: its breed, and the small differences between one dog, or one moment, and the next."""

    def __init__(self, breed: Breed, random: np.random.Generator):
        self.breed = breed
        self.random = random
        self.build = BUILDS[breed.build]
        light = random.uniform(0.92, 1.08)
        self.colours = {
            "coat": shade(COLOURS[breed.coat], light),
            "second": shade(COLOURS[breed.second], light),
            "white": shade(COLOURS["white"], light),
        }
        self.turned = random.uniform(-0.16, 0.16)
        self.panting = random.random() < 0.45

    def coated(self, outline: Points, unit: float = 1, thick: float = 1) -> Points:
        """The outline with the breed's fur standing out from it; `unit` is a head radius in its coordinates."""
        depth, width, curls = FURS[self.breed.fur]
        return fringe(outline, depth * thick * unit, width * unit, self.random, curls)

    # ---- marks ----

    def _specks(self, count: int, size: float, reach: tuple[float, float]) -> list[Points]:
        places = self.random.uniform(-1, 1, (count, 2)) * reach
        sizes = self.random.uniform(0.5, 1.2, (count, 2)) * size
        turns = self.random.uniform(0, 180, count)
        return [ellipse(x, y, rx, ry, turn) for (x, y), (rx, ry), turn in zip(places, sizes, turns, strict=True)]

    def _stripes(self, reach: tuple[float, float]) -> list[Points]:
        rx, ry = reach
        return [
            smooth([(x, -ry), (x + 0.06, 0), (x - 0.05, ry), (x - 0.1, ry), (x - 0.02, 0), (x - 0.06, -ry)])
            for x in np.arange(-rx, rx, 0.24) + self.random.uniform(-0.05, 0.05)
        ]

    def _scattered(self, place: str, reach: tuple[float, float]) -> list[Points]:
        match place:
            case "specks":
                return self._specks(int(26 * reach[0] * reach[1]) + 14, 0.085, reach)
            case "ticks":
                return self._specks(int(110 * reach[0] * reach[1]) + 20, 0.035, reach)
            case "blotches":
                return self._specks(int(16 * reach[0] * reach[1]) + 8, 0.16, reach)
            case "patches":
                return self._specks(4, 0.36, (reach[0], reach[1] * 0.8))
            case "stripes":
                return self._stripes(reach)
        return []

    def face_marks(self, muzzle: Points) -> list[Marking]:
        """The markings of the face, in head radii around the middle of the head."""
        t = self.turned
        places = {
            "muzzle": [muzzle],
            "eyes": [ellipse(-0.42 + t, -0.1, 0.3, 0.34, 20), ellipse(0.42 + t, -0.1, 0.3, 0.34, -20)],
            "eye": [ellipse(0.42 + t, -0.12, 0.36, 0.42, -20)],
            "blaze": [smooth([(t - 0.1, -1.2), (t + 0.1, -1.2), (t + 0.12, -0.1), (t + 0.34, 0.7), (t - 0.34, 0.7), (t - 0.12, -0.1)])],
            "lower": [smooth([(-1.4, 0.1), (-0.6, -0.3), (t, 0.1), (0.6, -0.3), (1.4, 0.1), (1.2, 1.6), (-1.2, 1.6)])],
            "brows": [ellipse(-0.36 + t, -0.4, 0.13, 0.09, 20), ellipse(0.36 + t, -0.4, 0.13, 0.09, -20)],
            "cheeks": [ellipse(-0.72 + t, 0.42, 0.34, 0.3), ellipse(0.72 + t, 0.42, 0.34, 0.3)],
            "cap": [smooth([(-1.4, -1.4), (1.4, -1.4), (1.1, -0.1), (0.4, -0.55), (t, -0.3), (-0.4, -0.55), (-1.1, -0.1)])],
            "sides": [
                smooth([(-1.5, -1.5), (t - 0.2, -1.4), (t - 0.14, -0.2), (-0.3, 0.35), (-1.4, 0.6)]),
                smooth([(1.5, -1.5), (t + 0.2, -1.4), (t + 0.14, -0.2), (0.3, 0.35), (1.4, 0.6)]),
            ],
            "all": [ellipse(0, 0, 2, 2)],
        }
        return [
            (points, self.colours[colour])
            for place, colour in FACES.get(self.breed.pattern, ())
            for points in places.get(place, []) or self._scattered(place, (0.9, 0.9))
        ]

    def body_marks(self, rx: float, ry: float, front: float) -> list[Marking]:
        """The markings of a body of half size (rx, ry) around the origin, its chest at x = `front`."""
        places = {
            "chest": [ellipse(front, 0.15 * ry, 0.34 * rx, 0.85 * ry)],
            "collar": [ellipse(front * 0.8, -0.1 * ry, 0.36 * rx, 1.4 * ry, 12)],
            "belly": [ellipse(0, 1.05 * ry, 1.1 * rx, 0.5 * ry)],
            "back": [smooth([(-1.3 * rx, -1.6 * ry), (0.75 * rx, -1.6 * ry), (0.62 * rx, -0.1 * ry), (0, 0.3 * ry), (-1.3 * rx, 0.2 * ry)])],
            "front": [smooth([(0.15 * rx, -2 * ry), (2 * rx, -2 * ry), (2 * rx, 2 * ry), (0.3 * rx, 2 * ry)])],
        }
        return [
            (points, self.colours[colour])
            for place, colour in BODIES.get(self.breed.pattern, ())
            for points in places.get(place, []) or self._scattered(place, (rx, ry))
        ]
