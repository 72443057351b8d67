"""Coats: their colours, their fur, and the markings each pattern lays on a face and a body."""

import numpy as np

from breeds import Breed
from pen import Colour, Marking, Points, ellipse, fringe, shade, smooth

Marks = dict[str, tuple[tuple[str, str], ...]]

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

# what each pattern lays over the coat, in order: a place and a colour ("second" is the breed's own)
FACES: Marks = {
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
BODIES: Marks = {
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
DARK_EARS = {"mask", "boxer", "hood", "eye", "shepherd"}


class Coat:
    """One dog's coat: the breed's, in the shade of this one; `turned` is how far its face looks aside."""

    def __init__(self, breed: Breed, turned: float, random: np.random.Generator):
        self.breed = breed
        self.random = random
        light = random.uniform(0.92, 1.08)
        self.colours = {
            "coat": shade(COLOURS[breed.coat], light),
            "second": shade(COLOURS[breed.second], light),
            "white": shade(COLOURS["white"], light),
        }
        self.turned = turned

    def coated(self, outline: Points, unit: float = 1, thick: float = 1) -> Points:
        """The outline with the breed's fur standing out from it; `unit` is a head radius in its coordinates."""
        depth, width, curls = FURS[self.breed.fur]
        return fringe(outline, depth * thick * unit, width * unit, self.random, curls)

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
            "blaze": [
                smooth(
                    [
                        (t - 0.1, -1.2),
                        (t + 0.1, -1.2),
                        (t + 0.12, -0.1),
                        (t + 0.34, 0.7),
                        (t - 0.34, 0.7),
                        (t - 0.12, -0.1),
                    ]
                )
            ],
            "lower": [smooth([(-1.4, 0.1), (-0.6, -0.3), (t, 0.1), (0.6, -0.3), (1.4, 0.1), (1.2, 1.6), (-1.2, 1.6)])],
            "brows": [ellipse(-0.36 + t, -0.4, 0.13, 0.09, 20), ellipse(0.36 + t, -0.4, 0.13, 0.09, -20)],
            "cheeks": [ellipse(-0.72 + t, 0.42, 0.34, 0.3), ellipse(0.72 + t, 0.42, 0.34, 0.3)],
            "cap": [
                smooth([(-1.4, -1.4), (1.4, -1.4), (1.1, -0.1), (0.4, -0.55), (t, -0.3), (-0.4, -0.55), (-1.1, -0.1)])
            ],
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
            "back": [
                smooth(
                    [
                        (-1.3 * rx, -1.6 * ry),
                        (0.75 * rx, -1.6 * ry),
                        (0.62 * rx, -0.1 * ry),
                        (0, 0.3 * ry),
                        (-1.3 * rx, 0.2 * ry),
                    ]
                )
            ],
            "front": [smooth([(0.15 * rx, -2 * ry), (2 * rx, -2 * ry), (2 * rx, 2 * ry), (0.3 * rx, 2 * ry)])],
        }
        return [
            (points, self.colours[colour])
            for place, colour in BODIES.get(self.breed.pattern, ())
            for points in places.get(place, []) or self._scattered(place, (rx, ry))
        ]

    def neck_marks(self, x: float, y: float, head: float) -> list[Marking]:
        """The markings of the neck of a standing dog, whose head is around (x, y)."""
        colour = {"collie": "white", "blaze": "second", "bernese": "white", "husky": "second", "tricolour": "white"}
        if self.breed.pattern in ("sheepdog", "yorkie"):
            return [(ellipse(x, y, 9, 9), self.colours["second"])]
        if name := colour.get(self.breed.pattern):
            return [(ellipse(x + 0.75 * head, y + 1.5 * head, 0.8 * head, 1.6 * head), self.colours[name])]
        if self.breed.pattern in ("spots", "roan"):
            return [
                (points + np.array([x - 0.3 * head, y + head]), self.colours["second"])
                for points in self._scattered("specks", (head, head))
            ]
        return []

    def front_marks(self, wide: float, tall: float) -> list[Marking]:
        """The markings of a sitting dog's trunk, seen from the front."""
        pattern = self.breed.pattern
        shirt = {"points": "second", "tricolour": "white", "bernese": "white", "boxer": "white", "merle": "white"}
        if pattern in ("blaze", "collie", "husky", *shirt):
            bib = smooth(
                [
                    (-0.3 * wide, -1.2 * tall),
                    (0.3 * wide, -1.2 * tall),
                    (0.36 * wide, 0.1 * tall),
                    (0, 0.75 * tall),
                    (-0.36 * wide, 0.1 * tall),
                ]
            )
            return [(bib, self.colours[shirt.get(pattern, "second")])]
        if pattern in ("sheepdog", "yorkie"):
            return [(ellipse(0, -0.4 * tall, 0.62 * wide, 1.1 * tall), self.colours["second"])]
        scattered = {
            "spots": "specks",
            "roan": "ticks",
            "patches": "patches",
            "hood": "patches",
            "brindle": "stripes",
            "merle": "blotches",
        }
        return [
            (points, self.colours["second"]) for points in self._scattered(scattered.get(pattern, ""), (wide, tall))
        ]
