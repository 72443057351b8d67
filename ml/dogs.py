"""Draws a dog of a breed: standing in profile or sitting towards the camera, its head always turned to it."""

from dataclasses import dataclass

import numpy as np

from breeds import Breed
from coats import DARK_EARS, LEGS, Coat
from pen import Colour, Marking, Pen, Points, ellipse, shade, smooth

NOSE, TONGUE, EYE, SHINE = (34, 28, 30), (222, 116, 122), (46, 28, 20), (250, 250, 250)


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

# half width, half height, and how far below the eyes the middle of the muzzle lies; in head radii
MUZZLES = {
    "flat": (0.56, 0.34, 0.36),
    "short": (0.46, 0.38, 0.44),
    "medium": (0.4, 0.46, 0.54),
    "long": (0.34, 0.62, 0.7),
}


# one ear, the left of the picture mirrored from it; in head radii around the middle of the head
EARS = {
    "prick": [(0.22, -0.7), (0.55, -1.25), (0.86, -1.6), (1.0, -1.0), (0.98, -0.35)],
    "bat": [(0.2, -0.7), (0.5, -1.5), (0.95, -1.95), (1.35, -1.5), (1.02, -0.3)],
    "butterfly": [(0.2, -0.7), (0.6, -1.5), (1.3, -1.8), (1.75, -1.0), (1.5, -0.3), (0.95, -0.2)],
    "fold": [(0.25, -0.85), (0.7, -1.18), (1.12, -0.8), (1.06, -0.2), (0.6, -0.55)],
    "drop": [(0.5, -0.85), (0.95, -0.85), (1.3, -0.1), (1.22, 0.55), (0.95, 0.6), (0.78, -0.1)],
    "hound": [(0.5, -0.75), (0.95, -0.8), (1.35, 0.1), (1.4, 1.3), (1.0, 1.4), (0.78, 0.1)],
    "feather": [(0.45, -0.85), (0.95, -0.85), (1.45, 0.0), (1.5, 0.95), (1.1, 1.1), (0.82, 0.3)],
}
UPRIGHT = {"prick", "bat", "butterfly"}


class Dog:
    """One dog: its breed, and the small differences between one dog, or one moment, and the next."""

    def __init__(self, breed: Breed, random: np.random.Generator):
        self.breed = breed
        self.random = random
        self.build = BUILDS[breed.build]
        self.turned = random.uniform(-0.16, 0.16)
        self.coat = Coat(breed, self.turned, random)

    def stand(self, pen: Pen) -> None:
        """In profile, facing right; the origin is the middle of the body."""
        build, head = self.build, self.build.head
        length, depth = build.length, build.depth
        top, bottom = 0.2 * depth, 0.8 * depth + build.legs
        for x in (0.62 * length, -0.6 * length):
            self._leg(pen, x, top, bottom, 0.86)
        self._tail(pen, -0.9 * length, -0.55 * depth, 1)
        torso = smooth(
            [
                (-length, -0.3 * depth),
                (-0.85 * length, -0.98 * depth),
                (0, -0.86 * depth),
                (0.65 * length, -1.1 * depth),
                (1.04 * length, -0.7 * depth),
                (1.06 * length, 0.2 * depth),
                (0.7 * length, 1.02 * depth),
                (0.2 * length, 0.86 * depth),
                (-0.45 * length, 0.42 * depth),
                (-length, 0.5 * depth),
            ]
        )
        place = (1.02 * length, -0.95 * depth - 0.72 * head)
        neck = smooth(
            [
                (0.35 * length, -0.7 * depth),
                (place[0] - 0.75 * head, place[1]),
                (place[0] + 0.6 * head, place[1]),
                (1.1 * length, 0),
            ]
        )
        self._body(pen, torso, self.coat.body_marks(length, depth, length))
        self._body(pen, neck, self.coat.neck_marks(*place, head), edge=1)
        self._leg(pen, 0.78 * length, top, bottom)
        self._body(pen, ellipse(-0.72 * length, 0.25 * depth, 0.3 * length, 0.62 * depth, 12), edge=1)
        self._leg(pen, -0.8 * length, top, bottom)
        self.head(pen.at(*place, head, self.random.uniform(-9, 9)))

    def sit(self, pen: Pen) -> None:
        """Towards the camera; the origin is the middle of the body."""
        build, head = self.build, self.build.head
        wide, tall = 1.15 * build.depth, 0.55 * build.depth + 0.5 * build.legs + 0.2
        self._tail(pen, -0.7 * wide, 0.75 * tall, 0.8)
        for side in (-1, 1):
            self._body(pen, ellipse(side * 0.72 * wide, 0.62 * tall, 0.42 * wide, 0.44 * tall, side * 20))
            self._paw(pen, side * 0.95 * wide, 0.98 * tall)
        trunk = smooth(
            [
                (-0.5 * wide, -tall),
                (0.5 * wide, -tall),
                (0.72 * wide, -0.2 * tall),
                (0.7 * wide, 0.8 * tall),
                (-0.7 * wide, 0.8 * tall),
                (-0.72 * wide, -0.2 * tall),
            ]
        )
        self._body(pen, trunk, self.coat.front_marks(wide, tall))
        for side in (-1, 1):
            self._leg(pen, side * 0.3 * wide, 0.05 * tall, 1.02 * tall)
        self.head(pen.at(0, -tall - 0.5 * head, head, self.random.uniform(-9, 9)))

    def _body(self, pen: Pen, outline: Points, markings: list[Marking] | None = None, edge: float = 0.72) -> None:
        pen.shape(self.coat.coated(outline, self.build.head), self.coat.colours["coat"], edge, markings or [])

    def _leg_colour(self) -> Colour:
        return self.coat.colours[LEGS.get(self.breed.pattern, "coat")]

    def _leg(self, pen: Pen, x: float, top: float, bottom: float, light: float = 1) -> None:
        width = self.build.leg_width
        coat, low = shade(self.coat.colours["coat"], light), shade(self._leg_colour(), light)
        middle = top + 0.5 * (bottom - top)
        limb = smooth(
            [
                (x - 1.5 * width, top),
                (x + 1.5 * width, top),
                (x + 0.9 * width, middle),
                (x + 0.85 * width, bottom),
                (x - 0.85 * width, bottom),
                (x - 0.9 * width, middle),
            ]
        )
        sock = [(ellipse(x, bottom, 4 * width, bottom - middle), low)] if low != coat else []
        thin = 0.6 if self.breed.pattern == "pompom" else 1
        pen.shape(self.coat.coated(limb, self.build.head, 0.7 * thin), coat, 0.72, sock)
        self._paw(pen, x + 0.3 * width, bottom, light)
        if self.breed.pattern == "pompom":
            self._body(pen, ellipse(x, bottom - 1.6 * width, 2 * width, 1.7 * width))

    def _paw(self, pen: Pen, x: float, y: float, light: float = 1) -> None:
        width = self.build.leg_width
        pen.shape(ellipse(x, y - 0.1 * width, 1.45 * width, 0.8 * width), shade(self._leg_colour(), light), 0.6)

    def _tail(self, pen: Pen, x: float, y: float, size: float) -> None:
        """From its root at (x, y), to the left."""
        long = size * self.build.length
        wag = self.random.uniform(-0.12, 0.12) * long
        colour = shade(self.coat.colours["coat"], 0.94)
        match self.breed.tail:
            case "stub":
                pen.shape(self.coat.coated(ellipse(x - 0.06, y - 0.03, 0.13, 0.1), self.build.head), colour)
                tip = (x - 0.1, y - 0.08)
            case "curl":
                ring = ellipse(x + 0.06 * long, y - 0.32 * long, 0.3 * long, 0.28 * long)
                pen.line(ring[9:40], colour, 0.2 * long)
                tip = (x + 0.2 * long, y - 0.42 * long)
            case "plume":
                bend = [
                    (x, y),
                    (x - 0.45 * long, y - 0.12 * long),
                    (x - 0.85 * long, y - 0.4 * long + wag),
                    (x - 0.8 * long, y + 0.12 * long + wag),
                    (x - 0.45 * long, y + 0.26 * long),
                    (x, y + 0.16),
                ]
                pen.shape(self.coat.coated(smooth(bend), self.build.head, 1.2), colour)
                tip = (x - 0.82 * long, y - 0.3 * long + wag)
            case "sickle":
                bend = [
                    (x + 0.1, y + 0.05),
                    (x - 0.35 * long, y - 0.1 * long),
                    (x - 0.5 * long, y - 0.5 * long + wag),
                    (x - 0.36 * long, y - 0.85 * long + wag),
                ]
                pen.line(smooth(bend, closed=False), colour, 0.11)
                tip = (x - 0.38 * long, y - 0.8 * long + wag)
            case _:
                bend = [
                    (x + 0.1, y + 0.05),
                    (x - 0.3 * long, y + 0.1 * long),
                    (x - 0.6 * long, y - 0.1 * long + wag),
                    (x - 0.9 * long, y - 0.35 * long + wag),
                ]
                pen.line(smooth(bend, closed=False), colour, 0.075)
                tip = (x - 0.85 * long, y - 0.3 * long + wag)
        if self.breed.pattern in ("pompom", "crest"):
            pen.shape(
                self.coat.coated(ellipse(*tip, 0.17, 0.17), self.build.head),
                self.coat.colours["coat" if self.breed.pattern == "pompom" else "second"],
            )
        elif self.breed.pattern in ("collie", "tricolour", "bernese") and self.breed.tail in (
            "sickle",
            "plume",
            "whip",
        ):
            pen.shape(self.coat.coated(ellipse(*tip, 0.1, 0.09), self.build.head), self.coat.colours["white"], 1)

    def head(self, pen: Pen) -> None:
        """Face on; the unit is the head's radius."""
        t = self.turned
        half_width, half_height, below = MUZZLES[self.breed.muzzle]
        muzzle = ellipse(1.6 * t, below, half_width, half_height)
        upright = self.breed.ears in UPRIGHT
        if upright:
            self._ears(pen)
        narrow = {"long": 0.86, "medium": 0.95}.get(self.breed.muzzle, 1.04)
        skull = smooth(
            [
                (0, -1.02),
                (0.75 * narrow, -0.82),
                (1.02 * narrow, -0.1),
                (0.78 * narrow, 0.62),
                (0.5, below + 0.55 * half_height),
                (-0.5, below + 0.55 * half_height),
                (-0.78 * narrow, 0.62),
                (-1.02 * narrow, -0.1),
                (-0.75 * narrow, -0.82),
            ]
        )
        if self.breed.fur == "mane":
            pen.shape(self.coat.coated(ellipse(0, 0.28, 1.5, 1.45)), shade(self.coat.colours["coat"], 0.92))
        pen.shape(self.coat.coated(skull), self.coat.colours["coat"], 0.72, self.coat.face_marks(muzzle))
        self._muzzle(pen, muzzle, (1.6 * t, below), half_width, half_height)
        self._eyes(pen)
        if not upright:
            self._ears(pen)
        self._topknot(pen)

    def _ears(self, pen: Pen) -> None:
        pattern, colours = self.breed.pattern, self.coat.colours
        colour = colours["second"] if pattern in DARK_EARS else shade(colours["coat"], 0.86)
        droop = self.random.uniform(-0.06, 0.06)
        thick = 0.5 if self.breed.fur in ("fluffy", "mane", "wire") else 1.0
        for side in (-1, 1):
            corners = np.array(EARS[self.breed.ears]) * (side, 1) + (self.turned * 0.4, droop)
            ear = smooth(corners)
            # mirrored points run the other way round, which would turn the fur inwards
            pen.shape(self.coat.coated(ear[::side], 1, thick), colour, 0.66)
            if self.breed.ears in UPRIGHT:
                middle = ear.mean(0)
                pen.shape(middle + (ear - middle) * 0.55 + (0, 0.06), shade((214, 160, 150), 0.9), 1)

    def _muzzle(
        self, pen: Pen, muzzle: Points, middle: tuple[float, float], half_width: float, half_height: float
    ) -> None:
        marks = [colour for points, colour in self.coat.face_marks(muzzle) if points is muzzle]
        if self.breed.pattern in ("sheepdog", "yorkie"):
            marks = [self.coat.colours["second"]]
        colour = marks[-1] if marks else shade(self.coat.colours["coat"], 1.1)
        x, y = middle
        bearded = self.breed.fur in ("wire", "rough") or self.breed.pattern == "beard"
        outline = ellipse(x, y + 0.18, half_width * 1.15, half_height * 1.2) if bearded else muzzle
        pen.shape(self.coat.coated(outline, 1, 1.4 if bearded else 0.3), colour, 0.8)
        mouth = y + (0.36 if self.breed.muzzle == "flat" else 0.5) * half_height
        if self.random.random() < 0.5:
            pen.shape(ellipse(x, mouth + 0.22, 0.15, 0.26), TONGUE, 0.8)
        for side in (-1, 1):
            pen.line(
                smooth([(x, mouth), (x + side * 0.14, mouth + 0.12), (x + side * 0.36, mouth)], closed=False),
                NOSE,
                0.045,
            )
        nose = y - (0.35 if self.breed.muzzle == "flat" else 0.02) * half_height
        pen.line(np.array([(x, nose), (x, mouth)]), NOSE, 0.045)
        pen.shape(
            smooth([(x - 0.24, nose - 0.17), (x + 0.24, nose - 0.17), (x + 0.1, nose + 0.14), (x - 0.1, nose + 0.14)]),
            NOSE,
            1,
        )
        pen.shape(ellipse(x - 0.05, nose - 0.09, 0.07, 0.03), (120, 112, 116), 1)

    def _eyes(self, pen: Pen) -> None:
        for side in (-1, 1):
            x, y = side * 0.42 + self.turned, -0.14
            pen.shape(ellipse(x, y, 0.17, 0.18), shade(self.coat.colours["coat"], 0.5), 1)
            pen.shape(ellipse(x, y, 0.14, 0.155), (142, 176, 206) if self.breed.pattern == "husky" else EYE, 1)
            pen.shape(ellipse(x, y, 0.075, 0.085), (16, 12, 12), 1)
            pen.shape(ellipse(x + 0.05, y - 0.06, 0.045, 0.045), SHINE, 1)
            if self.breed.fur == "wire":
                brow = self.coat.colours["second" if self.breed.pattern == "beard" else "coat"]
                pen.shape(self.coat.coated(ellipse(x, y - 0.24, 0.26, 0.1, side * -18)), brow, 0.8)

    def _topknot(self, pen: Pen) -> None:
        pattern, colours = self.breed.pattern, self.coat.colours
        if pattern in ("pompom", "crest"):
            pen.shape(
                self.coat.coated(ellipse(0, -0.85, 0.72, 0.5)), colours["coat" if pattern == "pompom" else "second"]
            )
        if pattern == "sheepdog" or self.breed.fur == "cords":
            hair = colours["second" if pattern == "sheepdog" else "coat"]
            pen.shape(self.coat.coated(ellipse(self.turned, -0.35, 0.85, 0.5)), hair, 0.85)
        if pattern == "yorkie":
            pen.shape(ellipse(self.turned, -1.0, 0.2, 0.12), (206, 64, 92), 0.8)
