"""Drawing smooth and furry shapes with Pillow, in coordinates that can be moved, scaled, turned and mirrored."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]  # (n, 2), x to the right and y down
Colour = tuple[int, int, int]
Marking = tuple[Points, Colour]


def shade(colour: Colour, factor: float) -> Colour:
    """The colour darker (a factor below 1) or lighter (above)."""
    red, green, blue = (min(255, max(0, round(channel * factor + max(0.0, factor - 1) * 40))) for channel in colour)
    return red, green, blue


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0) -> Points:
    """An ellipse around (x, y), turned by degrees."""
    angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    points = np.column_stack([rx * np.cos(angles), ry * np.sin(angles)])
    radians = np.radians(turn)
    rotation = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    return np.asarray(points @ rotation + (x, y))


def smooth(corners: ArrayLike, closed: bool = True) -> Points:
    """A curve through the neighbourhood of the corners: Chaikin's corner cutting, three times."""
    points = np.asarray(corners, float)
    for _ in range(3):
        following = np.roll(points, -1, axis=0) if closed else points[1:]
        current = points if closed else points[:-1]
        points = np.stack([0.75 * current + 0.25 * following, 0.25 * current + 0.75 * following], 1).reshape(-1, 2)
    return points


def fringe(
    outline: Points, depth: float, width: float, random: np.random.Generator, round_tips: bool = False
) -> Points:
    """The closed outline with tufts of about `width`, `depth` long: pointed ones, or scallops."""
    if depth <= 0:
        return outline
    closed = np.vstack([outline, outline[:1]])
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    tufts = max(6, int(lengths[-1] / width))
    phase = np.arange(tufts * 4) / 4
    along = phase * lengths[-1] / tufts
    points = np.column_stack([np.interp(along, lengths, closed[:, axis]) for axis in (0, 1)])
    tangents = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    tangents /= np.maximum(np.hypot(*tangents.T), 1e-9)[:, None]
    normals = np.column_stack([tangents[:, 1], -tangents[:, 0]])
    swing = np.abs(np.sin(np.pi * phase)) if round_tips else phase % 1
    reach = depth * swing * np.repeat(random.uniform(0.55, 1.2, tufts), 4)
    return points + normals * reach[:, None]


@dataclass(frozen=True)
class Pen:
    """Draws on an image, and on a mask that tells the drawn from the background; `matrix` maps our points to pixels."""

    image: Image.Image
    mask: Image.Image
    matrix: Points  # (3, 2): two rows that turn and scale, one that moves

    def at(self, x: float, y: float, scale: float = 1, turn: float = 0) -> "Pen":
        """A pen whose origin is at (x, y) of this one's, its drawing scaled, and turned by degrees."""
        radians = np.radians(turn)
        inner = scale * np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
        return Pen(
            self.image, self.mask, np.vstack([inner @ self.matrix[:2], [x, y] @ self.matrix[:2] + self.matrix[2]])
        )

    def pixels(self, points: Points) -> list[tuple[float, float]]:
        """Where the points lie on the image."""
        return [(x, y) for x, y in (points @ self.matrix[:2] + self.matrix[2]).tolist()]

    def shape(self, outline: Points, fill: Colour, edge: float = 0.72, markings: Iterable[Marking] = ()) -> None:
        """A filled outline with its markings, cut off at it, and an edge darker by the factor (1 for none)."""
        corners = self.pixels(outline)
        ImageDraw.Draw(self.mask).polygon(corners, fill=255)
        canvas = ImageDraw.Draw(self.image)
        canvas.polygon(corners, fill=fill)
        if markings := list(markings):
            self._mark(corners, markings)
        if edge < 1:
            canvas.line([*corners, corners[0]], fill=shade(fill, edge), width=2, joint="curve")

    def _mark(self, corners: list[tuple[float, float]], markings: list[Marking]) -> None:
        xs, ys = zip(*corners, strict=True)
        box = (int(max(0, min(xs))), int(max(0, min(ys))), int(max(xs)) + 1, int(max(ys)) + 1)
        part = self.image.crop(box)
        stencil = Image.new("L", part.size)
        shift = np.array(box[:2])
        ImageDraw.Draw(stencil).polygon([(x - box[0], y - box[1]) for x, y in corners], fill=255)
        painter = ImageDraw.Draw(part)
        for points, colour in markings:
            painter.polygon([(x, y) for x, y in (np.array(self.pixels(points)) - shift).tolist()], fill=colour)
        self.image.paste(part, box[:2], stencil)

    def line(self, points: Points, colour: Colour, width: float) -> None:
        """An open line with round ends, `width` in our units."""
        corners = self.pixels(points)
        thick = max(1, round(width * float(np.hypot(*self.matrix[0]))))
        for image, fill in ((self.image, colour), (self.mask, 255)):
            canvas = ImageDraw.Draw(image)
            canvas.line(corners, fill=fill, width=thick, joint="curve")
            for x, y in (corners[0], corners[-1]):
                canvas.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=fill)
